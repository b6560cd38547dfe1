"""Which games do a PGN file, a packed one or a folder of them hold, are they whole, and the same as last time?

Games are shuffled as they are read, in buffers of up to 64 MB of text: a source that fits into one is shuffled whole.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from soft_prompts.common.errors import InputError
from soft_prompts.data.games.pgn import frame_games
from soft_prompts.data.kept import KEPT, content_of
from soft_prompts.data.packed import PACKED, CutShort, format_of, text_blocks, unreadable

CHECKED_BYTES = 100 * 10**6  # packed files up to this size are read through before training starts
BUFFER_BYTES = 1 << 26  # text of games shuffled at once, some 60,000 games: read within seconds, held by every reader
CUT_SHORT = b""  # stands in the place of the game that a file's cut went through


class Buffer(NamedTuple):
    """Games that are shuffled among themselves."""

    first: int
    """Number of its first game in the source."""
    texts: list[bytes]
    is_last: bool


@dataclass(frozen=True)
class GameSource:
    """Games in PGN: a .pgn file (.zst, .gz too), or a folder of them, read in the order of their names."""

    path: Path
    event: str = "Rated Blitz game"  # in any case; several between |, any text for *; other games are passed over
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
                raise unreadable(path, error) from None
            if not files:
                raise InputError(f"folder {path} holds no .pgn file (.zst, .gz too); give a folder with some")
            return files
        if not os.path.exists(path):
            raise InputError(f"{path} does not exist; give a .pgn file (.zst, .gz too), or a folder of them")
        if not _is_pgn(path):
            raise InputError(f"{path} is neither a .pgn nor a .pgn.zst file; unpack or rename it")
        return [path]

    def fingerprint(self) -> str:
        """What the content of all files is known by, wherever they lie and whatever they are called."""
        return content_of(self.files())

    def verify(self) -> None:
        """Read packed files of up to 100 MB through; raises InputError if one is damaged or cut short."""
        for file in self.files():
            if file.suffix.lower() in PACKED and file.stat().st_size <= CHECKED_BYTES:
                KEPT.get(("verified", self.allow_truncated), [file], partial(self._read_through, file))

    def _read_through(self, file: Path) -> None:
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

    def buffers(self, start: int, most_bytes: int) -> Iterator[Buffer]:
        """All games from number `start` on, which begins a buffer or is 0, in buffers of up to so many bytes of text;
        one buffer that holds the whole source is kept, and not read again."""
        if start == 0:
            key = ("games", self.allow_truncated, most_bytes)
            whole = KEPT.get(key, self.files(), lambda: self._whole(most_bytes))
            if whole is not None:
                yield whole
                return
        games = islice(self.games(), start, None)
        first, texts, size = start, list[bytes](), 0
        for text in games:
            if size + len(text) > most_bytes and texts:
                yield Buffer(first, texts, is_last=False)
                first, texts, size = first + len(texts), [], 0
            texts.append(text)
            size += len(text)
        yield Buffer(first, texts, is_last=True)

    def _whole(self, most_bytes: int) -> Buffer | None:
        """All games as one buffer, if they are no more than that."""
        texts, size = list[bytes](), 0
        for text in self.games():
            size += len(text)
            if size > most_bytes and texts:
                return None
            texts.append(text)
        return Buffer(0, texts, is_last=True)


def shuffled(buffer: Buffer, seed: tuple[int, int]) -> list[int]:
    """The places of a buffer's games in an order that (seed, epoch) and the buffer's place alone decide."""
    return np.random.default_rng((*seed, buffer.first)).permutation(len(buffer.texts)).tolist()


def _is_pgn(path: Path) -> bool:
    return format_of(path) == ".pgn"
