"""What do very many stored results say? As `readings`, holding the results of one task at a time: what is kept of a
curve are its words and numbers."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from soft_prompts.analysis.battery import PLANTED
from soft_prompts.analysis.bits import Bits, Code
from soft_prompts.analysis.contrasts import adjusted
from soft_prompts.analysis.losses.comparison import compared, finished_curves
from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.losses.gathering import check_asked, drafts_by
from soft_prompts.analysis.readings import Asked, Reading, Stored, read_drafts
from soft_prompts.analysis.scales import End, Scale
from soft_prompts.common.errors import InputError
from soft_prompts.results.files import Found
from soft_prompts.results.index import Index, Task

SETTINGS = ("init", "rank")  # that tables and prices are told


class Tasks:
    """The readings of `read_all` one after another, with the results of one task in memory; before Holm, which takes
    all of them. What is wrong with the results is known when the last one was read."""

    def __init__(self, paths: Sequence[Path], metric: str | None, asked: Asked) -> None:
        """Raises UsageError where no result has the metric or the reference."""
        self._index, self._metric, self._asked = Index(paths), metric, asked
        check_asked(metric, asked.reference, self._index.metrics(), self._index.models())
        self._problems = list(self._index.problems)
        self._warnings: list[str] = []

    def __iter__(self) -> Iterator[Reading]:
        for task in self._index.tasks():
            yield from self._readings(task)

    @property
    def problems(self) -> tuple[str, ...]:
        """Files that are no results, and why."""
        return tuple(dict.fromkeys(self._problems))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes two curves hard to compare."""
        return tuple(self._warnings)

    @property
    def beside(self) -> int:
        """How many results are no runs."""
        return self._index.count(beside=True)

    def _readings(self, task: Task) -> list[Reading]:
        results = _read(self._index, self._index.paths(task), self._problems)
        runs = [run for run in results if run.result.role == "run"]
        prints = {run.result.model.fingerprint for run in runs}
        planted = _read(self._index, self._index.of_role(PLANTED, prints), self._problems)
        drafts = drafts_by(runs, self._metric)
        comparison = compared(Found([], []), finished_curves(drafts, self._asked.reference))
        self._warnings += comparison.warnings
        return read_drafts(drafts, comparison.curves, Stored(results, planted), self._asked)


class ByTask(NamedTuple):
    """Every curve among some results, by task."""

    readings: tuple[Reading, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    beside: int
    """How many results are no runs."""


def read_by_task(paths: Sequence[Path], metric: str | None, asked: Asked) -> ByTask:
    """The same readings as those of `read_all`, without the runs that they were made of.

    Raises UsageError where no result has the metric or the reference.
    """
    return collected(Tasks(paths, metric, asked))


def collected(tasks: Tasks, long: bool = False) -> ByTask:
    """All of them, with what tables and sentences need; with `long` what details and prices need as well."""
    readings = adjusted([(kept_long if long else kept)(reading) for reading in tasks])
    return ByTask(tuple(readings), tasks.problems, tasks.warnings, tasks.beside)


def _read(index: Index, paths: Sequence[Path], problems: list[str]) -> list[Run]:
    """Without the texts that models wrote, which are most of a result."""
    found = []
    for path in paths:
        try:
            found.append(Run(path, dataclasses.replace(index.read(path), generations=())))
        except InputError as error:  # it was whole a moment ago
            problems.append(str(error))
    return found


def kept(reading: Reading) -> Reading:
    """What tables and sentences need of a reading: of its runs those that stand for a token count."""
    return dataclasses.replace(
        reading,
        points=tuple(point._replace(chosen=_thin(point.chosen)) for point in reading.points),
        runs=(),
        prompts=(),
        deed=_without_rows(reading.deed),
        loss=_without_rows(reading.loss),
        anchors={},
        bits=None,
        controls=(),
        seed_shares={},
    )


def kept_long(reading: Reading) -> Reading:
    """What details and prices need as well: anchors with their numbers, controls, rounded prompts, and one run of each
    set of items."""
    items = {(run.result.data.items_fingerprint, run.result.model.fingerprint): run for run in reading.runs}
    return dataclasses.replace(
        kept(reading),
        runs=tuple(map(_thin, items.values())),
        anchors={role: tuple(map(_measured, runs)) for role, runs in reading.anchors.items()},
        bits=None if reading.bits is None else _bits(reading.bits),
        controls=tuple(dataclasses.replace(control, runs=()) for control in reading.controls),
    )


def _bits(bits: Bits) -> Bits:
    prompt = None if bits.prompt is None else _code(bits.prompt)
    return dataclasses.replace(bits, codes=tuple(map(_code, bits.codes)), prompt=prompt)


def _code(code: Code) -> Code:
    return code._replace(run=_thin(code.run))


def _without_rows(scale: Scale | None) -> Scale | None:
    if scale is None:
        return None
    witness: Mapping[float, Run] = {mark: _thin(run) for mark, run in scale.witness.items()}
    ends = {"floor": _end(scale.floor), "ceiling": _end(scale.ceiling)}
    return dataclasses.replace(scale, **ends, witness=witness, rows={}, ends=None)


def _end(end: End | None) -> End | None:
    return None if end is None else end._replace(runs=())


def _thin(run: Run) -> Run:
    """Where it is, and how it was made as far as a table says it; its numbers are in points and scales."""
    return run._replace(result=dataclasses.replace(_measured(run).result, metrics={}))


def _measured(run: Run) -> Run:
    config = {name: value for name, value in run.result.config.items() if name in SETTINGS}
    return run._replace(result=dataclasses.replace(run.result, config=config))
