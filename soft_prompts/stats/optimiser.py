"""Did the optimiser fail? Failure rate, elasticity and violations, from numbers alone."""

import math
from collections.abc import Sequence

from soft_prompts.stats.admissibility import MOVED
from soft_prompts.stats.distance import Distance

FAILED = 0.1  # of the gap behind the best seed


def violations(distance: Distance) -> tuple[int, ...]:
    """Token counts whose prompt lost more than .05 of the gap against the best of fewer tokens."""
    pairs = zip(distance.points, distance.points[1:], strict=False)
    return tuple(
        after.tokens
        for before, after in pairs
        if after.loss is not None and after.loss - before.best > MOVED * distance.gap
    )


def failure_rate(shares: Sequence[float], stopped: int = 0) -> float | None:
    """Of runs that differ by the seed alone, the part that lies more than a tenth of the gap behind the best of them.

    `stopped` are those that ended without a share: failed too. None for fewer than two runs, or without any share.
    """
    count = len(shares) + stopped
    if count < 2 or not shares:
        return None
    return (stopped + sum(share < max(shares) - FAILED for share in shares)) / count


def elasticity(share: float, before: float, steps: int, steps_before: int) -> float:
    """d(share) / d(log2 steps) between two runs that differ by their steps alone."""
    return (share - before) / math.log2(steps / steps_before)
