"""What does a notebook show of results? A tidy frame, the comparison as Python values, a figure."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.analysis.verdicts import Word
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.report.labels import group_name
from soft_prompts.report.terminal.as_json import as_json
from soft_prompts.results.schema import Result
from soft_prompts.stats.bootstrap import DRAWS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


class ModelVerdict(NamedTuple):
    """What is known of one model and task."""

    model: str
    task: str
    verdict: Word


Place = str | os.PathLike[str]  # of results: a file or folder, or a result that was read from one


def to_frame(results: Iterable[Result]) -> "DataFrame":
    """One row for each metric of each result, with what tells the runs apart."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UsageError("to_frame needs pandas, which is not installed; pip install pandas") from error
    return DataFrame([row for result in results for row in _rows(result)], columns=COLUMNS)


COLUMNS = [
    *("experiment", "variant", "data", "model", "prompt", "tokens", "seed", "role"),
    *("metric", "value", "stderr", "n", "unit"),
]


def _rows(result: Result) -> list[dict[str, Any]]:
    run = {name: getattr(result, name) for name in ("experiment", "variant", "role")}
    run |= {"data": result.data.name, "model": result.model.name, "seed": result.training.seed}
    run |= {"prompt": result.prompt.kind, "tokens": result.prompt.tokens}
    return [
        run | {"metric": name, "value": metric.value, "stderr": metric.stderr, "n": metric.n, "unit": metric.unit}
        for name, metric in result.metrics.items()
    ]


def compare(
    results: Place | Iterable[Place], metric: str | None = None, reference: str | None = None, draws: int = DRAWS
) -> list[dict[str, Any]]:
    """The curves that `soft-prompts compare --json` prints, as Python values.

    Raises InputError where there is no result, UsageError where none has the metric or the reference.
    """
    return [as_json(reading) for reading in _read(results, metric, reference, draws)]


def verdicts(results: Place | Iterable[Place], reference: str | None = None) -> list[ModelVerdict]:
    """Of each curve whether the behaviour is in the model: PRESENT, HIDDEN, FAR, NOT FOUND, UNDECIDED or NO SCALE.

    Raises as `compare` does.
    """
    readings = _read(results, None, reference, DRAWS)
    return [ModelVerdict(one.curve.model, group_name([one.curve]), one.verdict.word) for one in readings]


def _read(
    results: Place | Iterable[Place], metric: str | None, reference: str | None, draws: int
) -> tuple[Reading, ...]:
    readings = read_all(_paths(results), metric, reference, draws)
    _warn(readings.problems, 4)
    if not readings.readings:
        raise InputError("there are no results; give results, files or folders of them, or run an experiment first")
    return readings.readings


def plot(results: Place | Iterable[Place], metric: str | None = None) -> "Figure":
    """The curves of the results as a figure that a notebook shows; `savefig` keeps it.

    Raises InputError where no curve has values at two token counts, UsageError where no result has the metric.
    """
    from soft_prompts.report.figures.plots import curve_figure

    return curve_figure(_read(results, metric, None, DRAWS))


def _paths(results: Place | Iterable[Place]) -> list[Path]:
    return [Path(one) for one in ([results] if isinstance(results, str | os.PathLike) else results)]


def _warn(problems: Iterable[str], level: int = 3) -> None:
    """At the line of the caller's caller, or `level` calls up."""
    for problem in problems:
        warnings.warn(f"skipped: {problem}", stacklevel=level)
