"""How often did something happen, and how sure is that? Shares with Wilson's interval."""

import math
from collections.abc import Sequence
from typing import NamedTuple

Z_95 = 1.959963984540054  # standard normal quantile of 97.5 %


class Proportion(NamedTuple):
    """How often something happened, with Wilson's 95 % interval."""

    value: float | None
    """None of nothing."""
    low: float
    high: float
    successes: int
    n: int


def wilson(count: int | float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share after Wilson (1927); (0, 1) where nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    share, square = count / n, Z_95**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = Z_95 / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return (0.0 if count == 0 else middle - half), (1.0 if count == n else middle + half)


def proportion(outcomes: Sequence[bool]) -> Proportion:
    """The share of true outcomes."""
    count, n = sum(map(bool, outcomes)), len(outcomes)
    return Proportion(count / n if n else None, *wilson(count, n), count, n)
