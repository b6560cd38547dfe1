"""Which text do a PGN file, a compressed one or a folder of them hold, is it whole, and is it the same as last time?

Compressed files are read frame by frame: a reader that stops where the bytes stop would take a broken download for a
short file. Output comes in small pieces however well a file is packed, so memory stays flat.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import fingerprint_files
from soft_prompts.data.games.pgn import frame_games

BLOCK_BYTES = 1 << 20
FEED_BYTES = 1 << 9  # zstd packs at most 128 KiB into 4 bytes: one feed gives 16 MiB at the very worst
MAX_WINDOW_BYTES = 1 << 27  # what the zstd tool itself accepts without being asked
CHECKED_BYTES = 100 * 10**6  # files up to this size are read through before training starts
CUT_SHORT = b""  # stands in the place of the game that a file's cut went through


class CutShort(InputError):
    """A compressed file ends inside a frame."""


@dataclass(frozen=True)
class GameSource:
    """Games in PGN: a .pgn or .pgn.zst file, or a folder of them, read in the order of their names."""

    path: Path
    event: str = "Rated Blitz game"  # games whose Event tag is anything else are passed over
    max_bad: float = 0.01  # share of unreadable games, of those looked into, above which reading stops
    allow_truncated: bool = False  # take what a compressed file holds before it is cut short
    min_elo: int = 0  # games in which a player's Elo is lower are passed over

    def files(self) -> list[Path]:
        """The files in reading order; raises InputError if there are none."""
        path = self.path
        if os.path.isdir(path):  # unlike pathlib's, never raises
            try:
                files = sorted(file for file in path.iterdir() if _is_pgn(file) and file.is_file())
            except OSError as error:
                raise _unreadable(path, error) from None
            if not files:
                raise InputError(f"folder {path} holds no .pgn or .pgn.zst file; give a file, or a folder with some")
            return files
        if not os.path.exists(path):
            raise InputError(f"{path} does not exist; give a .pgn or .pgn.zst file, or a folder of them")
        if not _is_pgn(path):
            raise InputError(f"{path} is neither a .pgn nor a .pgn.zst file; unpack or rename it")
        return [path]

    def fingerprint(self) -> str:
        """What the content of all files is known by, wherever they lie and whatever they are called."""
        try:
            return fingerprint_files(self.files())
        except OSError as error:
            raise _unreadable(self.path, error) from None

    def verify(self) -> None:
        """Read compressed files of up to 100 MB through; raises InputError if one is damaged or cut short."""
        for file in self.files():
            if file.name.lower().endswith(".zst") and file.stat().st_size <= CHECKED_BYTES:
                try:
                    for _ in text_blocks(file):
                        pass
                except CutShort:
                    if not self.allow_truncated:
                        raise

    def games(self) -> Iterator[bytes]:
        """Each game's text, file after file; CUT_SHORT at the end of a truncated file, where that is allowed."""
        for file in self.files():
            try:
                yield from frame_games(text_blocks(file))
            except CutShort:
                if not self.allow_truncated:
                    raise
                yield CUT_SHORT


def _is_pgn(path: Path) -> bool:
    return path.name.lower().endswith((".pgn", ".pgn.zst"))


def _unreadable(file: Path, error: OSError) -> InputError:
    return InputError(f"{file} cannot be read ({error.strerror}); check it and its permissions")


def text_blocks(file: Path) -> Iterator[bytes]:
    """The text of a file in blocks; raises InputError where it cannot be read or unpacked, CutShort at a cut."""
    try:
        with file.open("rb") as stream:
            if file.name.lower().endswith(".zst"):
                yield from _in_blocks(_unpack(stream, file))
            else:
                yield from iter(lambda: stream.read(BLOCK_BYTES), b"")
    except OSError as error:
        raise _unreadable(file, error) from None


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
                raise InputError(f"{file} is damaged or not a zstd file ({error}); get or make it again") from None
            whole = frame.eof
            feed = frame.unused_data if whole else b""
            if whole:
                frame = unpacker.decompressobj()
    if not whole:
        raise CutShort(f"{file} is cut short: its last frame is incomplete; get it again, or give --allow-truncated")
