"""Do settings refuse what their definitions do not allow, from Python as from the command line?"""

import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pytest

from soft_prompts.common.errors import UsageError
from soft_prompts.common.settings import CHANGES, Bounds, check_settings, names_that_change, setting
from soft_prompts.config import RunConfig


@dataclass(frozen=True)
class Some:
    """One setting of each form."""

    count: int = setting(1, "all", Bounds(least=1))
    rates: tuple[float, ...] = setting((0.5,), "prompts", Bounds(above=0))
    share: float = setting(0.5, "all", Bounds(least=0, most=1))
    kind: Literal["even", "odd"] = setting("even", "all")
    place: Path = setting(Path("."), "nothing")
    limit: int | None = setting(None, "all", Bounds(least=2))
    name: str = setting("x", "all")
    pair: tuple[int, str] = setting((1, "a"), "all")
    least: float | None = setting(None, "all")

    def __post_init__(self) -> None:
        check_settings(self)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("count", 0, "count is 0; give 1 or more"),
        ("count", 1.0, "count is 1.0; give a whole number"),
        ("count", True, "count is True; give a whole number"),
        ("count", "1", "count is '1'; give a whole number"),
        ("rates", (0.1, 0.0), "rates is 0.0; give a number above 0"),
        ("rates", [0.1], "rates is [0.1]; give a tuple"),
        ("rates", (0.1, "x"), "give a tuple, each of it a number"),
        ("share", 1.5, "share is 1.5; give a number between 0 and 1"),
        ("share", float("nan"), "share is nan"),
        ("share", float("inf"), "share is inf"),
        ("kind", "evn", "kind is 'evn'; (did you mean 'even'?) give one of even, odd"),
        ("kind", None, "give one of even, odd"),
        ("place", 3, "place is 3; give a path"),
        ("limit", 1, "limit is 1; give 2 or more"),
        ("limit", "none", "give a whole number or None"),
        ("name", None, "name is None; give a text"),
        ("pair", (1, 2), "pair is (1, 2)"),
        ("pair", (1,), "pair is (1,)"),
    ],
)
def test_a_value_that_no_definition_allows(name: str, value: object, words: str) -> None:
    wrong: Any = {name: value}
    with pytest.raises(UsageError) as refused:
        Some(**wrong)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_definitions_allow() -> None:
    loose: Any = {"place": "folder", "share": 1, "limit": 2, "rates": (1, 0.5)}
    some = Some(**loose)
    assert some.place == Path("folder")
    assert (some.share, some.limit, some.rates) == (1, 2, (1, 0.5))


def test_equal_numbers_are_written_alike_and_whole_ones_stay_whole() -> None:
    given: Any = {"share": 1, "rates": (1, 0.5), "least": 2, "count": 3, "limit": 2, "pair": (4, "b")}
    assert str(Some(**given)) == str(Some(share=1.0, rates=(1.0, 0.5), least=2.0, count=3, limit=2, pair=(4, "b")))
    assert "count=3, rates=(1.0, 0.5), share=1.0" in str(Some(**given))
    assert "limit=2, name='x', pair=(4, 'b'), least=2.0" in str(Some(**given))


def test_runs_with_equal_settings_share_a_path() -> None:
    """In a process of its own, as below."""
    code = (
        "from soft_prompts.config import RunConfig\n"
        "from soft_prompts.tasks.chess import ChessTask\n"
        "from soft_prompts.training.apparatus import run_paths\n"
        "for clip in (1, 1.0): print(run_paths(RunConfig(ChessTask(), 'tiny-chess', 4, clip=clip)).result)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    one, other = done.stdout.split()
    assert one == other


def test_every_setting_of_a_run_says_what_it_changes() -> None:
    assert {one.name for one in fields(RunConfig) if CHANGES not in one.metadata} == set()
    named = [names_that_change(RunConfig, changes) for changes in ("all", "prompts", "nothing")]
    assert sum(map(len, named)) == len(fields(RunConfig)) == len(frozenset().union(*named))


WRONG = {
    "schedule": '"linear"',
    "condition": '"nonne"',
    "init": '"vocab"',
    "dtype": '"float16"',
    "device": '"gpu"',
    "steps": "10.0",
    "seed": '"0"',
    "data": "Path()",
    "task": "ChessTask",
    "model": "''",
}
REFUSE = """
from pathlib import Path
from soft_prompts.common.errors import UsageError
from soft_prompts.config import RunConfig
from soft_prompts.tasks.chess import ChessTask
for wrong in [{}]:
    try:
        RunConfig(**({{"task": ChessTask(), "model": "tiny-chess", "tokens": 4}} | wrong))
    except UsageError as error:
        print(error)
"""


def test_a_run_refuses_what_the_command_line_would() -> None:
    """In a process of its own: the checks' import hook would refuse wrong types before the settings do."""
    code = REFUSE.format(", ".join(f'{{"{name}": {value}}}' for name, value in WRONG.items()))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert [line.split(" is ")[0] for line in said[:-1]] == list(WRONG)[:-1]
    assert said[0] == "schedule is 'linear'; give one of constant, cosine"
    assert said[-1] == "models holds an empty name; give an embedded name, a folder or a hub id"
