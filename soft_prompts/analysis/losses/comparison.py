"""How do curves compare? Results in; curves with paired differences out."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soft_prompts.analysis.losses.curves import Curve, Difference, Gap, difference, finished_curve, gap
from soft_prompts.analysis.losses.drafts import Draft
from soft_prompts.analysis.losses.gathering import drafts_of
from soft_prompts.prompts.kinds import UNCONDITIONAL
from soft_prompts.results.files import Found, find_results


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


def _information(draft: Draft, drafts: list[Draft]) -> tuple[Difference, ...]:
    """What the conditions are worth: loss of a prompt trained without them minus loss of this one."""
    rivals = [other for other in drafts if other.subject == draft.subject and other.kind.condition_mode == "none"]
    if draft.kind.condition_mode != "true" or not rivals:
        return ()
    without = next((rival for rival in rivals if rival.kind.prompt == UNCONDITIONAL), rivals[0])
    counts = sorted({run.tokens for run in draft.runs if run.tokens} & {run.tokens for run in without.runs})
    found = (difference(without, tokens, draft, tokens) for tokens in counts)
    return tuple(difference for difference in found if difference is not None)


def _between(curves: Sequence[Curve]) -> tuple[str, ...]:
    """Curves of one experiment whose losses are not about the same data, or the same units of them."""
    return (*_other_data(curves), *_other_units(curves))


def _other_data(curves: Sequence[Curve]) -> tuple[str, ...]:
    prints: dict[tuple[Any, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for curve in curves:
        if curve.data_fingerprint is not None:
            prints[curve.experiment, curve.variant, curve.data][curve.data_fingerprint].append(curve.model)
    return tuple(
        f"{experiment}: different data are called {data}, and their losses say nothing of each other: "
        + "; ".join(", ".join(dict.fromkeys(models)) for models in by_print.values())
        for (experiment, _, data), by_print in prints.items()
        if len(by_print) > 1
    )


def _other_units(curves: Sequence[Curve]) -> tuple[str, ...]:
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
