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

from soft_prompts.curves import (
    Curve,
    Difference,
    Draft,
    Gap,
    Kind,
    Run,
    Subject,
    difference,
    draft_curve,
    finished_curve,
    gap,
)
from soft_prompts.errors import InputError, UsageError
from soft_prompts.paired import SeedValue, Share
from soft_prompts.paths import PROMPT_ONLY
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


def compare(paths: Iterable[Path], metric: str | None = None, reference: str | None = None) -> Comparison:
    """Curves of every run among `paths`, by `metric` (default: each result's own headline).

    `reference` names a model: every other curve then says how far it is from that model's. Raises UsageError where no
    result has the metric or the reference.
    """
    found = find_results(paths)
    runs = [Run(*pair) for pair in found.results if pair[1].role == "run"]
    _check_metric(metric, runs)
    _check_reference(reference, runs)
    groups = [group for group in _groups(runs) if metric is None or any(metric in r.result.metrics for r in group[2])]
    drafts = [draft_curve(*group, metric) for group in groups]
    curves = [finished_curve(draft) for draft in drafts]
    curves = [
        dataclasses.replace(
            curve,
            condition_information=_information(draft, drafts),
            gaps=_gaps(draft, _reference_draft(draft, drafts, reference)),
        )
        for curve, draft in zip(curves, drafts, strict=True)
    ]
    return Comparison(tuple(curves), tuple(found.problems), _between(curves), len(found.results) - len(runs))


def _reference_draft(draft: Draft, drafts: list[Draft], reference: str | None) -> Draft | None:
    """The curve of the reference model that is like this one; of its kind if there is one."""
    like = [other for other in drafts if other.subject == draft.subject._replace(model=reference or "")]
    same = [other for other in like if other.kind == draft.kind]
    return next(iter([*same, *like]), None) if reference != draft.subject.model else None


def _gaps(draft: Draft, reference: Draft | None) -> tuple[Gap, ...]:
    if reference is None:
        return ()
    found = (gap(draft, tokens, reference) for tokens in sorted({run.tokens for run in draft.runs}))
    return tuple(gap for gap in found if gap is not None)


def _check_reference(reference: str | None, runs: list[Run]) -> None:
    known = sorted({run.result.model.name for run in runs})
    if reference is not None and reference not in known and runs:
        raise UsageError(f"--reference is {reference}, of which there is no result; give one of {', '.join(known)}")


def _check_metric(metric: str | None, runs: list[Run]) -> None:
    known = sorted({name for run in runs for name in run.result.metrics})
    if metric is None or metric in known or not runs:
        return
    close = difflib.get_close_matches(metric, known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise UsageError(f"--metric is {metric}, which no result has{hint}; give one of {', '.join(known)}")


def _groups(runs: list[Run]) -> list[tuple[Subject, Kind, list[Run]]]:
    """Runs by curve; those of the bare model belong to every curve of their subject."""
    bare: dict[Subject, list[Run]] = defaultdict(list)
    prompted: dict[tuple[Subject, Kind], list[Run]] = defaultdict(list)
    for run in runs:
        result = run.result
        subject = Subject(result.experiment, result.variant, result.data.name, result.model.name)
        if run.tokens == 0:
            bare[subject].append(run)
        else:
            prompted[subject, Kind(result.prompt.kind, result.prompt.condition_mode)].append(run)
    groups = [
        (subject, kind._replace(settings=settings), bare[subject] + members)
        for (subject, kind), every in prompted.items()
        for settings, members in _by_settings(every).items()
    ]
    with_prompt = {subject for subject, _ in prompted}
    groups += [(subject, Kind(None, None), members) for subject, members in bare.items() if subject not in with_prompt]
    return sorted(groups, key=lambda group: [str(part or "") for part in (*group[0], *group[1])])


def _by_settings(runs: list[Run]) -> dict[tuple[tuple[str, Any], ...], list[Run]]:
    """One curve, unless runs of the same token count and seed were trained with different settings: then one for each.

    Settings that differ between token counts alone stay one curve, with a warning: somebody may choose them by count.
    """
    cells: dict[tuple[int, int], list[Run]] = defaultdict(list)
    for run in runs:
        cells[run.tokens, run.seed].append(run)
    names = sorted(PROMPT_ONLY - {"seed", "prompt", "condition"})
    differ = [
        name
        for name in names
        if any(len({str(run.result.config.get(name)) for run in cell}) > 1 for cell in cells.values())
    ]
    parts: dict[tuple[tuple[str, Any], ...], list[Run]] = defaultdict(list)
    for run in runs:
        parts[tuple((name, run.result.config.get(name)) for name in differ)].append(run)
    return parts


def _information(draft: Draft, drafts: list[Draft]) -> tuple[Difference, ...]:
    """What the conditions are worth: loss of a prompt trained without them minus loss of this one (measurement)."""
    rivals = [other for other in drafts if other.subject == draft.subject and other.kind.condition_mode == "none"]
    if draft.kind.condition_mode != "true" or not rivals:
        return ()
    without = next((rival for rival in rivals if rival.kind.prompt == "direct"), rivals[0])
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
    if isinstance(value, SeedValue | Share):
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
    reference: str | None = None
    """Model that the others are compared with, item by item: the gap to it, and the share of it that tokens close."""
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
    comparison = compare(options.paths, options.metric, options.reference)
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
