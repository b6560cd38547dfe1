"""What do very many stored results say? As `readings`, holding the results of one task at a time: what is kept of a
curve are its words and numbers."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from soft_prompts.analysis.battery import SOUGHT
from soft_prompts.analysis.bits import Bits
from soft_prompts.analysis.contrasts import adjusted
from soft_prompts.analysis.losses.comparison import compared, finished_curves
from soft_prompts.analysis.losses.drafts import Run, Subject
from soft_prompts.analysis.losses.gathering import check_asked, drafts_by
from soft_prompts.analysis.points import Point
from soft_prompts.analysis.readings import Asked, Reading, Readings, Stored, read_drafts
from soft_prompts.analysis.scales import Scale
from soft_prompts.common.errors import InputError
from soft_prompts.results.files import Found
from soft_prompts.results.index import Index, Task

SETTINGS = ("init", "rank")  # that tables and prices are told
METRICS = ("validation_loss", "test_loss")  # that a page is told beside the one that is compared


class Part(NamedTuple):
    """A task: its curves, and all that lies there, of any role."""

    readings: Sequence[Reading]
    results: Sequence[Run]


class Tasks:
    """The readings of `read_all` one after another, with the results of one task in memory; before Holm, which takes
    all of them. What is wrong with the results is known when the last one was read."""

    def __init__(self, paths: Sequence[Path], metric: str | None, asked: Asked, texts: bool = False) -> None:
        """With the `texts` that models wrote, or without: they are most of a result.

        Raises UsageError where no result has the metric or the reference.
        """
        self._index, self._metric, self._asked, self._texts = Index(paths), metric, asked, texts
        check_asked(metric, asked.reference, self._index.metrics(), self._index.models())
        self._problems = list(self._index.problems)
        self._warnings: list[str] = []

    def __iter__(self) -> Iterator[Reading]:
        for part in self.parts():
            yield from part.readings

    def parts(self) -> Iterator[Part]:
        """Task after task."""
        return map(self._part, self._index.tasks())

    def subjects(self) -> dict[Path, Subject]:
        """What each run is about, known before any is read: there is a curve of each subject at least."""
        return {path: Subject(*found) for path, found in self._index.runs(self._metric)}

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

    def _part(self, task: Task) -> Part:
        results = self._read(self._index.paths(task))
        runs = [run for run in results if run.result.role == "run"]
        prints = {run.result.model.fingerprint for run in runs}
        planted = self._read([path for role in SOUGHT for path in self._index.of_role(role, prints)])
        drafts = drafts_by(runs, self._metric)
        comparison = compared(Found([], []), finished_curves(drafts, self._asked.reference))
        self._warnings += comparison.warnings
        return Part(read_drafts(drafts, comparison.curves, Stored(results, planted), self._asked), results)

    def _read(self, paths: Sequence[Path]) -> list[Run]:
        found = []
        for path in paths:
            try:
                result = self._index.read(path)
            except InputError as error:  # it was whole a moment ago
                self._problems.append(str(error))
                continue
            found.append(Run(path, result if self._texts else dataclasses.replace(result, generations=())))
        return found


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


def collected_whole(tasks: Tasks) -> Readings:
    """What `read_all` gives, but of each result what a page shows alone: no settings, and the texts of a run a token
    count."""
    readings, results = list[Reading](), list[Run]()
    for part in tasks.parts():
        shorter = _Shorter(part.readings)
        readings += [_with(reading, shorter) for reading in part.readings]
        results += map(shorter, part.results)
    return Readings(tuple(adjusted(readings)), tasks.problems, tasks.warnings, tuple(results))


class _Shorter:
    """Of a run of some readings what a page shows; the same object for the same file."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        written = (run_with_texts(reading, point) for reading in readings for point in reading.points)
        self._written = {run.path for run in written if run is not None}
        self._metrics = {*METRICS, *(reading.curve.metric for reading in readings)}
        self._made: dict[Path, Run] = {}

    def __call__(self, run: Run) -> Run:
        if run.path not in self._made:
            result = run.result
            shown = self._metrics | {result.headline}
            metrics = {name: metric for name, metric in result.metrics.items() if name in shown}
            texts = result.generations if run.path in self._written else ()
            self._made[run.path] = run._replace(
                result=dataclasses.replace(result, metrics=metrics, generations=texts, config={})
            )
        return self._made[run.path]


def run_with_texts(reading: Reading, point: Point) -> Run | None:
    """The run whose texts stand for a token count: the chosen one, or another that wrote any."""
    same = (run for run in reading.runs if run.tokens == point.tokens)
    return next((run for run in (point.chosen, *same) if run.result.generations), None)


def _with(reading: Reading, change: Callable[[Run], Run]) -> Reading:
    """The reading without the draws behind its shares, each of its runs changed."""
    return dataclasses.replace(
        reading,
        points=tuple(point._replace(chosen=change(point.chosen)) for point in reading.points),
        runs=tuple(map(change, reading.runs)),
        prompts=tuple(map(change, reading.prompts)),
        deed=_without_rows(reading.deed, change),
        loss=_without_rows(reading.loss, change),
        anchors={role: tuple(map(change, runs)) for role, runs in reading.anchors.items()},
        bits=None if reading.bits is None else _bits(reading.bits, change),
        controls=tuple(dataclasses.replace(one, runs=tuple(map(change, one.runs))) for one in reading.controls),
        seed_shares={},
    )


def kept(reading: Reading) -> Reading:
    """What tables, sentences and figures need of a reading: of its runs those that stand for a token count."""
    return _with(_of_points(reading), _thin)


def kept_long(reading: Reading) -> Reading:
    """What details and prices need as well: anchors with their numbers, controls, rounded prompts, and one run of each
    set of items."""
    items = {(run.result.data.items_fingerprint, run.result.model.fingerprint): run for run in reading.runs}
    return dataclasses.replace(
        kept(reading),
        runs=tuple(map(_thin, items.values())),
        anchors={role: tuple(map(_measured, runs)) for role, runs in reading.anchors.items()},
        bits=None if reading.bits is None else _bits(reading.bits, _thin),
        controls=tuple(dataclasses.replace(control, runs=()) for control in reading.controls),
    )


def _of_points(reading: Reading) -> Reading:
    """Without the runs that stand for no token count."""
    deed, loss = (None if scale is None else _without_anchors(scale) for scale in (reading.deed, reading.loss))
    return dataclasses.replace(reading, runs=(), prompts=(), deed=deed, loss=loss, anchors={}, bits=None, controls=())


def _without_anchors(scale: Scale) -> Scale:
    floor, ceiling = (None if end is None else end._replace(runs=()) for end in (scale.floor, scale.ceiling))
    return dataclasses.replace(scale, floor=floor, ceiling=ceiling)


def _without_rows(scale: Scale | None, change: Callable[[Run], Run]) -> Scale | None:
    if scale is None:
        return None
    floor, ceiling = (
        None if end is None else end._replace(runs=tuple(map(change, end.runs))) for end in (scale.floor, scale.ceiling)
    )
    witness = {mark: change(run) for mark, run in scale.witness.items()}
    return dataclasses.replace(scale, floor=floor, ceiling=ceiling, witness=witness, rows={}, ends=None)


def _bits(bits: Bits, change: Callable[[Run], Run]) -> Bits:
    codes = tuple(code._replace(run=change(code.run)) for code in bits.codes)
    prompt = None if bits.prompt is None else bits.prompt._replace(run=change(bits.prompt.run))
    return dataclasses.replace(bits, codes=codes, prompt=prompt)


def _thin(run: Run) -> Run:
    """Where it is, and how it was made as far as a table says it; its numbers are in points and scales."""
    return run._replace(result=dataclasses.replace(_measured(run).result, metrics={}))


def _measured(run: Run) -> Run:
    config = {name: value for name, value in run.result.config.items() if name in SETTINGS}
    return run._replace(result=dataclasses.replace(run.result, config=config))
