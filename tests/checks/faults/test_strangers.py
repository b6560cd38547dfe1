"""Is every small file from a stranger taken, or refused in one line? Cards, adapters, results, rows: any values."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.jsonl import read_jsonl
from soft_prompts.exchange.peft_adapter import CONFIG, TENSOR, WEIGHTS, read_adapter
from soft_prompts.models.sources.card import NAMES, read_card
from soft_prompts.results.files import read_result
from tests.checks.made.disturbances import Record, count_fault
from tests.checks.made.stored_results import save_flat

ADAPTER = ["peft_type", "task_type", "num_virtual_tokens", "token_dim", "base_model_name_or_path", "inference_mode"]
WORDS = st.sampled_from(
    ["", "PROMPT_TUNING", "CAUSAL_LM", "owner/name", "tiny-text", "before", "float32", "../x", "\0"]
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=12)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
anything = settings(max_examples=80, deadline=None, suppress_health_check=QUIET)


def one_line(action: Callable[[], object]) -> bool:
    """Does it end, or say in one line why not?"""
    try:
        action()
    except (InputError, UsageError) as error:
        return "\n" not in str(error)
    return True


def any_of(names: list[str]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=6), VALUES, max_size=5) | VALUES


@given(any_of(NAMES))
@anything
def test_any_card(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(content))
    assert one_line(lambda: read_card(str(path)))


@given(any_of(ADAPTER), st.lists(st.integers(0, 3), max_size=3), st.sampled_from([TENSOR, "other"]), st.booleans())
@anything
def test_any_adapter(tmp_path: Path, content: Any, shape: list[int], name: str, is_finite: bool) -> None:
    (tmp_path / CONFIG).write_text(json.dumps(content))
    save_file({name: torch.full(shape, 0.5 if is_finite else torch.inf)}, tmp_path / WEIGHTS)
    assert one_line(lambda: read_adapter(tmp_path))


@given(st.data())
@anything
def test_any_result(tmp_path: Path, data: st.DataObject) -> None:
    """A whole one, of which one value at any depth is another."""
    path = tmp_path / "any.json"
    values = json.loads(save_flat(tmp_path / "whole", {1: 2.0})[0].read_text())
    at: Any = values
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else list(range(len(at)))))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = data.draw(VALUES)
    path.write_text(json.dumps(values))
    assert one_line(lambda: read_result(path))


@pytest.mark.parametrize("lines", [500, pytest.param(10_000, marks=pytest.mark.faults)])
def test_lines_of_any_bytes(tmp_path: Path, lines: int, record_property: Record) -> None:
    """A line is whole, or the file is refused with its number; a Python error never comes through."""
    rng, outcomes = random.Random(0), list[bool]()
    good = json.dumps({"prompt": "2 + 2 =", "completion": " 4", "n": [1, {"a": None}]}).encode()
    junk = (
        b"",
        b"\xff\xfe",
        b"{",
        b"}",
        b'"',
        b"\\u",
        b"\0",
        b"[" * 3000,
        b"1e999",
        b"NaN",
        b"\xf0\x9f",
        b'{"prompt": 3}',
    )
    path = tmp_path / "lines.jsonl"
    for _ in range(lines):
        line = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(line) + 1)
            cut = at + rng.randrange(3)
            line[at:cut] = rng.choice((rng.randbytes(rng.randrange(3)), rng.choice(junk)))
        path.write_bytes(b"\n".join((good, bytes(line), good)) + b"\n")
        outcomes.append(one_line(lambda: read_jsonl(path, {"prompt": str, "completion": str})))
    count_fault(record_property, "JSONL: fuzzed lines", outcomes)
