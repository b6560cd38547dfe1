"""How do files of rows become fields? JSON lines, a JSON array, CSV, TSV or parquet, each packed or not.

A row that cannot be read comes with its fault instead of its fields; how many of them are borne is for the caller.
"""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.common.errors import InputError, first_line
from soft_prompts.data.jsonl import Parsed, parse_object
from soft_prompts.data.packed import (
    MAX_RECORD_BYTES,
    PACKED,
    decoded,
    format_of,
    lines_of,
    text_blocks,
)

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET_ROWS = 64  # read at once
MAX_ARRAY_CHARACTERS = 1 << 29  # a JSON array is read whole
_SPACE = re.compile(r"[ \t\n\r]*")


class RawRow(NamedTuple):
    """What stands in one place of a file."""

    number: int
    """Of the line that it begins in, as an editor counts from 1; of the row, where the format has no lines."""
    parsed: Parsed
    place: int
    """No two rows of a file have the same; reading goes on behind it."""
    behind: int | None = None
    """Byte behind the line, in a file that can be read from there; else None."""
    is_text: bool = False
    """Whether the format knows nothing but text: a number is its digits."""


def place_name(path: Path) -> str:
    """What a place of the file is called."""
    return "row" if format_of(path) == ".parquet" else "line"


def is_seekable(path: Path) -> bool:
    """Whether the file can be read from any line of it on."""
    return format_of(path) in (".jsonl", ".json") and path.suffix.lower() not in PACKED and not _is_array(path)


def rows_of(path: Path, skip: int = 0, columns: tuple[str, ...] | None = None) -> Iterator[RawRow]:
    """The rows of a file behind the place `skip`, of parquet with these columns alone, or all; raises InputError where
    the file itself is unusable."""
    form = format_of(path)
    if form == ".parquet":
        yield from _parquet_rows(path, skip, columns)
    elif form in DELIMITERS:
        yield from _table_rows(path, DELIMITERS[form], skip)
    elif _is_array(path):
        yield from _array_rows(path, skip)
    else:
        yield from line_rows(path, skip=skip)


def line_rows(path: Path, start: int = 0, first: int = 1, skip: int = 0) -> Iterator[RawRow]:
    """The rows of a file of JSON lines from byte `start` on, where line `first` begins; empty lines are passed over."""
    for number, line in enumerate(lines_of(text_blocks(path, start)), start=first):
        if number > skip and (line.content is None or line.content.strip()):
            too_long = Parsed(None, "longer than 16 MB", f"it is longer than {MAX_RECORD_BYTES >> 20} MB; cut it")
            parsed = too_long if line.content is None else parse_object(line.content)
            yield RawRow(number, parsed, number, start + line.behind)


def _is_array(path: Path) -> bool:
    """Whether a .json file is one array; a line of a .jsonl may be one by mistake, and is judged by itself."""
    if format_of(path) != ".json":
        return False
    first = next(text_blocks(path), b"")
    return first.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _array_rows(path: Path, skip: int) -> Iterator[RawRow]:
    text = "".join(decoded(path))
    if len(text) > MAX_ARRAY_CHARACTERS:
        raise InputError(f"{path} is a JSON array of more than {MAX_ARRAY_CHARACTERS >> 20} MB; give JSON lines")
    try:
        values = list(_array_values(text))
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = getattr(error, "msg", None) or type(error).__name__
        raise InputError(f"{path}{line}: no whole JSON array ({reason}); mend it, or give JSON lines") from None
    for place, (number, value) in enumerate(values[skip:], start=skip + 1):
        fields = value if isinstance(value, dict) else None
        fault = "" if fields is not None else "no JSON object"
        yield RawRow(number, Parsed(fields, fault, "it is no JSON object"), place)


def _array_values(text: str) -> Iterator[tuple[int, Any]]:
    """Values of an array, each with the line that it begins in."""
    decode, at, line = json.JSONDecoder().raw_decode, _behind_space(text, text.index("[") + 1), 1
    counted = 0
    while not text.startswith("]", at):
        line, counted = line + text.count("\n", counted, at), at
        value, end = decode(text, at)
        yield line, value
        end = _behind_space(text, end)
        if text.startswith(",", end):
            at = _behind_space(text, end + 1)
            if text.startswith("]", at):
                raise json.JSONDecodeError("a comma with nothing behind it", text, end)
        elif text.startswith("]", end):
            at = end
        else:
            raise json.JSONDecodeError("no comma and no end", text, end)
    if (rest := _behind_space(text, at + 1)) < len(text):
        raise json.JSONDecodeError("more behind the array", text, rest)


def _behind_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _table_rows(path: Path, delimiter: str, skip: int) -> Iterator[RawRow]:
    """The first line names the fields."""
    csv.field_size_limit(MAX_RECORD_BYTES)
    reader = csv.reader(_kept_line_ends(path), delimiter=delimiter, strict=True)
    try:
        names = next(reader, [])
        if len(set(names)) < len(names) or "" in names:
            raise InputError(f"{path}, line 1: {', '.join(names)[:80]!r}; give different names of the fields")
        number = reader.line_num + 1
        for cells in reader:
            if cells and number > skip:
                fault = f"{len(cells)} fields where line 1 names {len(names)}"
                right = len(cells) == len(names)
                parsed = Parsed(dict(zip(names, cells, strict=True)) if right else None, "" if right else fault, fault)
                yield RawRow(number, parsed, number, is_text=True)
            number = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: no {format_of(path)[1:].upper()} ({error}); mend its quotes"
        ) from None


def _kept_line_ends(path: Path) -> Iterator[str]:
    held = ""
    for block in decoded(path):
        *lines, held = (held + block).split("\n")
        yield from (line + "\n" for line in lines)
    if held:
        yield held


def _parquet_rows(path: Path, skip: int, columns: tuple[str, ...] | None) -> Iterator[RawRow]:
    import pyarrow  # most rows are in other files
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            groups, row = [], 0
            for group in range(table.num_row_groups):
                size = table.metadata.row_group(group).num_rows
                if not groups and row + size <= skip:
                    row += size  # never unpacked
                    continue
                groups.append(group)
            for batch in table.iter_batches(PARQUET_ROWS, row_groups=groups, columns=columns and list(columns)):
                first = max(skip - row, 0)
                for number, fields in enumerate(batch.slice(first).to_pylist(), start=row + first + 1):
                    yield RawRow(number, Parsed(fields), number)
                row += batch.num_rows
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _no_parquet(path, error) from None


def parquet_columns(path: Path) -> dict[str, str]:
    """Names of the columns, and what they hold in arrow's words; raises InputError where the file is no parquet."""
    import pyarrow
    import pyarrow.parquet

    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _no_parquet(path, error) from None
    return {field.name: str(field.type) for field in schema}


def _no_parquet(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read as parquet ({first_line(error)}); get or make it again")
