"""How are pieces of a sweep given to workers, and how far are they? One loop for every kind of cluster: a worker that
dies has its piece given to another, which goes on from the runs' last states."""

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from soft_prompts.common.console import duration, say
from soft_prompts.experiments.scale_out.pieces import Piece
from soft_prompts.experiments.scale_out.work import Missed, Parcel, Workplace, packed
from soft_prompts.training.apparatus import run_paths

AT_ONCE = 64
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
    """Workers that may die over one piece in a row, none of which got any further."""
    at_once: int = AT_ONCE
    """Pieces that the workers are given before one of them has ended."""


class Going(NamedTuple):
    """A piece that a worker has."""

    number: int
    tries: int
    marks: Sequence[Hashable]
    """How far its runs were when the worker was given it."""


def hand_out(
    pieces: Sequence[Piece], hands: Hands, workplace: Workplace, limits: Limits, clock: Callable[[], float] = time.time
) -> list[Missed]:
    """Every piece to its end; returns the runs without a result. When this is stopped the workers are too."""
    progress, missed = SweepProgress(pieces, clock), list[Missed]()
    waiting, going = deque((number, 1) for number in range(len(pieces))), dict[Hashable, Going]()
    try:
        while waiting or going:
            while waiting and len(going) < limits.at_once:
                number, tries = waiting.popleft()
                marks = _marks(pieces[number])
                going[hands.start(packed(pieces[number], workplace))] = Going(number, tries, marks)
            for one in hands.ended():
                was = going.pop(one.handle)
                if one.died is None:
                    missed += one.missed
                    continue
                tries = 1 if _marks(pieces[was.number]) != was.marks else was.tries + 1
                if tries <= limits.tries:
                    say(f"{one.died}; its runs go on with another ({tries} of {limits.tries})")
                    waiting.appendleft((was.number, tries))
                else:
                    missed.append(_given_up(pieces[was.number], f"{one.died}, {was.tries} times in a row", progress))
            progress.look(len(going) + len(waiting))
    finally:
        hands.stop()
    return missed


def _marks(piece: Piece) -> list[Hashable]:
    """Of each run when its result was written, and the steps of which there is a state."""
    paths = [run_paths(run.made) for run in piece.runs]
    return [(_stamp(one.result), *sorted(path.name for path in one.snapshot.glob("state/step-*"))) for one in paths]


def _given_up(piece: Piece, reason: str, progress: "SweepProgress") -> Missed:
    """A result that was there before is not known to be one of these data: nobody came to look."""
    if piece.beside is not None:
        return Missed([], reason, 1, evidence=True)
    paths = [run_paths(run.made).result for run in piece.runs]
    return Missed([path for path in paths if not progress.has_new(path)], reason, 1)


class SweepProgress:
    """Which results came since the beginning, and what that says of the others; their files say it, whoever writes
    them."""

    def __init__(self, pieces: Sequence[Piece], clock: Callable[[], float] = time.time) -> None:
        paths = [run_paths(run.made).result for piece in pieces if piece.beside is None for run in piece.runs]
        self.clock, self.began, self.count = clock, clock(), len(paths)
        self.left = {path: _stamp(path) for path in paths}
        self.said, self.said_at, self.look_from = -1, self.began, self.began

    def has_new(self, path: Path) -> bool:
        """Was this result written since the beginning?"""
        return path not in self.left or _stamp(path) != self.left[path]

    def look(self, working: int) -> None:
        """Say how far it is, where there is news or nothing was said for long."""
        now = self.clock()
        if now < self.look_from:
            return
        for path in [path for path in self.left if self.has_new(path)]:
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
