"""Did the optimiser fail? What the battery's runs say at the largest token count of a curve."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from soft_prompts.analysis.anchors import validation_loss
from soft_prompts.analysis.distances import belongs, loss_of
from soft_prompts.analysis.drafts import Draft, Run
from soft_prompts.results.roles import FreshSeed, Longer, OtherRate, OtherStart
from soft_prompts.stats.distance import Distance
from soft_prompts.stats.optimiser import elasticity, failure_rate

TRIED = (OtherRate.kind, OtherStart.kind, FreshSeed.kind, Longer.kind)


SWEPT = ("learning_rate", "init", "steps")


@dataclass(frozen=True)
class Optimiser:
    """Shares are of the curve's own gap; None is not tried, or not to be had."""

    runs: Mapping[str, tuple[Run, ...]]
    """By role, as battery:rates."""
    moved: float | None
    """Share of the best trial, by validation, minus the curve's at that count."""
    search: float | None
    """Share of the best prompt that began from a search, by validation."""
    failure_rate: float | None
    """Of runs that differ by the seed alone, those that failed or are a tenth of the gap behind the best."""
    seeds: int
    """How many of them there are."""
    elasticity: float | None
    """d(share) / d(log2 steps): the rise of the share a doubling of steps."""


def read_battery(runs: Iterable[Run], draft: Draft, distance: Distance) -> Optimiser | None:
    """None where the curve has no battery at its largest token count."""
    most = max(point.tokens for point in distance.points)
    tried = [run for run in runs if run.result.role in TRIED and run.tokens == most and belongs(run, draft, SWEPT)]
    if not tried:
        return None
    by_role: dict[str, list[Run]] = defaultdict(list)
    for run in tried:
        by_role[run.result.role].append(run)
    own = [run for run in draft.runs if run.tokens == most]
    best = _share_of_best(tried, draft, distance)
    reached = distance.points[-1].share.value
    rate, seeds = _failures(by_role.get(FreshSeed.kind) or own, draft, distance)
    return Optimiser(
        {role: tuple(members) for role, members in sorted(by_role.items())},
        None if best is None or reached is None else best - reached,
        _share_of_best([run for run in [*tried, *own] if run.result.config.get("init") == "search"], draft, distance),
        rate,
        seeds,
        _elasticity(by_role[Longer.kind], [*own, *tried], draft, distance),
    )


def search_failed(battery: Optimiser | None, distance: Distance) -> bool:
    """Whether a search start was tried and stayed below the lowest mark that the curve does not reach."""
    if battery is None or battery.search is None:
        return False
    return battery.search < (distance.d_50.mark if distance.d_50.censored else distance.d_90.mark)


def _share_of_best(runs: Sequence[Run], draft: Draft, distance: Distance) -> float | None:
    """By validation; a trial without a validation loss cannot be chosen."""
    known = [run for run in runs if loss_of(run, draft) is not None and math.isfinite(validation_loss(run))]
    best = loss_of(min(known, key=validation_loss), draft) if known else None
    return None if best is None else distance.share(best)


def _failures(runs: Sequence[Run], draft: Draft, distance: Distance) -> tuple[float | None, int]:
    shares = [distance.share(loss) for run in runs if (loss := loss_of(run, draft)) is not None]
    stopped = sum(run.result.status == "failed" for run in runs)
    return failure_rate(shares, stopped), len(shares) + stopped


def _elasticity(longer: Sequence[Run], others: Sequence[Run], draft: Draft, distance: Distance) -> float | None:
    """Of the rerun and the run that it repeats: the same rate, start and seed, fewer steps."""
    for run in longer:
        for other in others:
            loss, before = loss_of(run, draft), loss_of(other, draft)
            steps, steps_before = run.result.training.steps, other.result.training.steps
            if loss is not None and before is not None and steps > steps_before > 0 and _key(run) == _key(other):
                return elasticity(distance.share(loss), distance.share(before), steps, steps_before)
    return None


def _key(run: Run) -> tuple[object, ...]:
    training = run.result.training
    return training.learning_rate, run.result.config.get("init"), training.seed
