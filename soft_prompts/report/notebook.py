"""What does a notebook show of results? A tidy frame, the comparison as Python values, a figure."""

import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soft_prompts.analysis import comparison
from soft_prompts.analysis.readings import read_all
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.report.terminal.as_json import as_json
from soft_prompts.results.schema import Result
from soft_prompts.stats.distance import DRAWS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

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
    """What `soft-prompts compare --json` prints, as Python values: an entry a curve, with its distance.

    Raises InputError where there is no result, UsageError where none has the metric or the reference.
    """
    readings = read_all(_paths(results), metric, reference, draws)
    _warn(readings.problems)
    if not readings.readings:
        raise InputError("there are no results; give results, files or folders of them, or run an experiment first")
    return json.loads(json.dumps([as_json(reading) for reading in readings.readings], allow_nan=False))


def plot(results: Place | Iterable[Place], metric: str | None = None) -> "Figure":
    """The curves of the results as a figure that a notebook shows; `savefig` keeps it.

    Raises InputError where no curve has a value, UsageError where no result has the metric.
    """
    from soft_prompts.report.figures.plots import curve_figure  # matplotlib takes half a second to load

    compared = comparison.compare(_paths(results), metric)
    _warn(compared.problems)
    return curve_figure(compared)


def _paths(results: Place | Iterable[Place]) -> list[Path]:
    return [Path(one) for one in ([results] if isinstance(results, str | os.PathLike) else results)]


def _warn(problems: Iterable[str]) -> None:
    for problem in problems:
        warnings.warn(f"skipped: {problem}", stacklevel=3)
