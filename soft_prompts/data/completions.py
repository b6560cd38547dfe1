"""Which prompts and completions does a run train on, and what are their conditions worth in floats?

A source is a file of rows (JSON lines, a JSON array, CSV, TSV or parquet, packed or not), a folder of them, or an
embedded name (`sums`, `plural`), whose rows are made when they are asked for. Rows are split by hash of the prompt: the
same prompt never lies on both sides, nor do two that differ in white space, case or Unicode form alone.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.common.errors import InputError, near_match
from soft_prompts.data.conditions import ConditionEncoder, standard
from soft_prompts.data.jsonl import KINDS, is_unicode, shown
from soft_prompts.data.kept import KEPT, content_of
from soft_prompts.data.made_rows import MADE, made_fingerprint, made_rows
from soft_prompts.data.packed import format_of
from soft_prompts.data.rows import FORMATS, RawRow, place_name, rows_of
from soft_prompts.data.split import Split, hash_of, split_of, wording_of

REQUIRED = ("prompt", "completion")
FIGURES = frozenset("0123456789+-.eE ")  # of a number in a table: Nan, Inf and 1_000 are names


class Row(NamedTuple):
    """One row of a source."""

    prompt: str
    completion: str
    fields: dict[str, Any]
    """The whole row."""
    where: str
    """File and line."""
    is_text: bool = False
    """Whether its format knows nothing but text."""
    like: str | None = None
    """What it counts as: of its source the least of the same wording; None: what it asks."""

    @property
    def asked(self) -> str:
        """The prompt, or where there is none the completion."""
        return self.prompt or self.completion

    @property
    def identity(self) -> int:
        """63 bits; equal for rows of a source that ask the same, but for white space and case."""
        return hash_of(self.asked if self.like is None else self.like)

    def error(self, wrong: str) -> InputError:
        """The error for the row: `rows.jsonl, line 3: the completion is ''`."""
        return InputError(f"{self.where}: {wrong}")


@dataclass(frozen=True)
class RowSource:
    """Where rows come from, and how they are read."""

    name: str
    prompt: str = "prompt"
    """Field of the prompt; "" for none."""
    completion: str = "completion"
    max_bad: float = 0.0
    """Share of unreadable rows above which the source is refused."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files in reading order, none for an embedded name; raises InputError where there is no such source."""
        path = Path(self.name)
        if path.is_dir():
            found = tuple(sorted(file for file in path.rglob("*") if file.is_file() and format_of(file) in FORMATS))
            if not found:
                raise InputError(f"folder {path} holds no file of rows; give {', '.join(FORMATS)} files")
            return found
        if path.is_file():
            return (path,)
        if self.name in MADE:
            return ()
        near, made = near_match(self.name, [*MADE]), ", ".join(MADE)
        raise InputError(
            f"{self.name} is no file; {near}give a {', '.join(FORMATS)} file, a folder of them, or one of {made}"
        )

    def fingerprint(self) -> str:
        """Content identity, and which fields are read."""
        named = "" if (self.prompt, self.completion) == REQUIRED else f"-{self.prompt}-{self.completion}"
        return (content_of(self.files, whole=True) if self.files else made_fingerprint(self.name)) + named

    def read(self) -> "Rows":
        """Every row; raises InputError that names file and line where more are unreadable than are borne."""
        if not self.files:
            return Rows(_together(_made(self.name)), Counter())
        return KEPT.get(("rows", self), self.files, lambda: _read(self))


class Rows(NamedTuple):
    """What a source holds."""

    sound: list[Row]
    faults: Counter[str]
    """Rows that could not be read, by reason."""


class Parts(NamedTuple):
    """The rows of one or two sources, apart."""

    rows: dict[Split, list[Row]]
    """In the order of the source."""
    faults: Counter[str]
    has_variants: bool
    """Are there prompts that differ in white space, case or Unicode form alone?"""


def _made(name: str) -> list[Row]:
    numbered = enumerate(made_rows(name), start=1)
    return [Row(row["prompt"], row["completion"], dict(row), f"{name}, line {number}") for number, row in numbered]


def _together(rows: list[Row]) -> list[Row]:
    """Of those that differ in white space, case or Unicode form alone all count as the least, whatever their order."""
    questions, least = [wording_of(row.asked) for row in rows], dict[int, str]()
    for question, row in zip(questions, rows, strict=True):
        least[question] = min(row.asked, least.get(question, row.asked))
    likes = (least[question] for question in questions)
    return [row if row.asked == like else row._replace(like=like) for row, like in zip(rows, likes, strict=True)]


def split_rows(data: RowSource, test: RowSource | None) -> Parts:
    """Rows by part; of a test source every fifth prompt validates, and no prompt that it holds, be it in other white
    space or case, is trained on."""
    files = [*data.files, *(test.files if test else ())]
    return KEPT.get(("parts", data, test), files, lambda: _split(data, test))


def _split(data: RowSource, test: RowSource | None) -> Parts:
    parts: dict[Split, list[Row]] = {"train": [], "validation": [], "test": []}
    train = data.read()
    if test is None or test == data:
        for row in train.sound:
            parts[split_of(row.identity)].append(row)
        return Parts(parts, train.faults, any(row.like is not None for row in train.sound))
    held_out = test.read()
    for row in held_out.sound:
        parts["validation" if row.identity % 5 == 0 else "test"].append(row)
    known = {wording_of(row.asked): row.asked for row in held_out.sound}
    has_variants = any(row.like is not None for row in (*train.sound, *held_out.sound))
    for row in train.sound:
        same = known.get(wording_of(row.asked))
        if same is None:
            parts["train"].append(row)
        has_variants |= same not in (None, row.asked)
    return Parts(parts, train.faults + held_out.faults, has_variants)


def _read(source: RowSource) -> Rows:
    sound: list[Row] = []
    faults: Counter[str] = Counter()
    first = ""
    for file in source.files:
        for raw in _raw_rows(file):
            where = f"{file}, {place_name(file)} {raw.number}"
            made = _row(source, raw, where)
            if isinstance(made, Row):
                sound.append(made)
            else:
                faults[made.reason] += 1
                first = first or f"{where}: {made.detail}"
    bad, looked = faults.total(), faults.total() + len(sound)
    if bad > source.max_bad * looked:
        allowed = f"; {bad} of {looked} rows are bad, {source.max_bad:.2%} are allowed: mend them, or raise --max-bad"
        raise InputError(first + (allowed if looked > 1 else ""))
    if not looked:
        raise InputError(f"{source.name} is empty; give rows with {source.prompt!r} and {source.completion!r} in each")
    return Rows(_together(sound), faults)


def _raw_rows(file: Path) -> Iterator[RawRow]:
    if format_of(file) not in FORMATS:
        raise InputError(f"{file} is no file of rows; give a {', '.join(FORMATS)} file (.gz, .zst too)")
    return rows_of(file)


class _Bad(NamedTuple):
    reason: str
    """In words that are counted."""
    detail: str
    """In words that say what to do."""


def _row(source: RowSource, raw: RawRow, where: str) -> Row | _Bad:
    fields, fault, detail = raw.parsed
    names = [name for name in (source.prompt, source.completion) if name]
    if fields is None:
        wanted = f"; give an object with {' and '.join(map(repr, names))}" if fault == "no JSON object" else ""
        return _Bad(fault, detail + wanted)
    for name in names:
        if name not in fields:
            has = f"it has {shown(list(fields))}" if fields else "it has no field"
            return _Bad("a field is missing", f"{name!r} is missing, {has}; give it, or its name here with --fields")
    is_chat = source.prompt == source.completion
    prompt = _text(fields[source.prompt], slice(0, -1) if is_chat else slice(None)) if source.prompt else ""
    completion = _text(fields[source.completion], slice(-1, None) if is_chat else slice(None))
    for name, text in zip((source.prompt, source.completion), (prompt, completion), strict=True):
        if text is None:
            return _Bad("a field is no text", f"{name!r} is {shown(fields[name])}; give {_KIND[is_chat]}")
        if not is_unicode(text):
            return _Bad("half a character", f"{name!r} holds half a character; give the whole one")
    assert prompt is not None
    assert completion is not None
    return Row(f"{prompt}\n" if is_chat else prompt, completion, fields, where, raw.is_text)


_KIND = {False: KINDS[str], True: "messages, the last by the assistant"}


def _text(value: Any, which: slice) -> str | None:
    """A text as it is; of chat messages the contents of some, one a line; None for anything else."""
    if isinstance(value, str):
        return value if which == slice(None) else None
    if not isinstance(value, list) or not value:
        return None
    messages = [one for one in value if isinstance(one, dict) and isinstance(one.get("content"), str)]
    answers = which == slice(None) or (len(messages) > 1 and messages[-1].get("role") == "assistant")
    if len(messages) < len(value) or not answers:
        return None
    return "\n".join(message["content"] for message in messages[which])


def field_encoder(rows: Sequence[Row], fields: Sequence[str]) -> ConditionEncoder:
    """Numbers are shifted by their mean and divided by their standard deviation over `rows`; texts and truth values
    become one name for each choice among them. Raises InputError for a row without a field or with another kind."""
    names: list[str] = []
    offset: list[float] = []
    scale: list[float] = []
    for field in fields:
        values = [_value(row, field) for row in rows]
        is_number = bool(values) and isinstance(values[0], float)
        for row, value in zip(rows, values, strict=True):
            if isinstance(value, float) != is_number:
                kinds = ("a number", "a choice") if is_number else ("a choice", "a number")
                raise row.error(f"{field!r} is {value!r}, {kinds[1]}; the first training line has {kinds[0]}")
        choices = sorted({str(value) for value in values}) if not is_number else []
        names += [f"{field}={choice}" for choice in choices] or [field]
        at, by = standard(values) if is_number else (0.0, 1.0)
        offset += [at] * (len(choices) or 1)
        scale += [by] * (len(choices) or 1)
    return ConditionEncoder(tuple(names), tuple(offset), tuple(scale))


def conditions_of(row: Row, encoder: ConditionEncoder) -> tuple[float, ...]:
    """A row's conditions; raises InputError for a choice that no training row has."""
    given: list[float] = []
    for field, choices in encoder.asked.items():
        value = _value(row, field)
        if choices and value not in choices:
            raise row.error(f"{field!r} is {value!r}; the training lines have {', '.join(choices)}")
        if not choices and not isinstance(value, float):
            raise row.error(f"{field!r} is {value!r}; the training lines have numbers")
        given += [float(value == choice) for choice in choices] or [float(value)]
    return encoder.encode(given)


def _value(row: Row, field: str) -> float | str:
    """A number as float, a choice as text."""
    if field not in row.fields:
        has = ", ".join(name for name in row.fields if name not in REQUIRED) or "none"
        raise row.error(f"{field!r} is missing; its further fields: {has}")
    value = row.fields[field]
    if isinstance(value, bool):
        return str(value).lower()
    if row.is_text:
        value = _number(value)
    if isinstance(value, int | float):
        return _finite(row, field, value)
    if not isinstance(value, str) or not value:
        raise row.error(f"{field!r} is {value!r}; give a number, text, true or false")
    return value


def _number(text: str) -> float | str:
    """The number that a cell of a table spells in figures, if it does."""
    try:
        return float(text) if set(text) <= FIGURES else text
    except ValueError:
        return text


def _finite(row: Row, field: str, value: int | float) -> float:
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise row.error(f"{field!r} is {shown(value)}, not a finite number; give one")
    return number
