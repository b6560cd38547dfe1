"""How far is a grid, and where is what it made? Which run of how many, the time left, and at the end the places and the
next command."""

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from soft_prompts.common.command_line import without_flag
from soft_prompts.common.console import duration, say
from soft_prompts.common.errors import InputError
from soft_prompts.common.urls import as_typed
from soft_prompts.config import RunConfig
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.files import read_result
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.titles import titles


class Turn(NamedTuple):
    """The place of a run, or of several that go together, among others, in words."""

    titles: Sequence[str]
    """One a run."""
    grid: Callable[[], str] | None = None
    """Where the grid stands now; None where the run is alone, or somebody else says it."""
    load: Callable[[], FrozenModel] | None = None
    """Gives the runs' model, asked only where one of them has to be made."""

    @property
    def title(self) -> str:
        """The run's own; of several the first one's, and how many more."""
        more = len(self.titles) - 1
        return f"{self.titles[0]} and {more} more" if more else self.titles[0]


class GridProgress:
    """Which of several runs are done, and what that says of the others; a run is named by its place among them."""

    def __init__(self, configs: Sequence[RunConfig], jobs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.configs, self.jobs, self.clock = configs, jobs, clock
        self.titles = titles(configs)
        self.known = [not config.fresh and _has_succeeded(config) for config in configs]
        self.began: dict[int, float] = {}
        self.beside: dict[int, int] = {}  # runs that go with it, itself among them
        self.took: dict[int, float] = {}

    @contextmanager
    def turn(self, places: Sequence[int]) -> Iterator[Turn]:
        """Runs that go together, from the first line to the end of the last."""
        self.begins(places)
        yield Turn([self.titles[place] for place in places], self.line)
        self.ends(places)

    def begins(self, places: Sequence[int]) -> None:
        """Say so, but of a result that is read: that says it is."""
        self.began |= dict.fromkeys(places, self.clock())
        self.beside |= dict.fromkeys(places, len(places))
        if not all(self.known[place] for place in places):
            count = f": {len(places)} prompts together" if len(places) > 1 else ""
            say(f"{self.line()}: {Turn([self.titles[place] for place in places]).title}{count}")

    def ends(self, places: Sequence[int]) -> None:
        """The runs have their results."""
        self.took |= {place: self._spent(place) for place in places}

    def line(self) -> str:
        """`run 3 of 8, about 6 minutes left`, or `runs 3 to 6 of 8` where the newest go together."""
        left, count = self.seconds_left(), len(self.began)
        about = "" if left is None else f", about {duration(left)} left"
        size = self.beside[next(reversed(self.began))] if count else 1
        which = f"run {count}" if size == 1 else f"runs {count - size + 1} to {count}"
        return f"{which} of {len(self.configs)}{about}"

    def seconds_left(self) -> float | None:
        """Until the last run has ended; None where none was made yet. Results that are only read take no time."""
        made = [place for place in self.took if not self.known[place]]
        if not made:
            return None
        left = [
            max(0.0, self._expected(place, made) - self._spent(place))
            for place in range(len(self.configs))
            if place not in self.took and not self.known[place]
        ]
        return max(sum(left) / self.jobs, max(left, default=0.0))

    def _spent(self, place: int) -> float:
        """Its own share of the time."""
        return (self.clock() - self.began[place]) / self.beside[place] if place in self.began else 0.0

    def _expected(self, place: int, made: Sequence[int]) -> float:
        """Mean of the finished runs that are most like this one, where they train by their steps."""
        least = min(self._unlike(place, other) for other in made)
        alike = [other for other in made if self._unlike(place, other) == least]
        return sum(self.took[other] * self._steps(place, other) for other in alike) / len(alike)

    def _unlike(self, place: int, other: int) -> tuple[bool, bool, bool, int]:
        one, two = self.configs[place], self.configs[other]
        return (
            one.trains != two.trains,
            one.model != two.model,
            (one.task, one.role) != (two.task, two.role),
            abs(one.tokens - two.tokens),
        )

    def _steps(self, place: int, other: int) -> float:
        """How many times the other's steps; without steps on both sides it says nothing."""
        one, two = self.configs[place], self.configs[other]
        return one.steps / two.steps if one.trains and two.trains else 1.0


def _has_succeeded(config: RunConfig) -> bool:
    """Whether an earlier result will most likely be read, not made."""
    try:
        return read_result(run_paths(config).result).status == "success"
    except InputError:
        return False


def say_where(configs: Sequence[RunConfig]) -> None:
    """Where results, snapshots and curves lie, and what to look at them with."""
    results, snapshots, events = map(as_typed, _folders(configs))
    say(f"results:   {results}")
    say(f"snapshots: {snapshots}")
    say(f"curves:    tensorboard --logdir {shlex.quote(events)}")
    say(f"next:      soft-prompts report {shlex.quote(results)} --out report.html")


def say_evidence(program: str, arguments: Sequence[str]) -> None:
    """The command that makes the evidence for the runs of this one, which are not made again."""
    kept = without_flag(without_flag(arguments, "--fresh"), "--evidence")
    say(f"evidence:  {program} {shlex.join([*kept, '--evidence', 'standard'])}")


def experiment_folder(config: RunConfig) -> str:
    """The first part of the run's path: experiment and variant."""
    return run_paths(config).events.relative_to(config.folder / "runs").parts[0]


def _folders(configs: Sequence[RunConfig]) -> tuple[Path, Path, Path]:
    """The experiment's own under results/, snapshots/ and runs/; these themselves where it has several variants."""
    output, names = configs[0].output_dir, {experiment_folder(config) for config in configs}
    name = names.pop() if len(names) == 1 else ""
    return output / "results" / name, output / "snapshots" / name, configs[0].folder / "runs" / name
