"""How far would a mean over items move with other items? Clusters of items, drawn again.

Row 0 of everything is the data itself, each further row one draw. Equal clusters give equal draws, so whatever stands
on the same items is paired. A bootstrap's variance is (n - 1) / n of the truth for n clusters; draws are moved apart by
the root of n / (n - 1). Few clusters say little of themselves: under 20 a warning, under 5 no interval at all.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 6 and 8.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.stats.items import Items
from soft_prompts.stats.proportions import mean_bounds

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

SEED = 20_260
DRAWS = 1_000
LEAST_DRAWS = 100  # below, the ends of an interval are luck
TAIL = 0.025  # of the draws on either side of an interval
BLOCK = 2**22  # weights held at once: 32 MB
FEW_CLUSTERS, LEAST_CLUSTERS = 20, 5


class Interval(NamedTuple):
    """A value and the ends that hold 95 % of the draws; no ends where there are too few clusters."""

    value: float
    low: float | None
    high: float | None

    @property
    def text(self) -> str:
        """`0.79 [0.74, 0.84]`, and the value alone where it has no ends."""
        ends = "" if self.low is None or self.high is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.value:.2f}{ends}"

    def is_at_least(self, mark: float) -> bool:
        """Beyond doubt."""
        return self.low is not None and self.low >= mark

    def is_below(self, mark: float) -> bool:
        """Beyond doubt."""
        return self.high is not None and self.high < mark


@dataclass(frozen=True, eq=False)
class Scores:
    """What one prompt makes of every item; higher is better: an outcome, or minus the nats of its loss."""

    sums: Floats  # [N]
    weights: Floats  # [N] units, or 1 where the item was asked and 0 where not

    @classmethod
    def of_loss(cls, items: Items) -> "Scores":
        """Minus nats per unit."""
        return cls(-items.loss_nats, items.scored_units.astype(np.float64))

    @classmethod
    def of_outcome(cls, items: Items) -> "Scores":
        """Mean outcome of the items that were asked; raises ValueError where none has one."""
        if items.outcome is None:
            raise ValueError("items: they have no outcome")
        asked = ~np.isnan(items.outcome)
        return cls(np.where(asked, items.outcome, 0.0), asked.astype(np.float64))

    @property
    def mean(self) -> float:
        """Of the data; NaN where nothing was scored."""
        total = float(self.weights.sum())
        return float(self.sums.sum()) / total if total else math.nan

    def bounds(self, cluster: Counts) -> tuple[float, float]:
        """A mean outcome's interval by `mean_bounds`: where all items agree no draw differs."""
        asked = self.weights > 0
        names, index = np.unique(cluster[asked], return_inverse=True)
        sums, weights = (
            np.bincount(index, values[asked], len(names)).astype(np.float64) for values in (self.sums, self.weights)
        )
        return mean_bounds(sums, weights)


def drawn_means(scores: Sequence[Scores], cluster: Counts, draws: int) -> Floats:
    """[R, K] means of each of K scores, with the clusters drawn again."""
    names, index = np.unique(cluster, return_inverse=True)
    count = len(names)
    columns = [values for one in scores for values in (one.sums, one.weights)]
    table = np.stack([np.bincount(index, weights=values, minlength=count) for values in columns], axis=1)
    sums = np.empty((draws + 1, table.shape[1]))
    sums[0], start = table.sum(axis=0), 1
    for weights in _weights(count, draws):
        sums[start : start + len(weights)] = weights @ table
        start += len(weights)
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw of clusters without a scored unit is NaN
        means = sums[:, ::2] / sums[:, 1::2]
    return means[0] + (means - means[0]) * math.sqrt(count / max(1, count - 1))


def over_seeds(rows: Floats) -> Floats:
    """[R] means over S seeds, of [R, S] means of each: in every draw the seeds are drawn again, too.

    As with clusters, draws are moved apart by the root of S / (S - 1). A single seed says nothing of others.
    """
    count, means = rows.shape[1], rows.mean(axis=1)
    if count < 2:
        return means
    picks = np.random.default_rng([SEED, count, len(rows)]).integers(0, count, rows.shape)
    drawn = np.take_along_axis(rows, picks, axis=1).mean(axis=1)
    found = means + (drawn - means) * math.sqrt(count / (count - 1))
    found[0] = means[0]
    return found


def interval(rows: Floats, clusters: int) -> Interval:
    """Value of row 0, and the ends that hold 95 % of the others, by order."""
    drawn = np.sort(rows[1:][~np.isnan(rows[1:])])
    if clusters < LEAST_CLUSTERS or not len(drawn):
        return Interval(float(rows[0]), None, None)
    low, high = (float(drawn[math.ceil(part * len(drawn)) - 1]) for part in (TAIL, 1 - TAIL))
    return Interval(float(rows[0]), low, high)


def _weights(count: int, draws: int) -> Iterator[Floats]:
    """How often each of `count` clusters is in each draw, [<= BLOCK / count, count] at a time."""
    block = max(BLOCK // count, 1)
    if draws <= block:
        yield _kept_weights(count, draws)
        return
    generator = np.random.default_rng([SEED, count])
    for start in range(0, draws, block):
        yield _drawn_weights(generator, count, min(block, draws - start))


@functools.lru_cache(maxsize=4)  # curves and anchors on the same items take the same: 32 MB each at most
def _kept_weights(count: int, draws: int) -> Floats:
    weights = _drawn_weights(np.random.default_rng([SEED, count]), count, draws)
    weights.flags.writeable = False
    return weights


def _drawn_weights(generator: np.random.Generator, count: int, rows: int) -> Floats:
    picks = generator.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
    return np.bincount(picks.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
