"""Which prompts and completions does a run train on, and what are their conditions worth in floats?

A source is a JSONL file of `{"prompt": ..., "completion": ..., ...}`, or the embedded name `sums`, which is made when
it is asked for. Lines are split by hash of the prompt: the same prompt never lies on both sides.
"""

import itertools
import math
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from soft_prompts.common.errors import InputError, near_match
from soft_prompts.common.files import fingerprint_files
from soft_prompts.data.conditions import ConditionEncoder
from soft_prompts.data.jsonl import line_error, read_jsonl
from soft_prompts.data.split import Split, split_of

SUMS = "sums"
NUMBERS = range(2, 52)  # of a sum or difference
REQUIRED = {"prompt": str, "completion": str}


class Row(NamedTuple):
    """One line of a source."""

    prompt: str
    completion: str
    fields: dict[str, Any]
    """The whole line."""
    line: int

    @property
    def identity(self) -> int:
        """63 bits; equal for equal prompts."""
        return int.from_bytes(blake2b(self.prompt.encode(), digest_size=8).digest()) >> 1


def sums() -> list[Row]:
    """`12 + 7 =` and ` 19`, and differences, in a fixed order without pattern; what can be told is the operation and
    the larger number."""
    made = [
        {"prompt": f"{a} {sign} {b} =", "completion": f" {answer}", "operation": operation, "larger": max(a, b)}
        for a, b in itertools.product(NUMBERS, NUMBERS)
        for sign, operation, answer in (("+", "plus", a + b), ("-", "minus", a - b))
    ]
    order = np.random.default_rng(0).permutation(len(made))
    return [Row(made[at]["prompt"], made[at]["completion"], made[at], line) for line, at in enumerate(order, start=1)]


def read_rows(source: str) -> list[Row]:
    """Every line of a source; raises InputError that names file and line for one that is not as it should be."""
    if source == SUMS and not Path(source).exists():
        return sums()
    lines = read_jsonl(_file(source), REQUIRED)
    return [Row(line.fields["prompt"], line.fields["completion"], line.fields, line.number) for line in lines]


def rows_fingerprint(source: str) -> str:
    """Content identity of a source."""
    if source == SUMS and not Path(source).exists():
        return "sums-1"
    return fingerprint_files([_file(source)])


def split_rows(data: str, test_data: str | None) -> dict[Split, list[Row]]:
    """Lines by part, in the order of the source; of a test source every fifth prompt validates, and no prompt that it
    holds is trained on."""
    rows: dict[Split, list[Row]] = {"train": [], "validation": [], "test": []}
    if test_data is None or test_data == data:
        for row in read_rows(data):
            rows[split_of(row.identity)].append(row)
        return rows
    for row in read_rows(test_data):
        rows["validation" if row.identity % 5 == 0 else "test"].append(row)
    held_out = {row.identity for part in rows.values() for row in part}
    rows["train"] = [row for row in read_rows(data) if row.identity not in held_out]
    return rows


def field_encoder(source: str, rows: Sequence[Row], fields: Sequence[str]) -> ConditionEncoder:
    """Numbers are shifted by their mean and divided by their standard deviation over `rows`; texts and truth values
    become one name for each choice among them. Raises InputError for a line without a field or with another kind."""
    names: list[str] = []
    offset: list[float] = []
    scale: list[float] = []
    for field in fields:
        values = [_value(source, row, field) for row in rows]
        is_number = bool(values) and isinstance(values[0], float)
        for row, value in zip(rows, values, strict=True):
            if isinstance(value, float) != is_number:
                kinds = ("a number", "a choice") if is_number else ("a choice", "a number")
                wrong = f"{field!r} is {value!r}, {kinds[1]}; the first training line has {kinds[0]}"
                raise line_error(Path(source), row.line, wrong)
        choices = sorted({str(value) for value in values}) if not is_number else []
        names += [f"{field}={choice}" for choice in choices] or [field]
        offset += [float(np.mean(np.array(values, dtype=float)))] if is_number else [0.0] * len(choices)
        spread = float(np.std(np.array(values, dtype=float))) if is_number else 1.0
        scale += [spread or 1.0] if is_number else [1.0] * len(choices)
    return ConditionEncoder(tuple(names), tuple(offset), tuple(scale))


def conditions_of(source: str, row: Row, encoder: ConditionEncoder) -> tuple[float, ...]:
    """A line's conditions; raises InputError for a choice that no training line has."""
    given: list[float] = []
    for field, choices in encoder.asked.items():
        value = _value(source, row, field)
        if choices and value not in choices:
            wrong = f"{field!r} is {value!r}; the training lines have {', '.join(choices)}"
            raise line_error(Path(source), row.line, wrong)
        if not choices and not isinstance(value, float):
            raise line_error(Path(source), row.line, f"{field!r} is {value!r}; the training lines have numbers")
        given += [float(value == choice) for choice in choices] or [float(value)]
    return encoder.encode(given)


def _value(source: str, row: Row, field: str) -> float | str:
    """A number as float, a choice as text."""
    if field not in row.fields:
        has = ", ".join(name for name in row.fields if name not in REQUIRED) or "none"
        raise line_error(Path(source), row.line, f"{field!r} is missing; its further fields: {has}")
    value = row.fields[field]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise line_error(Path(source), row.line, f"{field!r} is {value}; give a finite number")
        return float(value)
    if not isinstance(value, str) or not value:
        raise line_error(Path(source), row.line, f"{field!r} is {value!r}; give a number, text, true or false")
    return value


def _file(source: str) -> Path:
    if not Path(source).is_file():
        raise InputError(f"{source} is no file; {near_match(source, [SUMS])}give a JSONL file, or {SUMS}")
    return Path(source)
