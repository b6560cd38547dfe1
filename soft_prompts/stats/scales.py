"""How much of a skill does a prompt bring out? Shares between a floor and a ceiling, both from outside.

    share   (y(P) - floor) / (ceiling - floor),  y an outcome (by deed) or minus a loss per unit (by loss)

The loss share is (Lns - L(P)) / (Lns - Lsat), for minus a loss is a score. A scale is sound where the ceiling beats the
floor by more than 3 standard errors and 5 % of the floor, and no prompt beats the ceiling by more than 5 % of the gap
beyond doubt: then the ceiling was not trained to its end, and every share would be too large.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from soft_prompts.stats.bootstrap import Counts, Floats, Interval, Scores, drawn_means, interval

By = Literal["deed", "loss"]
LEAST_ERRORS = 3  # standard errors between floor and ceiling
LEAST_GAP = 0.05  # of the floor
BEATEN = 0.05  # of the gap: how far a prompt may lie above the ceiling


@dataclass(frozen=True, eq=False)
class Anchor:
    """One end of a scale on the curve's own items: the median of several draws, or a known value."""

    kind: str
    draws: tuple[Scores, ...] = ()
    known: float | None = None
    """A score without an error: 1 where every item has a right outcome, 0 nats where every label is determined."""


class Ends(NamedTuple):
    """A floor is the highest of several."""

    floors: Sequence[Anchor]
    ceiling: Anchor


class EndRows(NamedTuple):
    """[R] score of the data and of each draw, of either end."""

    floor: Floats
    ceiling: Floats


@dataclass(frozen=True, eq=False)
class Measured:
    """The shares of the prompts of one curve, and whether the scale holds."""

    floor: str
    """Kind of the highest floor."""
    floor_score: float
    ceiling_score: float
    shares: Mapping[int, Interval]
    rows: Mapping[int, Floats]
    """[R] the data's share and each draw's, by prompt tokens."""
    ends: EndRows
    wrong: str | None
    """Why the scale is not sound."""


def measured(prompts: Mapping[int, Scores], ends: Ends, cluster: Counts, by: By, draws: int) -> Measured:
    """Shares of one prompt at each token count, with intervals over clusters."""
    clusters = len(np.unique(cluster))
    floors = [_anchor_rows(anchor, cluster, draws) for anchor in ends.floors]
    highest = int(np.argmax([rows[0] for rows in floors]))
    floor, ceiling = drawn = EndRows(np.max(floors, axis=0), _anchor_rows(ends.ceiling, cluster, draws))
    counts, gap = sorted(prompts), ceiling - floor
    rows = dict(zip(counts, share_rows([prompts[count] for count in counts], drawn, cluster, draws), strict=True))
    why = _gap_is_wrong(gap, floor, by)
    shares: dict[int, Interval] = {}
    if why is None:
        shares = {count: interval(rows[count], clusters) for count in counts}
        if by == "deed":
            shares = {c: _widened(shares[c], prompts[c].bounds(cluster), floor[0], gap[0]) for c in counts}
        beaten = [count for count in counts if (shares[count].low or 0.0) > 1 + BEATEN]
        why = (
            f"prompts of {beaten[0]} tokens do better than the ceiling: it was not trained to its end"
            if beaten
            else None
        )
    kind, shown = ends.floors[highest].kind, rows if why is None else {}
    return Measured(kind, float(floor[0]), float(ceiling[0]), shares, shown, drawn, why)


def share_rows(scores: Sequence[Scores], ends: EndRows, cluster: Counts, draws: int) -> list[Floats]:
    """[R] share of each of the scores in the data and in each draw: the ends are drawn with them."""
    means = drawn_means(scores, cluster, draws)
    return [gained_share(rows, ends.floor, ends.ceiling) for rows in means.T]


def share_of_anchor(anchor: Anchor, ends: Ends, cluster: Counts, draws: int) -> Interval | None:
    """Share of an outcome that is no prompt of the curve; None without a gap."""
    floor = np.max([_anchor_rows(one, cluster, draws) for one in ends.floors], axis=0)
    ceiling, rows = (_anchor_rows(one, cluster, draws) for one in (ends.ceiling, anchor))
    if ceiling[0] <= floor[0]:
        return None
    share = interval(gained_share(rows, floor, ceiling), len(np.unique(cluster)))
    middle = sorted(anchor.draws, key=lambda draw: draw.mean)[len(anchor.draws) // 2] if anchor.draws else None
    gap = float(ceiling[0] - floor[0])
    return share if middle is None else _widened(share, middle.bounds(cluster), float(floor[0]), gap)


def gained_share(scores: Floats, bare: Floats, ceiling: Floats | float) -> Floats:
    """What a prompt adds to its own bare model, of what there was to gain: (y - y0) / (ceiling - y0); NaN of nothing.

    A control and its task are compared so, for both gain what any prompt gains.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ceiling > bare, (scores - bare) / (ceiling - bare), np.nan)


def _anchor_rows(anchor: Anchor, cluster: Counts, draws: int) -> Floats:
    if anchor.known is not None:
        return np.full(draws + 1, anchor.known)
    return np.median(drawn_means(anchor.draws, cluster, draws), axis=1)


def _gap_is_wrong(gap: Floats, floor: Floats, by: By) -> str | None:
    what = "outcome" if by == "deed" else "loss"
    error = float(np.nanstd(gap[1:])) if len(gap) > 1 else 0.0
    if gap[0] <= 0:
        return f"the ceiling's {what} is no better than the floor's"
    if gap[0] <= LEAST_ERRORS * error:
        return f"the ceiling's {what} is not {LEAST_ERRORS} standard errors better than the floor's"
    if gap[0] <= LEAST_GAP * abs(floor[0]):
        return f"the ceiling's {what} is not {LEAST_GAP:.0%} better than the floor's"
    return None


def _widened(share: Interval, bounds: tuple[float, float], floor: float, gap: float) -> Interval:
    """At least as wide as the bounds of the outcome itself."""
    if share.low is None or share.high is None:
        return share
    low, high = ((bound - floor) / gap for bound in bounds)
    return Interval(share.value, float(min(share.low, low)), float(max(share.high, high)))
