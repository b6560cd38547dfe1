"""What do very many stored results say? As `readings`, holding the results of one task at a time: what is kept of a
curve are its words and numbers."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from soft_prompts.analysis.battery import PLANTED
from soft_prompts.analysis.contrasts import adjusted
from soft_prompts.analysis.losses.comparison import compared, finished_curves
from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.losses.gathering import check_asked, drafts_by
from soft_prompts.analysis.readings import Asked, Reading, Stored, read_drafts
from soft_prompts.analysis.scales import End, Scale
from soft_prompts.common.errors import InputError
from soft_prompts.results.files import Found
from soft_prompts.results.index import Index


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
    index, readings, warnings = Index(paths), list[Reading](), list[str]()
    check_asked(metric, asked.reference, index.metrics(), index.models())
    problems = list(index.problems)
    for task in index.tasks():
        results = _read(index, index.paths(task), problems)
        runs = [run for run in results if run.result.role == "run"]
        prints = {run.result.model.fingerprint for run in runs}
        planted = _read(index, index.of_role(PLANTED, prints), problems)
        drafts = drafts_by(runs, metric)
        comparison = compared(Found([], []), finished_curves(drafts, asked.reference))
        readings += map(kept, read_drafts(drafts, comparison.curves, Stored(results, planted), asked))
        warnings += comparison.warnings
    return ByTask(tuple(adjusted(readings)), tuple(dict.fromkeys(problems)), tuple(warnings), index.count(beside=True))


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
    config = {name: value for name, value in run.result.config.items() if name == "init"}
    return run._replace(result=dataclasses.replace(run.result, config=config, metrics={}))
