"""Which bytes does a file hold, packed or not, and is it whole?

Packed files (.gz, .zst) are read piece by piece: a reader that stops where the bytes stop would take a broken download
for a short file. Output comes in small pieces however well a file is packed, so memory stays flat.
"""

import codecs
import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard

from soft_prompts.common.errors import InputError

BLOCK_BYTES = 1 << 20
FEED_BYTES = 1 << 9  # zstd packs at most 128 KiB into 4 bytes: one feed gives 16 MiB at the very worst
MAX_WINDOW_BYTES = 1 << 27  # what the zstd tool itself accepts without being asked
MAX_RECORD_BYTES = 1 << 24  # a line, or a file that is one document, beyond it is no record
ZSTD_MAGIC = 0xFD2FB528
SKIPPABLE = range(0x184D2A50, 0x184D2A60)  # zstd frames that hold no data (RFC 8878, section 3.1.2)
PACKED = (".gz", ".zst")
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class CutShort(InputError):
    """A packed file ends inside a frame."""


class Utf16(InputError):
    """A file of text is in an encoding that nothing here reads."""


def format_of(path: Path) -> str:
    """The suffix that says what is in the file, below a packer's."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def unreadable(file: Path, error: OSError) -> InputError:
    """A file that the system refuses, in one line."""
    return InputError(f"{file} cannot be read ({error.strerror}); check it and its permissions")


def text_blocks(file: Path, start: int = 0) -> Iterator[bytes]:
    """The bytes of a file of text in blocks, from byte `start` of a file that is not packed; raises InputError where
    it cannot be read or unpacked or is UTF-16, CutShort at a cut."""
    first = True
    for block in _blocks(file, start):
        if first and not start and is_utf_16(block):
            raise Utf16(f"{file} is UTF-16; save it as UTF-8, as with iconv -f UTF-16 -t UTF-8")
        yield block
        first = False


def is_utf_16(block: bytes) -> bool:
    """Whether a file that begins like this is UTF-16: a byte order mark, or every other byte of ASCII text zero."""
    head = block[:64]
    return head.startswith(UTF_16) or (len(head) >= 4 and any(not any(head[at::2]) for at in (0, 1)) and any(head))


def _blocks(file: Path, start: int) -> Iterator[bytes]:
    suffix = file.suffix.lower()
    if suffix == ".gz":
        yield from _gzip_blocks(file)
        return
    try:
        with file.open("rb") as stream:
            if suffix == ".zst":
                yield from _in_blocks(_unpack(stream, file))
            else:
                stream.seek(start)
                yield from iter(lambda: stream.read(BLOCK_BYTES), b"")
    except OSError as error:
        raise unreadable(file, error) from None


def _gzip_blocks(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) as stream:
            yield from iter(lambda: stream.read(BLOCK_BYTES), b"")
    except EOFError:
        raise CutShort(f"{path} is cut short: its last part is missing; get it again") from None
    except (OSError, zlib.error) as error:
        raise InputError(f"{path} is damaged or not a gzip file ({error}); get or make it again") from None


def _in_blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    block: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            block.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES:
                yield b"".join(block)
                block, size = [], 0
    except InputError:  # what stands before the fault can be read
        yield b"".join(block)
        raise
    yield b"".join(block)


def _unpack(stream: BinaryIO, file: Path) -> Iterator[bytes]:
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    frame = unpacker.decompressobj()
    whole = False  # whether the bytes read so far end with a frame
    while feed := stream.read(FEED_BYTES):
        while feed:
            try:
                yield frame.decompress(feed)
            except zstandard.ZstdError as error:
                _refuse_long_window(file)
                raise InputError(f"{file} is damaged or not a zstd file ({error}); get or make it again") from None
            whole = frame.eof
            feed = frame.unused_data if whole else b""
            if whole:
                frame = unpacker.decompressobj()
    if not whole:
        raise CutShort(f"{file} is cut short: its last frame is incomplete; get it again, or give --allow-truncated")


def _refuse_long_window(file: Path) -> None:
    """Raises InputError where the file is sound, as far as can be told, and wants more memory than is given to it."""
    window, whole = _walk(file)
    if window > MAX_WINDOW_BYTES:
        bits = (window - 1).bit_length()
        state = "is whole, but packed" if whole else "is cut short, and packed"
        name = file.name.removesuffix(".zst")
        raise InputError(
            f"{file} {state} with a long window (zstd --long={bits}), which takes {window >> 20} MB of memory to "
            f"unpack, and at most {MAX_WINDOW_BYTES >> 20} are given; repack it: "
            f"zstd -dc --long={bits} {file.name} | zstd -o new-{name}.zst"
        ) from None


def _walk(file: Path) -> tuple[int, bool]:
    """The largest window of the frames, and whether the last of them is whole; only headers are read."""
    window, size = 0, file.stat().st_size
    with file.open("rb") as stream:
        while head := stream.read(18):  # the longest header of a frame
            start = stream.tell() - len(head)
            magic = int.from_bytes(head[:4], "little")
            if magic in SKIPPABLE:
                stream.seek(start + 8 + int.from_bytes(head[4:8], "little"))
                continue
            try:
                facts = zstandard.get_frame_parameters(head)
            except zstandard.ZstdError:
                return window, False
            window = max(window, facts.window_size)
            stream.seek(start + zstandard.frame_header_size(head))
            if magic != ZSTD_MAGIC or not _pass_blocks(stream, facts.has_checksum):
                return window, False
        return window, stream.tell() == size


def _pass_blocks(stream: BinaryIO, has_checksum: bool) -> bool:
    """Whether the blocks of a frame (RFC 8878, section 3.1.1.2) come to its end before the file does."""
    is_last = False
    while not is_last:
        head = stream.read(3)
        if len(head) < 3:
            return False
        value = int.from_bytes(head, "little")
        is_last, kind, size = bool(value & 1), value >> 1 & 3, value >> 3
        stream.seek(1 if kind == 1 else size, 1)  # kind 1: one byte, repeated
    if has_checksum:
        stream.seek(4, 1)
    return True  # a place behind the end of the file is told by the size


class RawLine(NamedTuple):
    """A line without its end."""

    content: bytes | None
    """None for one beyond the largest record, of which no more than that is held."""
    behind: int
    """The place behind it and its end, in bytes from where reading began."""


def lines_of(blocks: Iterable[bytes]) -> Iterator[RawLine]:
    """Every line of a file, empty ones too; behind the last end nothing is no line."""
    parts: list[bytes] = []  # of the line that no end has come for
    held, behind = 0, 0
    for block in blocks:
        first, *others = block.split(b"\n")
        held += len(first)
        parts = [*parts, first] if held <= MAX_RECORD_BYTES else []
        for line in others:
            behind += held + 1
            yield RawLine(b"".join(parts) if held <= MAX_RECORD_BYTES else None, behind)
            parts, held = [line], len(line)
    if held:
        yield RawLine(b"".join(parts) if held <= MAX_RECORD_BYTES else None, behind + held)


def decoded(path: Path) -> Iterator[str]:
    """The text of a file, which must be UTF-8 from its first byte to its last; every line ends with `\\n`."""
    decoder, read, held = codecs.getincrementaldecoder("utf-8-sig")(), 0, ""
    try:
        for block in text_blocks(path):
            text = held + decoder.decode(block)
            held = "\r" if text.endswith("\r") else ""  # of a line end that the end of the block may have cut
            yield plain_lines(text.removesuffix("\r"))
            read += len(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        near = max(read + error.start, 0)
        raise InputError(f"{path} is not UTF-8 (byte {near}: {error.reason}); convert it, as with iconv") from None
    yield plain_lines(held)


def plain_lines(text: str) -> str:
    """The text with `\\n` at the end of every line, as editors of any system show it."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
