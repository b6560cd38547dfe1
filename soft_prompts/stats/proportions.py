"""How often did something happen, and how sure is that? Shares with Wilson's interval."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959963984540054  # standard normal quantile of 97.5 %


class Proportion(NamedTuple):
    """How often something happened, with Wilson's 95 % interval."""

    value: float | None
    """None of nothing."""
    low: float
    high: float
    successes: int
    n: int


def wilson(count: int | float, n: int | float) -> tuple[float, float]:
    """The 95 % interval of a share after Wilson (1927); (0, 1) where nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    share, square = count / n, Z_95**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = Z_95 / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return (0.0 if count == 0 else middle - half), (1.0 if count == n else middle + half)


def least_error(n: int) -> float:
    """The standard error that a share of n outcomes has at least, all alike or not: at the middle of Wilson's interval,
    of as many outcomes more as it adds."""
    whole = n + Z_95**2
    return math.sqrt((n + Z_95**2 / 2) * (Z_95**2 / 2)) / whole**1.5


def mean_bounds(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the mean outcome of n clusters, their `sums` and `weights`, of outcomes from 0 to 1.

    Outcomes of 0 and 1 are Wilson's trials. Others vary less: they are n / d trials, d being their part of the variance
    of 0 and 1, drawn towards 1 as by z^2 clusters more. And what n clusters have not shown may be there: a part of
    1 - .025^(1/n) of them (Clopper and Pearson, of none), each 0 or 1.
    """
    count, total = len(sums), float(weights.sum())
    mean = float(sums.sum()) / total if total else 0.0
    most = mean * (1 - mean)
    if count < 2 or most <= 0:
        return wilson(mean * count, count)
    part = float(((sums - mean * weights) ** 2).sum()) / total**2 * count**2 / (count - 1) / most
    if part >= 1:
        return wilson(mean * count, count)
    trials = count / ((count * part + Z_95**2) / (count + Z_95**2))
    low, high = wilson(mean * trials, trials)
    unseen = 1 - 0.025 ** (1 / count)
    return min(low, mean * (1 - unseen)), max(high, mean + unseen * (1 - mean))


def proportion(outcomes: Sequence[bool]) -> Proportion:
    """The share of true outcomes."""
    count, n = sum(map(bool, outcomes)), len(outcomes)
    return Proportion(count / n if n else None, *wilson(count, n), count, n)
