"""Which runs make up a curve, and how do curves compare? Results in; curves with paired differences out."""

import dataclasses
import difflib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from soft_prompts.errors import UsageError
from soft_prompts.paths import PROMPT_ONLY
from soft_prompts.results import Found, find_results


@dataclass(frozen=True)
class Comparison:
    curves: tuple[Curve, ...]
    problems: tuple[str, ...] = ()
    """Files that are no results, and why."""
    warnings: tuple[str, ...] = ()
    """What makes two curves hard to compare."""
    left_out: int = 0
    """Anchor and control runs: not points of a curve."""


def compare(paths: Iterable[Path], metric: str | None = None, reference: str | None = None) -> Comparison:
    """Curves of every run among `paths`, by `metric` (default: each result's own headline).

    `reference` names a model: every other curve then says how far it is from that model's. Raises UsageError where no
    result has the metric or the reference.
    """
    found = find_results(paths)
    drafts = drafts_of(found, metric, reference)
    return compared(found, finished_curves(drafts, reference))


def compared(found: Found, curves: Sequence[Curve]) -> Comparison:
    """The curves that were made of these results."""
    beside = sum(result.role != "run" for _, result in found.results)
    return Comparison(tuple(curves), tuple(found.problems), _between(curves), beside)


def drafts_of(found: Found, metric: str | None, reference: str | None) -> list[Draft]:
    """Every curve's runs with their items, in order of subject and kind; curves without the metric are left out."""
    runs = [Run(*pair) for pair in found.results if pair[1].role == "run"]
    _check_metric(metric, runs)
    _check_reference(reference, runs)
    groups = runs_by_curve(runs)
    measured = [group for group in groups if metric is None or any(metric in run.result.metrics for run in group[2])]
    return [draft_curve(*group, metric) for group in measured]


def finished_curves(drafts: list[Draft], reference: str | None) -> list[Curve]:
    """One of each draft, with what takes two of them: what conditions are worth, the gap to the reference model."""
    curves = [finished_curve(draft) for draft in drafts]
    return [
        dataclasses.replace(
            curve,
            condition_information=_information(draft, drafts),
            gaps=_gaps(draft, _reference_draft(draft, drafts, reference)),
        )
        for curve, draft in zip(curves, drafts, strict=True)
    ]


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


def runs_by_curve(runs: Sequence[Run]) -> list[tuple[Subject, Kind, list[Run]]]:
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


def _between(curves: Sequence[Curve]) -> tuple[str, ...]:
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
