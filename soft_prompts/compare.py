"""How many prompt tokens does each model need? Result files in; curves, paired differences, tables and figures out."""

import dataclasses
import difflib
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.text import Text

from soft_prompts.curves import Curve, Difference, Draft, Run, Subject, difference, draft_curve, finished_curve
from soft_prompts.errors import InputError, UsageError
from soft_prompts.paired import SeedValue
from soft_prompts.results import find_results
from soft_prompts.tables import csv_text, print_tables

PLOT_SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Comparison:
    curves: tuple[Curve, ...]
    problems: tuple[str, ...] = ()
    """Files that are no results, and why."""
    warnings: tuple[str, ...] = ()
    """What makes two curves hard to compare."""
    left_out: int = 0
    """Anchor and control runs: not points of a curve."""

    def to_json(self) -> list[dict[str, Any]]:
        return [_plain(dataclasses.asdict(curve)) for curve in self.curves]


def compare(paths: Iterable[Path], metric: str | None = None) -> Comparison:
    """Curves of every run among `paths`, by `metric` (default: each result's own headline).

    Raises UsageError where no result has the metric.
    """
    found = find_results(paths)
    runs = [Run(*pair) for pair in found.results if pair[1].role == "run"]
    _check_metric(metric, runs)
    drafts = [draft_curve(*group, metric) for group in _groups(runs)]
    curves = [finished_curve(draft) for draft in drafts]
    curves = [
        dataclasses.replace(curve, condition_information=_information(draft, drafts))
        for curve, draft in zip(curves, drafts, strict=True)
    ]
    return Comparison(tuple(curves), tuple(found.problems), _between(curves), len(found.results) - len(runs))


def _check_metric(metric: str | None, runs: list[Run]) -> None:
    known = sorted({name for run in runs for name in run.result.metrics})
    if metric is None or metric in known or not runs:
        return
    close = difflib.get_close_matches(metric, known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise UsageError(f"--metric is {metric}, which no result has{hint}; give one of {', '.join(known)}")


def _groups(runs: list[Run]) -> list[tuple[Subject, str | None, str | None, list[Run]]]:
    """Runs by curve; those of the bare model belong to every curve of their subject."""
    bare: dict[Subject, list[Run]] = defaultdict(list)
    prompted: dict[tuple[Subject, str | None, str | None], list[Run]] = defaultdict(list)
    for run in runs:
        result = run.result
        subject = Subject(result.experiment, result.variant, result.data.name, result.model.name)
        if run.tokens == 0:
            bare[subject].append(run)
        else:
            prompted[subject, result.prompt.kind, result.prompt.condition_mode].append(run)
    groups = [(*key, bare[key[0]] + members) for key, members in prompted.items()]
    with_prompt = {subject for subject, _, _ in prompted}
    groups += [(subject, None, None, members) for subject, members in bare.items() if subject not in with_prompt]
    return sorted(groups, key=lambda group: [str(part or "") for part in (*group[0], *group[1:3])])


def _information(draft: Draft, drafts: list[Draft]) -> tuple[Difference, ...]:
    """What the conditions are worth: loss of a prompt trained without them minus loss of this one (measurement)."""
    rivals = [other for other in drafts if other.subject == draft.subject and other.mode == "none"]
    if draft.mode != "true" or not rivals:
        return ()
    without = next((rival for rival in rivals if rival.prompt == "direct"), rivals[0])
    counts = sorted({run.tokens for run in draft.runs if run.tokens} & {run.tokens for run in without.runs})
    found = (difference(without, tokens, draft, tokens) for tokens in counts)
    return tuple(difference for difference in found if difference is not None)


def _between(curves: list[Curve]) -> tuple[str, ...]:
    """Curves of one experiment whose losses are not about the same units."""
    totals: dict[tuple[Any, ...], dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for curve in curves:
        if curve.scored_units is not None:
            key = (curve.experiment, curve.variant, curve.data, curve.unit)
            totals[key][curve.scored_units].append(curve.model)
    return tuple(
        f"{experiment}: models were scored on different numbers of units ({unit.removeprefix('nats/')}): "
        + "; ".join(f"{total} for {', '.join(dict.fromkeys(models))}" for total, models in by_total.items())
        for (experiment, _, _, unit), by_total in totals.items()
        if len(by_total) > 1
    )


def _plain(value: Any) -> Any:
    """Dataclass values as JSON: named tuples with their names."""
    if isinstance(value, SeedValue):
        return value._asdict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class CompareOptions:
    """Table of losses by model and prompt tokens, with paired differences, from result files."""

    paths: tyro.conf.Positional[tuple[Path, ...]] = (Path("results"),)
    """Result files or folders of them; a folder's reference/ counts only when named itself."""
    metric: str | None = None
    """Metric to compare; default: each result's own headline."""
    bits: tyro.conf.FlagCreatePairsOff[bool] = False
    """Losses of the table in bits instead of nats."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print JSON alone: every seed, in the metric's own unit."""
    csv: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print CSV alone: a row a point and a row a seed, in the metric's own unit."""
    plot: Path | None = None
    """Write the figure to this file: .png, .svg or .pdf."""

    def __post_init__(self) -> None:
        if self.json and self.csv:
            raise UsageError("--json and --csv are both given; stdout holds one of them: give one")
        if self.plot is not None and self.plot.suffix.lower() not in PLOT_SUFFIXES:
            raise UsageError(f"--plot is {self.plot}; give a file that ends in {', '.join(PLOT_SUFFIXES)}")


def compare_command(options: CompareOptions) -> int:
    """Prints the comparison; 1 where some file was no result (each is named on stderr), else 0.

    Raises InputError where there is no result at all, UsageError for an unknown metric.
    """
    comparison = compare(options.paths, options.metric)
    for problem in comparison.problems:
        print(f"skipped: {problem}", file=sys.stderr)
    if not comparison.curves:
        where = ", ".join(map(str, options.paths))
        raise InputError(f"no results in {where}; give result files or folders of them, or run an experiment first")
    if options.json:
        _write(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    elif options.csv:
        _write(csv_text(comparison.curves))
    else:
        _write(_table_text(comparison, options.bits))
    if options.plot is not None:
        _write_plot(comparison, options.plot)
    return 1 if comparison.problems else 0


def _table_text(comparison: Comparison, in_bits: bool) -> str:
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = 10_000  # no terminal: a pipe or file has no width to fold into
    with console.capture() as captured:
        print_tables(console, comparison.curves, in_bits)
        for warning in comparison.warnings:
            console.print(Text.assemble(("warning: ", "yellow"), warning))
        if comparison.left_out:
            console.print(f"{comparison.left_out} anchor and control runs are not points of a curve", style="dim")
    return captured.get()


def _write(text: str) -> None:
    """To stdout, in ASCII where it speaks nothing better."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("±", "+-").replace("·", "|").encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_plot(comparison: Comparison, path: Path) -> None:
    from soft_prompts.plots import curve_figure, write_figure  # matplotlib takes half a second to load

    write_figure(curve_figure(comparison), path)
    print(f"figure written to {path}", file=sys.stderr)
