"""How is a measure judged against planted truths? Rank correlation, separation, slope, and how sure a share is."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from soft_prompts.stats import proportions

DRAWS = 1_000
Number = float | int


class Estimate(NamedTuple):
    """An end of None is unbounded, a value of None is beyond all that was tried, or was not measured."""

    value: float | None
    low: float | None
    high: float | None


NOTHING = Estimate(None, None, None)


def rank_correlation(measured: Sequence[Number], planted: Sequence[Number]) -> float | None:
    """Spearman's; infinite readings rank last, alike. None for fewer than three, or where all are alike."""
    if len(measured) < 3 or len(set(measured)) < 2 or len(set(planted)) < 2:
        return None
    return float(np.corrcoef(rankdata(measured), rankdata(planted))[0, 1])


def auroc(present: Sequence[Number], absent: Sequence[Number]) -> float | None:
    """Chance that one of `present` scores above one of `absent`, ties counting half; None where a side is empty."""
    if not present or not absent:
        return None
    ranks = rankdata([*present, *absent])[: len(present)].sum()
    return float((ranks - len(present) * (len(present) + 1) / 2) / (len(present) * len(absent)))


def slope(x: Sequence[Number], y: Sequence[Number]) -> float | None:
    """Of the least-squares line; None for fewer than two different x."""
    return float(np.polyfit(x, y, 1)[0]) if len(set(x)) > 1 else None


def doublings_apart(distances: Sequence[Number | None]) -> list[float]:
    """|log2(d + 1) - log2(d' + 1)| of every two readings; infinite where one of them is censored, 0 where both are."""
    logs = [np.inf if distance is None else np.log2(distance + 1) for distance in distances]
    return [0.0 if one == other else float(abs(one - other)) for one, other in combinations(logs, 2)]


def wilson(hits: int, count: int) -> Estimate:
    """A share and its 95 % interval (Wilson 1927), which is no point where all are alike."""
    if not count:
        return NOTHING
    return Estimate(hits / count, *proportions.wilson(hits, count))


def median_with_interval(values: Sequence[Number]) -> Estimate:
    """The (upper) median, and the ends that hold 95 % of those of draws with replacement."""
    if not values:
        return NOTHING
    ordered = np.array(values, dtype=np.float64)
    picks = np.random.default_rng(0).integers(0, len(ordered), (DRAWS, len(ordered)))
    medians = np.sort(_upper_median(ordered[picks]))
    ends = (_upper_median(ordered[None])[0], medians[round(0.025 * DRAWS)], medians[round(0.975 * DRAWS) - 1])
    return Estimate(*(float(end) if np.isfinite(end) else None for end in ends))


def _upper_median(rows: np.ndarray) -> np.ndarray:
    """[R] of [R, N]: an order statistic, so that infinite values may be among them."""
    return np.sort(rows, axis=1)[:, rows.shape[1] // 2]
