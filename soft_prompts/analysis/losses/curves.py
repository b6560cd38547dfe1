"""How does the loss of one model and prompt kind fall with prompt tokens?

Seeds are never averaged away: a point shows their mean and keeps each of them. Differences between token counts are
paired on the same test items, which takes most of the noise out of them.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from soft_prompts.analysis.losses.drafts import (
    Draft,
    metric_of,
    same_shape,
    token_counts,
)
from soft_prompts.stats.paired import SeedValue, Share, mean_over_seeds, paired_difference, share_closed


@dataclass(frozen=True)
class Point:
    tokens: int
    value: float | None
    stderr: float | None
    seeds: tuple[SeedValue, ...]


@dataclass(frozen=True)
class Difference:
    """Loss per unit at `tokens` minus that at `against` tokens, on the same items."""

    tokens: int
    against: int
    value: float
    stderr: float | None
    items: int
    clusters: int
    seeds: tuple[SeedValue, ...]


@dataclass(frozen=True)
class Gap:
    """Loss per unit at `tokens` minus that of a reference model on the same items."""

    tokens: int
    reference: str
    to_bare: Difference
    """To the reference model without a prompt."""
    to_prompted: Difference | None
    """To the reference model with as many tokens."""
    closed: Share | None
    """Share of the gap between the two bare models that these tokens close."""


@dataclass(frozen=True)
class Curve:
    """One model, prompt kind and condition mode: losses over token counts, lowest first."""

    experiment: str
    variant: str | None
    data: str
    model: str
    prompt: str | None
    condition_mode: str | None
    settings: Mapping[str, Any]
    """What else differs from the other curves of the same prompt kind and condition mode."""
    headline: str
    metric: str
    unit: str
    curve: tuple[Point, ...]
    paired: tuple[Difference, ...] = ()
    condition_information: tuple[Difference, ...] = ()
    """Loss of the prompts trained without conditions minus loss of these, at equal token counts (`against`)."""
    gaps: "tuple[Gap, ...]" = ()
    """How far this model is from the reference model that was asked for."""
    scored_units: int | None = None
    data_fingerprint: str | None = None
    warnings: tuple[str, ...] = ()


def finished_curve(draft: Draft) -> Curve:
    counts = sorted({run.tokens for run in draft.runs})
    points = []
    for tokens in counts:
        metrics = {run.seed: metric_of(run, draft.metric) for run in draft.runs if run.tokens == tokens}
        seeds = tuple(SeedValue(seed, metric.value, metric.stderr) for seed, metric in metrics.items())
        points.append(Point(tokens, *mean_over_seeds(seeds), seeds))
        missing = {
            f"no {draft.metric} at {token_counts({tokens})}: {m.reason}" for m in metrics.values() if m.value is None
        }
        draft.warnings += sorted(missing)
    pairs = [(tokens, 0) for tokens in counts if tokens and 0 in counts]
    pairs += [(after, before) for before, after in itertools.pairwise(counts) if before]
    paired = (difference(draft, tokens, draft, against) for tokens, against in sorted(pairs))
    totals = [int(items.scored_units.sum()) for seeds in draft.items.values() for items in seeds.values()]
    return Curve(
        *draft.subject,
        prompt=draft.kind.prompt,
        condition_mode=draft.kind.condition_mode,
        settings=dict(draft.kind.settings),
        headline=draft.runs[-1].result.headline if draft.runs else draft.metric,
        metric=draft.metric,
        unit=draft.unit,
        curve=tuple(points),
        paired=tuple(difference for difference in paired if difference is not None),
        scored_units=totals[0] if totals else None,
        data_fingerprint=draft.runs[-1].result.data.fingerprint if draft.runs else None,
        warnings=tuple(draft.warnings),
    )


def gap(draft: Draft, tokens: int, reference: Draft) -> Gap | None:
    """Paired over the items, or None where the reference model was not tested on the same ones."""
    to_bare = difference(draft, tokens, reference, 0)
    if to_bare is None:
        return None
    like = next(iter(draft.items[tokens].values()))
    prompted, bare, goal = (
        [items.loss_nats for items in side.items.get(count, {}).values()]
        for side, count in ((draft, tokens), (draft, 0), (reference, 0))
    )
    closed = share_closed(prompted, bare, goal, like.cluster) if bare else None
    return Gap(tokens, reference.subject.model, to_bare, difference(draft, tokens, reference, tokens), closed)


def difference(draft: Draft, tokens: int, other: Draft, against: int) -> Difference | None:
    """Paired over the items, or None where they are not the same items."""
    first, second = draft.items.get(tokens, {}), other.items.get(against, {})
    prints = {
        run.result.data.items_fingerprint
        for side, count in ((draft, tokens), (other, against))
        for run in side.runs
        if run.tokens == count and run.seed in side.items.get(count, {})
    }
    if not first or not second or len(prints) > 1 or None in prints:
        return None
    every = [*first.values(), *second.values()]
    like = every[0]
    if not all(same_shape(items, like) for items in every):
        draft.warnings.append(
            f"items of {token_counts({tokens, against})} claim to be the same and are not: not paired"
        )
        return None
    losses, base = ({seed: items.loss_nats for seed, items in side.items()} for side in (first, second))
    paired = paired_difference(losses, base, like.scored_units, like.cluster)
    return None if paired is None else Difference(tokens, against, *paired[0], paired[1])


def short_names(models: Iterable[str]) -> dict[str, str]:
    """A folder's last part, unless another of the models would be called the same; other names, owner/name too, as they
    are."""
    short = {name: PurePath(name).name if name.count("/") > 1 else name for name in models}
    counts = Counter(short.values())
    return {name: part if counts[part] == 1 else name for name, part in short.items()}


def curve_title(curve: Curve, has_rivals: bool, models: Iterable[str] = ()) -> str:
    """Model, known from the others that are read, and task; the kind of prompt, where another was trained on them."""
    task = f"{curve.experiment} {curve.variant}" if curve.variant else curve.experiment
    model = short_names({*models, curve.model})[curve.model]
    kind = f" ({curve.prompt}, conditions {curve.condition_mode or 'none'})" if has_rivals else ""
    return f"{model}, {task} on {curve.data}{kind}"
