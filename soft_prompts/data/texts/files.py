"""How do local files become documents?

Of a folder, every .txt file is a document. Of a .jsonl, .json, .csv, .tsv or .parquet file, every row is one: its field
`text`, or `raw_content` as RedPajama-V2 calls it. A lone .txt file is cut into pieces: a piece ends at the first blank
line behind 2,000 characters, or where there is none, at the first line end behind 8,000. Files may be packed (.gz,
.zst). All of it is shuffled in buffers of up to 64 MB of text.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from soft_prompts.common.errors import InputError
from soft_prompts.data import rows
from soft_prompts.data.jsonl import Parsed, is_unicode
from soft_prompts.data.kept import content_of
from soft_prompts.data.packed import MAX_RECORD_BYTES, Utf16, decoded, format_of, plain_lines, text_blocks
from soft_prompts.data.ranked import WHOLE
from soft_prompts.data.texts.documents import BUFFER, FIELDS, Position, Record, document_of

PIECE = 2_000  # characters of a lone file's piece, at least
LONGEST_PIECE = 8_000  # characters after which any line end will do
FORMATS = (".txt", *rows.FORMATS)
_NO_LINE_END = re.compile(r"[^\n]")


@dataclass(frozen=True)
class PieceReader:
    """A lone .txt file in pieces."""

    name: str
    path: Path

    scanned = WHOLE
    buffer = BUFFER

    @property
    def sources(self) -> tuple[Path, ...]:
        return (self.path,)

    def fingerprint(self) -> str:
        return content_of(self.sources)

    def records(self, position: Position | None) -> Iterator[Record]:
        skip = (position or {"piece": 0})["piece"]
        for number, text in enumerate(pieces(decoded(self.path))):
            if number >= skip and text.strip():
                yield Record(document_of(text), {"piece": number + 1})


@dataclass(frozen=True)
class FileReader:
    """The files of a folder in the order of their names, or one file of rows."""

    name: str
    files: tuple[Path, ...]

    scanned = WHOLE
    buffer = BUFFER

    @property
    def sources(self) -> tuple[Path, ...]:
        return self.files

    def fingerprint(self) -> str:
        return content_of(self.files)

    def records(self, position: Position | None) -> Iterator[Record]:
        at = position or {"file": 0, "row": 0}
        for number in range(at["file"], len(self.files)):
            file = self.files[number]
            for text in _texts(file, at if number == at["file"] else {"row": 0}):
                sound = text.content is not None and text.content.strip()
                document = document_of(text.content) if sound and text.content else None
                behind = {"file": number} | text.behind
                where = f"{file.name} {rows.place_name(file)} {text.number}"
                yield Record(document, behind, "" if document else text.fault or "no text", where)


class _Text(NamedTuple):
    """What one place of a file holds."""

    content: str | None
    fault: str
    number: int
    behind: Position


def _texts(path: Path, at: Position) -> Iterator[_Text]:
    """The texts of a file behind a place of it."""
    if format_of(path) == ".txt":
        if not at["row"]:
            yield _Text(*_whole_file(path), 1, {"row": 1})
        return
    columns = _text_columns(path) if format_of(path) == ".parquet" else None
    behind = at["row"]
    found = rows.line_rows(path, at["byte"], behind + 1) if "byte" in at else rows.rows_of(path, behind, columns)
    seekable = rows.is_seekable(path)
    for row in found:
        content, fault = _text_of(row.parsed)
        place = {"row": row.place} | ({"byte": row.behind} if seekable else {})
        yield _Text(content, fault, row.number, place)


def _text_of(row: Parsed) -> tuple[str | None, str]:
    """The text of a row, or its fault."""
    if row.fields is None:
        return None, row.fault
    field = next((name for name in FIELDS if name in row.fields), None)
    if field is None:
        return None, "no field 'text'"
    text = row.fields[field]
    if not isinstance(text, str):
        return None, f"field '{field}' is no string"
    return (text, "") if text.isascii() or is_unicode(text) else (None, "no valid Unicode")


def _text_columns(path: Path) -> tuple[str, ...]:
    """The column of texts; raises InputError where there is none."""
    columns = rows.parquet_columns(path)
    field = next((name for name in FIELDS if name in columns), None)
    if field is None:
        raise InputError(f"{path} has no column 'text' but {', '.join(columns)[:200]}; rename one of them")
    if not columns[field].removeprefix("large_").startswith(("string", "dictionary")):
        raise InputError(f"{path}: column {field!r} holds {columns[field][:80]}, no text; give a column of texts")
    return (field,)


def local_reader(path: Path, held_out: Iterable[Path] = ()) -> PieceReader | FileReader:
    """What reads a file or folder but for the files that are held out; raises InputError where no text is left."""
    formats = ", ".join(FORMATS)
    found = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    files = tuple(file for file in found if format_of(file) in FORMATS)
    if not files and path.is_dir():
        raise InputError(f"folder {path} holds no file of text; give one with {formats} files (.gz, .zst too)")
    if not files:
        raise InputError(f"{path} is no file of text; give a {formats} file (.gz, .zst too), or a folder of them")
    apart = {file.resolve() for file in held_out}
    left = tuple(file for file in files if file.resolve() not in apart)
    if not left:
        raise InputError(
            f"{path} is all held out by --test-data; leave --test-data out, or give other texts to train on"
        )
    is_lone = not path.is_dir() and format_of(path) == ".txt"
    return PieceReader(str(path), path) if is_lone else FileReader(str(path), left)


def pieces(blocks: Iterable[str]) -> Iterator[str]:
    """The text of `blocks`, cut; the pieces one behind the other are the text again."""
    held = ""
    for block in blocks:
        held, start = held + block, 0
        while (end := _piece_end(held, start)) and end < len(held):
            yield held[start:end]
            start = end
        held = held[start:]
    if held:
        yield held


def _piece_end(text: str, start: int) -> int:
    """Where the piece that begins at `start` ends, 0 if more has to be seen."""
    blank = text.find("\n\n", start + PIECE, start + LONGEST_PIECE + 1)
    if blank >= 0:
        behind = _NO_LINE_END.search(text, blank)
        return behind.start() if behind else 0
    if len(text) - start <= 2 * LONGEST_PIECE:
        return 0
    line = text.find("\n", start + LONGEST_PIECE, start + 2 * LONGEST_PIECE)
    return line + 1 if line >= 0 else start + LONGEST_PIECE


def _whole_file(path: Path) -> tuple[str | None, str]:
    content = bytearray()
    try:
        for block in text_blocks(path):
            content += block
            if len(content) > MAX_RECORD_BYTES:
                return None, "longer than 16 MB"
    except Utf16:
        return None, "UTF-16, not UTF-8"
    try:
        return plain_lines(content.decode("utf-8-sig")), ""
    except UnicodeDecodeError:
        return None, "not UTF-8"
