"""What do stored results say of a behaviour? Result files in; a reading of every curve out, with its verdict.

Runs make the curve, anchors the scale, controls, trials and planted secrets the checks. Everything comes from stored
results and their items alone: docs/measurement.md.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from soft_prompts.analysis import checks
from soft_prompts.analysis.anchors import TRAINED, AnchorPool
from soft_prompts.analysis.battery import Power, Sought, Tried, planted, planted_elsewhere, read_battery, read_sought
from soft_prompts.analysis.bits import Bits, most_bits_taken, read_codes, training_bits
from soft_prompts.analysis.checks import Check
from soft_prompts.analysis.contrasts import ModelContrast, adjusted, contrasted
from soft_prompts.analysis.controls import Control, read_controls
from soft_prompts.analysis.losses.comparison import Comparison, compared, finished_curves
from soft_prompts.analysis.losses.curves import Curve, curve_title
from soft_prompts.analysis.losses.drafts import Draft, Run
from soft_prompts.analysis.losses.gathering import drafts_of
from soft_prompts.analysis.points import Point, plain_words, points_of
from soft_prompts.analysis.prompts import belongs, by_seed, chosen_of, prompts_of, reason_against, scores_of, some_items
from soft_prompts.analysis.scales import Scale, disagreements, scale_by
from soft_prompts.analysis.verdicts import Case, Verdict, verdict
from soft_prompts.results.files import find_results
from soft_prompts.stats.bootstrap import DRAWS, Floats, Scores
from soft_prompts.stats.contrasts import LEAST_SEEDS
from soft_prompts.stats.scales import share_rows

__all__ = ["Bits", "Check", "Control", "ModelContrast", "Point", "Power", "Reading", "Readings", "Scale", "read_all"]

BITS_OF_TRAINING = 0.1  # of what the training labels hold: a prompt of more bits is no hint


@dataclass(frozen=True, eq=False)
class Reading:
    """One curve, and what is known of its behaviour."""

    curve: Curve
    points: tuple[Point, ...]
    """By token count, the bare model first."""
    runs: tuple[Run, ...]
    """Of the grid, by token count and seed."""
    prompts: tuple[Run, ...]
    """Every prompt that counts: those of the battery too."""
    deed: Scale | None
    """None where the task has no outcome."""
    loss: Scale | None
    checks: Mapping[str, Check]
    power: Power | None
    verdict: Verdict
    anchors: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    """Of the curve's own model, by role as anchor:lora."""
    bits: Bits | None = None
    controls: tuple[Control, ...] = ()
    battery: Tried | None = None
    contrasts: tuple[ModelContrast, ...] = ()
    notes: tuple[str, ...] = ()
    seed_shares: Mapping[int, Sequence[Floats]] = field(default_factory=dict, repr=False)
    """[R] share of each of the grid's seeds on the leading scale, by prompt tokens."""
    clusters: int = 0
    """Of test items."""

    @property
    def lead(self) -> Scale | None:
        """The scale that the verdict speaks of: by deed wherever the task has an outcome."""
        return self.deed or self.loss

    @property
    def evidence(self) -> int:
        """How many of the checks are passed."""
        return checks.passed(self.checks)


@dataclass(frozen=True)
class Readings:
    """Every curve among some results."""

    readings: tuple[Reading, ...]
    problems: tuple[str, ...]
    """Files that are no results, and why."""
    warnings: tuple[str, ...]
    """What makes two curves hard to compare."""
    results: tuple[Run, ...] = ()
    """Every result that was found, of any role."""

    @property
    def comparison(self) -> Comparison:
        """The losses alone."""
        beside = sum(run.result.role != "run" for run in self.results)
        return Comparison(tuple(one.curve for one in self.readings), self.problems, self.warnings, beside)


def read_all(
    paths: Iterable[Path],
    metric: str | None = None,
    reference: str | None = None,
    draws: int = DRAWS,
    same_scale: bool = False,
) -> Readings:
    """A reading of every curve among `paths`, by `metric` (default: each result's own headline).

    `reference` names a model that the others are compared with, and whose losses and outcomes are their ceiling;
    default: the one that the runs name. With `same_scale` models share their anchors wherever they stand on the same
    items. Raises UsageError where no result has the metric or the reference.
    """
    found = find_results(paths)
    results = tuple(Run(*pair) for pair in found.results)
    drafts = drafts_of(found, metric, reference)
    comparison = compared(found, finished_curves(drafts, reference))
    readings = read_drafts(
        drafts, comparison.curves, Stored(results, planted(results)), Asked(reference, draws, same_scale)
    )
    return Readings(tuple(adjusted(readings)), comparison.problems, comparison.warnings, results)


class Stored(NamedTuple):
    """What curves are held against."""

    results: Sequence[Run]
    planted: Sequence[Run]
    """Secrets that were sought in the same models, whatever the task."""


class Asked(NamedTuple):
    """How curves are read."""

    reference: str | None
    draws: int
    same_scale: bool


def read_drafts(drafts: Sequence[Draft], curves: Sequence[Curve], stored: Stored, asked: Asked) -> list[Reading]:
    """Of each curve, with its contrasts before Holm."""
    pool, beside = AnchorPool.of(stored.results, asked.reference, asked.same_scale), _by_subject(stored.results)
    pool.kinds.update(Counter(draft.subject for draft in drafts))
    pool.models.update(draft.subject.model for draft in drafts)
    return contrasted(
        [
            read_curve(
                draft,
                curve,
                pool,
                [*beside[tuple(draft.subject)], *planted_elsewhere(stored.planted, draft)],
                asked.draws,
            )
            for draft, curve in zip(drafts, curves, strict=True)
        ]
    )


def read_curve(draft: Draft, curve: Curve, pool: AnchorPool, beside: Sequence[Run], draws: int) -> Reading:
    """One curve from its runs, the anchors, and the other results of its model and data."""
    prompts, why = prompts_of(draft, beside), reason_against(draft)
    deed, loss = (None if why else scale_by(by, draft, prompts, pool, draws) for by in ("deed", "loss"))
    lead, like = deed or loss, some_items(draft)
    controls = read_controls(beside, draft, prompts, lead, draws)
    sought = read_sought(beside, draft)
    gap = _gap(loss, draft, prompts)
    bits = read_codes(beside, draft, prompts, gap, None if lead is None else lead.half.at_most)
    points = points_of(draft, prompts, deed, loss, draws)
    found, tried = _checks(draft, prompts, lead, controls, sought, gap)
    clusters = 0 if like is None else len(np.unique(like.cluster))
    case = Case(
        title=curve_title(curve, pool.kinds.get(draft.subject, 1) > 1, pool.models),
        draft=draft,
        beside=[run for run in beside if (run.tokens or run.result.role in TRAINED) and belongs(run, draft)],
        scale=lead,
        checks=found,
        power=sought.power,
        too_many_bits=_too_many_bits(bits, loss, prompts, draft),
        stray=_stray(draft, prompts, lead),
        plain=plain_words(points, curve),
        against=why,
        clusters=clusters,
    )
    return Reading(
        curve,
        points,
        tuple(draft.runs),
        tuple(run for runs in prompts.values() for run in runs if run.tokens),
        deed,
        loss,
        found,
        sought.power,
        verdict(case),
        anchors=pool.own(draft.subject),
        bits=bits,
        controls=controls,
        battery=tried,
        notes=tuple(disagreements(deed, loss)),
        seed_shares=_seed_shares(draft, prompts, lead, draws),
        clusters=clusters,
    )


def _checks(
    draft: Draft,
    prompts: Mapping[int, list[Run]],
    lead: Scale | None,
    controls: Sequence[Control],
    sought: Sought,
    gap: float | None,
) -> tuple[dict[str, Check], Tried | None]:
    """The four, and what the battery did where it counts."""
    holds = checks.scale_holds(lead)
    if lead is None or not lead.sound:
        unknown = Check("unknown", None, "there is no sound scale")
        return {name: holds if name == "scale" else unknown for name in checks.CHECKS}, None
    is_reached, most = lead.half.at_most is not None, max(lead.shares)
    bare = chosen_of(prompts[0]) if 0 in prompts else None
    hopeless = None if is_reached else checks.nothing_to_learn(bare, draft.metric)
    if not is_reached and most == 0:
        unknown = Check("unknown", None, checks.NO_PROMPT)
        return dict.fromkeys(checks.CHECKS, unknown) | {"scale": holds, "search": hopeless or unknown}, None
    tokens = most if lead.half.at_most is None else lead.half.at_most
    run = chosen_of(prompts[tokens])
    smaller = most if not is_reached else lead.half.more_than
    tried = read_battery(prompts, smaller, draft, lead, sought) if smaller else None
    own = Check("passed", None, "nothing stands in front")
    return {
        "scale": holds,
        "generalises": checks.generalises(run, draft.metric, gap, bare),
        "specific": checks.specific(controls, tokens, is_reached) if tokens else own,
        "search": hopeless if hopeless and tried is None else checks.search_sufficed(tried, sought.power, smaller),
    }, tried


def _gap(loss: Scale | None, draft: Draft, prompts: Mapping[int, list[Run]]) -> float | None:
    """Nats per unit between floor and ceiling; without a loss scale what the prompts gained."""
    if loss is not None and loss.floor is not None and loss.ceiling is not None:
        return loss.floor.value - loss.ceiling.value
    values = [[one.value for run in runs if (one := run.result.metrics.get(draft.metric))] for runs in prompts.values()]
    known = [[value for value in of_count if value is not None] for of_count in values]
    if 0 not in prompts or not known[0] or not any(known[1:]):
        return None
    return known[0][0] - min(min(of_count) for of_count in known[1:] if of_count)


def _stray(draft: Draft, prompts: Mapping[int, list[Run]], lead: Scale | None) -> tuple[int, float] | None:
    """A prompt that has half of the skill on the test items, though validation did not choose it: its tokens and share.

    It is no witness, for the test items would have chosen it; but nobody can say that nothing was found.
    """
    if lead is None or not lead.sound:
        return None
    shares = {
        (run.tokens, lead.share(scores.mean if lead.by == "deed" else -scores.mean))
        for runs in prompts.values()
        for run in runs
        if run.tokens and (scores := scores_of(run, draft.metric, lead.by))
    }
    return max((one for one in shares if one[1] >= lead.half.mark), key=lambda one: one[1], default=None)


def _too_many_bits(bits: Bits | None, loss: Scale | None, prompts: Mapping[int, list[Run]], draft: Draft) -> bool:
    """Of the rounded prompt, by its code or by what it took from the data at most, whichever is less."""
    if bits is None or bits.prompt is None or loss is None or loss.floor is None or loss.floor.kind != "frequencies":
        return False
    trained = chosen_of(prompts[bits.prompt.tokens])
    held, taken = training_bits(trained, loss.floor.value), most_bits_taken(trained, draft.metric, draft.unit)
    least = min(bits.prompt.bits, math.inf if taken is None else taken)
    return held is not None and least > BITS_OF_TRAINING * held


def _seed_shares(
    draft: Draft, prompts: Mapping[int, list[Run]], lead: Scale | None, draws: int
) -> dict[int, list[Floats]]:
    """Only where there are seeds enough for a contrast; the bare model is the same with every seed."""
    like = some_items(draft)
    if lead is None or lead.ends is None or like is None:
        return {}
    found: dict[int, list[Floats]] = {}
    for tokens in prompts:
        scores: list[Scores] = list(by_seed(draft, tokens, lead.by).values())
        scores = scores if tokens else LEAST_SEEDS * scores[:1]
        if len(scores) >= LEAST_SEEDS:
            found[tokens] = share_rows(scores, lead.ends, like.cluster, draws)
    return found


def _by_subject(results: Sequence[Run]) -> dict[tuple[Any, ...], list[Run]]:
    """What stands beside the runs, newest last, by experiment, variant, data and model."""
    found: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in sorted(results, key=lambda run: run.result.environment.finished or ""):
        result = run.result
        if result.role != "run":
            found[result.experiment, result.variant, result.data.name, result.model.name].append(run)
    return found
