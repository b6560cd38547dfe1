"""How do local files become documents?

Of a folder, every .txt file is a document. Of a .jsonl or .parquet file, every row is one: its field `text`, or
`raw_content` as RedPajama-V2 calls it. A lone .txt file is cut into pieces: a piece ends at the first blank line
behind 2,000 characters, or where there is none, at the first line end behind 8,000. Lines of .txt files may end as on
Windows: the text is the same. Files may be packed (.gz, .zst).
"""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import fingerprint_files
from soft_prompts.data.games.files import BLOCK_BYTES, CutShort, text_blocks
from soft_prompts.data.texts.documents import FIELDS, Position, Record, document_of

PIECE = 2_000  # characters of a lone file's piece, at least
LONGEST_PIECE = 8_000  # characters after which any line end will do
MAX_RECORD_BYTES = 1 << 24  # a file of a folder, or a line, beyond it is no document
ROWS = 64  # rows of a parquet file at once
FORMATS = (".txt", ".jsonl", ".json", ".parquet")
PACKED = (".gz", ".zst")


@dataclass(frozen=True)
class PieceReader:
    """A lone .txt file in pieces."""

    name: str
    path: Path

    def fingerprint(self) -> str:
        return _fingerprint([self.path])

    def records(self, position: Position | None) -> Iterator[Record]:
        skip = (position or {"piece": 0})["piece"]
        for number, text in enumerate(pieces(_decoded(self.path))):
            if number >= skip and text.strip():
                yield Record(document_of(text), {"piece": number + 1})


@dataclass(frozen=True)
class FileReader:
    """The files of a folder in the order of their names, or one file of rows."""

    name: str
    files: tuple[Path, ...]

    def fingerprint(self) -> str:
        return _fingerprint(self.files)

    def records(self, position: Position | None) -> Iterator[Record]:
        at = position or {"file": 0, "row": 0}
        for number in range(at["file"], len(self.files)):
            skip = at["row"] if number == at["file"] else 0
            for row, (content, fault) in enumerate(_rows(self.files[number])):
                if row < skip:
                    continue
                where = f"{self.files[number].name} row {row + 1}"
                text = isinstance(content, str) and content.strip()
                document = document_of(content) if text else None
                yield Record(document, {"file": number, "row": row + 1}, "" if text else fault or "no text", where)


def local_reader(path: Path) -> PieceReader | FileReader:
    """What reads a file or folder; raises InputError where nothing there holds text."""
    formats = ", ".join(FORMATS)
    if path.is_dir():
        files = tuple(sorted(file for file in path.rglob("*") if file.is_file() and _format(file) in FORMATS))
        if not files:
            raise InputError(f"folder {path} holds no file of text; give one with {formats} files (.gz, .zst too)")
        return FileReader(str(path), files)
    if _format(path) == ".txt":
        return PieceReader(str(path), path)
    if _format(path) in FORMATS:
        return FileReader(str(path), (path,))
    raise InputError(f"{path} is no file of text; give a {formats} file (.gz, .zst too), or a folder of them")


def pieces(blocks: Iterable[str]) -> Iterator[str]:
    """The text of `blocks`, cut; the pieces one behind the other are the text again."""
    held = ""
    for block in blocks:
        held += block
        while (end := _piece_end(held)) and end < len(held):
            yield held[:end]
            held = held[end:]
    if held:
        yield held


def _piece_end(text: str) -> int:
    """Where the first piece of a text ends, 0 if more has to be seen."""
    blank = text.find("\n\n", PIECE)
    if 0 <= blank < LONGEST_PIECE:
        end = blank + 2
        return end + len(text[end:]) - len(text[end:].lstrip("\n")) if end < len(text) else 0
    if len(text) <= 2 * LONGEST_PIECE:
        return 0
    line = text.find("\n", LONGEST_PIECE, 2 * LONGEST_PIECE)
    return line + 1 if line >= 0 else LONGEST_PIECE


def _format(path: Path) -> str:
    """The suffix that says what is in the file, below a packer's."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _fingerprint(files: Iterable[Path]) -> str:
    try:
        return fingerprint_files(files)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read ({error.strerror}); check it and its permissions") from None


def _blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, unpacked; raises InputError where it is damaged or cut short."""
    if path.suffix.lower() != ".gz":
        yield from text_blocks(path)
        return
    try:
        with gzip.open(path) as stream:
            yield from iter(lambda: stream.read(BLOCK_BYTES), b"")
    except EOFError:
        raise CutShort(f"{path} is cut short: its last part is missing; get it again") from None
    except (OSError, zlib.error) as error:
        raise InputError(f"{path} is damaged or not a gzip file ({error}); get or make it again") from None


def _decoded(path: Path) -> Iterator[str]:
    """The text of a file, which must be UTF-8 from its first byte to its last."""
    decoder, read = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True), 0
    try:
        for block in _blocks(path):
            yield decoder.decode(block)
            read += len(block)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        near = max(read + error.start, 0)
        raise InputError(f"{path} is not UTF-8 (byte {near}: {error.reason}); convert it, as with iconv") from None


def _rows(path: Path) -> Iterator[tuple[Any, str]]:
    """The content of every row and, where it has none, the fault."""
    if _format(path) == ".parquet":
        yield from ((text, "") for text in _parquet_texts(path))
    elif _format(path) == ".txt":
        yield _whole_file(path)
    else:
        for line in _lines(_blocks(path)):
            if line is None:
                yield None, "longer than 16 MB"
            elif line.strip():
                yield _json_text(line)


def _whole_file(path: Path) -> tuple[str | None, str]:
    content = bytearray()
    for block in _blocks(path):
        content += block
        if len(content) > MAX_RECORD_BYTES:
            return None, "longer than 16 MB"
    text, fault = _utf8(bytes(content))
    return text and text.replace("\r\n", "\n").replace("\r", "\n"), fault


def _utf8(content: bytes) -> tuple[str | None, str]:
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return None, "not UTF-8"


def _json_text(line: bytes) -> tuple[str | None, str]:
    text, fault = _utf8(line)
    if text is None:
        return None, fault
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None, "not JSON"
    if not isinstance(row, dict):
        return None, "no JSON object"
    field = next((name for name in FIELDS if name in row), None)
    if field is None:
        return None, "no field 'text'"
    if not isinstance(row[field], str):
        return None, f"field '{field}' is no string"
    return (row[field], "") if row[field].isascii() or _is_unicode(row[field]) else (None, "no valid Unicode")


def _is_unicode(text: str) -> bool:
    """JSON can spell half of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Lines without their ends; None for one beyond the largest record, of which no more than that is held."""
    held, too_long = b"", False
    for block in blocks:
        *whole, held = (held + block).split(b"\n")
        for line in whole:
            yield None if too_long or len(line) > MAX_RECORD_BYTES else line
            too_long = False
        if len(held) > MAX_RECORD_BYTES:
            held, too_long = b"", True
    if held or too_long:
        yield None if too_long else held


def _parquet_texts(path: Path) -> Iterator[Any]:
    """The column of texts; raises InputError where there is none."""
    import pyarrow  # most texts are in other files
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            columns = table.schema_arrow.names
            field = next((name for name in FIELDS if name in columns), None)
            if field is None:
                raise InputError(f"{path} has no column 'text' but {', '.join(columns)[:200]}; rename one of them")
            for batch in table.iter_batches(ROWS, columns=[field]):
                yield from batch.column(0).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read as parquet ({reason}); get or make it again") from None
