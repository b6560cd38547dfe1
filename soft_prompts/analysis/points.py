"""What is known of a curve at each number of prompt tokens? The chosen prompt's loss, gain, outcome and shares."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from soft_prompts.analysis.bits import edl_bits, why_no_edl
from soft_prompts.analysis.losses.curves import Curve
from soft_prompts.analysis.losses.drafts import Draft, Run, metric_of, same_shape, token_counts
from soft_prompts.analysis.prompts import chosen_of, scores_of, some_items, whole_items
from soft_prompts.analysis.scales import Scale
from soft_prompts.stats.bootstrap import Counts, Interval, Scores, drawn_means, interval
from soft_prompts.stats.items import Items


class Point(NamedTuple):
    """One token count of a curve, by its chosen prompt."""

    tokens: int
    chosen: Run
    value: float | None
    """The headline, of the chosen prompt."""
    stderr: float | None
    gain: Interval | None
    """Nats per unit under the bare model, paired on the items."""
    improved: float | None
    """Share of the items with less loss than the bare model gives them."""
    outcome: Interval | None
    share_deed: Interval | None
    share_loss: Interval | None
    training_loss: float | None
    distinct_samples: int | None
    edl_bits: float | None
    no_edl: str | None = None
    """Why there is none, in words, where there is a reason to tell."""


def points_of(
    draft: Draft, prompts: Mapping[int, Sequence[Run]], deed: Scale | None, loss: Scale | None, draws: int
) -> tuple[Point, ...]:
    """In order of token counts."""
    like, chosen = some_items(draft), {count: chosen_of(runs) for count, runs in prompts.items()}
    alike = {count: run for count, run in chosen.items() if _is_on(like, run, draft)}
    scores = {count: scores_of(run, draft.metric, "loss") for count, run in alike.items()}
    cluster = None if like is None else like.cluster
    points = []
    for count, run in chosen.items():
        metric, training = metric_of(run, draft.metric), run.result.metrics.get("training_loss")
        distinct = run.result.metrics.get("distinct_samples")
        gain, improved = _gain(scores.get(0), scores.get(count), cluster, draws)
        points.append(
            Point(
                tokens=count,
                chosen=run,
                value=metric.value,
                stderr=metric.stderr,
                gain=gain,
                improved=improved,
                outcome=_outcome(run, draft, cluster, draws) if count in alike else None,
                share_deed=None if deed is None else deed.shares.get(count),
                share_loss=None if loss is None else loss.shares.get(count),
                training_loss=None if training is None else training.value,
                distinct_samples=None if distinct is None or distinct.value is None else int(distinct.value),
                edl_bits=edl_bits(run, draft.metric, draft.unit),
                no_edl=why_no_edl(run, draft.metric, draft.unit),
            )
        )
    return tuple(points)


def _is_on(like: Items | None, run: Run, draft: Draft) -> bool:
    """Whether a prompt was tested on items like these: a curve may hold runs on others, and is then read no further."""
    items = None if like is None else whole_items(run, draft.metric)
    return like is not None and items is not None and same_shape(items, like)


def _gain(
    bare: Scores | None, scores: Scores | None, cluster: Counts | None, draws: int
) -> tuple[Interval | None, float | None]:
    if bare is None or scores is None or cluster is None:
        return None, None
    rows = drawn_means([bare, scores], cluster, draws)
    improved = float(np.mean(scores.sums > bare.sums))
    return interval(rows[:, 1] - rows[:, 0], len(np.unique(cluster))), improved


def _outcome(run: Run, draft: Draft, cluster: Counts | None, draws: int) -> Interval | None:
    scores = scores_of(run, draft.metric, "deed") if cluster is not None else None
    if scores is None or cluster is None:
        return None
    found = interval(drawn_means([scores], cluster, draws)[:, 0], len(np.unique(cluster)))
    if found.low is None or found.high is None:
        return found
    low, high = scores.bounds(cluster)
    # draws are moved apart, for so few clusters vary too little: an outcome lies between 0 and 1 all the same
    return Interval(found.value, max(0.0, min(found.low, low)), min(1.0, max(found.high, high)))


def plain_words(points: Sequence[Point], curve: Curve) -> str:
    """What prompts gained, where there is nothing to measure it against."""
    gains = [point for point in points if point.tokens and point.gain is not None]
    if not gains:
        bare = next((point for point in points if point.tokens == 0 and point.outcome is not None), None)
        return (
            "" if bare is None or bare.outcome is None else f"With nothing in front {bare.outcome.value:.2f} is right."
        )
    best = gains[-1]
    assert best.gain is not None
    part = "" if best.improved is None else f"; {best.improved:.0%} of the items improve"
    per = curve.unit.removeprefix("nats/")
    gain = "gains" if best.tokens == 1 else "gain"
    return f"{token_counts({best.tokens})} {gain} {best.gain.value:.3g} nats per {per}{part}."
