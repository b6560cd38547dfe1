"""Does docs/measurement.md say what the code does? Every example of the page is run, and worked out a second time.

An example is a `>>>` line with its value below. Behind `#` stands the same by hand: plain arithmetic, which is worked
out apart from the code. All three have to agree to the digits that the page prints.
"""

import ast
import doctest
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "measurement.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BY_HAND = {name: getattr(math, name) for name in ("log", "log2")} | {
    "__builtins__": {"min": min, "max": max, "round": round, "int": int, "sorted": sorted}
}


class Example(NamedTuple):
    source: str
    by_hand: str
    """Arithmetic; empty where the value is no number."""
    value: Any


def blocks(kind: str) -> list[str]:
    return [text for named, text in BLOCK.findall(PAGE.read_text("utf-8")) if named == kind]


def session() -> tuple[str, list[doctest.Example]]:
    """What the examples begin with, and all of them in order."""
    code = blocks("python")
    setup = "\n".join(text for text in code if ">>>" not in text)
    return setup, [one for text in code for one in doctest.DocTestParser().get_examples(text)]


def examples() -> list[Example]:
    found = []
    for one in session()[1]:
        source, _, by_hand = one.source.strip().partition("  # ")
        if one.want:
            found.append(Example(source, by_hand, ast.literal_eval(one.want)))
    return found


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the page's own code defines, in order."""
    setup, lines = session()
    known: dict[str, Any] = {}
    exec(setup, known)
    for line in lines:
        if not line.want:
            exec(line.source, known)
    return known


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.source)
def test_code_page_and_arithmetic_agree(example: Example, names: dict[str, Any]):
    found = eval(example.source, names)
    if isinstance(example.value, float | int) and not isinstance(example.value, bool):
        assert found == pytest.approx(example.value, rel=1e-5, abs=1e-9)
    else:
        assert found == example.value
    if example.by_hand:
        assert eval(example.by_hand, dict(BY_HAND)) == pytest.approx(example.value, rel=1e-5, abs=1e-9)


def test_every_formula_has_a_number_that_was_worked_out_by_hand():
    """Behind each block of formulas come examples, before the next one."""
    parts = re.split(r"^```text\n", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert len(parts) >= 15
    for part in parts:
        formula, _, rest = part.partition("\n```")
        has_number = any("  # " in line for line in rest.splitlines() if line.startswith(">>>"))
        assert has_number, f"no example by hand follows {formula}"


def test_the_arithmetic_is_not_the_code():
    assert not [one for one in examples() if re.search(r"curve|example|coded|[a-z]+_[a-z]+\(", one.by_hand)]
    assert len([one for one in examples() if one.by_hand]) >= 25
