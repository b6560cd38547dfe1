"""How are pieces of a sweep given to workers, and how far are they? One loop for every kind of cluster: a worker that
dies has its piece given to another, which goes on from the runs' last states."""

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from soft_prompts.common.console import duration, say
from soft_prompts.experiments.scale_out.pieces import Piece
from soft_prompts.experiments.scale_out.work import Missed, Parcel, Workplace, packed
from soft_prompts.training.apparatus import run_paths

SAY_SECONDS = 30.0  # between two lines without news
LOOK_SHARE = 0.02  # of the time, at most, for looking which results are there: a shared disk may be slow


class Ended(NamedTuple):
    """How a worker's piece ended."""

    handle: Hashable
    missed: Sequence[Missed] = ()
    died: str | None = None
    """What became of the worker, where it did not come to the end."""


@runtime_checkable
class Hands(Protocol):
    """Workers somewhere; each kind of cluster has its own."""

    def start(self, parcel: Parcel) -> Hashable:
        """Give a piece to whoever is free next; returns its handle."""
        ...

    def ended(self) -> Iterable[Ended]:
        """Those that ended since the last call; waits a second or so where there are none."""
        ...

    def stop(self) -> None:
        """Let nobody go on."""
        ...


class Limits(NamedTuple):
    """What is borne."""

    tries: int = 3
    """Workers that may die over one piece."""


def hand_out(
    pieces: Sequence[Piece], hands: Hands, workplace: Workplace, limits: Limits, clock: Callable[[], float] = time.time
) -> list[Missed]:
    """Every piece to its end; returns the runs without a result. When this is stopped the workers are too."""
    progress, missed = SweepProgress(pieces, clock), list[Missed]()
    going: dict[Hashable, tuple[int, int]] = {}  # handle -> piece and try
    try:
        for number, piece in enumerate(pieces):
            going[hands.start(packed(piece, workplace))] = number, 1
        while going:
            for one in hands.ended():
                number, tries = going.pop(one.handle)
                if one.died is None:
                    missed += one.missed
                elif tries < limits.tries:
                    say(f"{one.died}; its runs go on with another ({tries + 1} of {limits.tries})")
                    going[hands.start(packed(pieces[number], workplace))] = number, tries + 1
                else:
                    missed.append(_given_up(pieces[number], f"{one.died}, {tries} times in a row"))
            progress.look(len(going))
    finally:
        hands.stop()
    return missed


def _given_up(piece: Piece, reason: str) -> Missed:
    paths = [] if piece.beside is not None else [run_paths(run.made).result for run in piece.runs]
    return Missed([path for path in paths if not path.is_file()], reason, 1)


class SweepProgress:
    """Which results came since the beginning, and what that says of the others; their files say it, whoever writes
    them."""

    def __init__(self, pieces: Sequence[Piece], clock: Callable[[], float] = time.time) -> None:
        paths = [run_paths(run.made).result for piece in pieces if piece.beside is None for run in piece.runs]
        self.clock, self.began, self.count = clock, clock(), len(paths)
        self.left = {path: _stamp(path) for path in paths}
        self.said, self.said_at, self.look_from = -1, self.began, self.began

    def look(self, working: int) -> None:
        """Say how far it is, where there is news or nothing was said for long."""
        now = self.clock()
        if now < self.look_from:
            return
        for path in [path for path, before in self.left.items() if _stamp(path) != before]:
            del self.left[path]
        after = self.clock()
        self.look_from = after + (after - now) / LOOK_SHARE
        done = self.count - len(self.left)
        if self.count and (done != self.said or after - self.said_at >= SAY_SECONDS):
            self.said, self.said_at = done, after
            say(self.line(done, working))

    def line(self, done: int, working: int) -> str:
        """`sweep: 57 of 200 runs made, 12 pieces to go, about 3 minutes left, until 17:32`."""
        line = f"sweep: {done} of {self.count} runs made, {working} piece{'s' * (working != 1)} to go"
        if not done or done == self.count:
            return line
        seconds = (self.clock() - self.began) / done * (self.count - done)
        until = time.strftime("%H:%M", time.localtime(self.clock() + seconds))
        return f"{line}, about {duration(seconds)} left, until {until}"


def _stamp(path: Path) -> int | None:
    """When the file was written; None where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
