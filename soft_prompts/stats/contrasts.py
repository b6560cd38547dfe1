"""Is one model nearer than another? Shares at the same number of tokens, three seeds a side or no p-value.

The error is that of the items, paired where both stand on the same ones, and that of the seeds; few seeds have few
degrees of freedom, so the test is Student's with those of Satterthwaite. Welch, Biometrika 34 (1947).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from soft_prompts.stats.bootstrap import Floats, Interval

LEAST_SEEDS = 3


class Contrast(NamedTuple):
    """First minus second."""

    difference: Interval
    p_value: float


def contrast(first: Sequence[Floats], second: Sequence[Floats], clusters: tuple[int, int]) -> Contrast | None:
    """Of the shares of each side's seeds, [R] each, draws in the same order; None under three seeds a side.

    `clusters` of either side: on the same items the draws are paired, and both numbers are alike.
    """
    if min(len(first), len(second)) < LEAST_SEEDS:
        return None
    from scipy import special  # most tables compare no seeds

    values = [np.array([rows[0] for rows in side]) for side in (first, second)]
    difference = float(values[0].mean() - values[1].mean())
    draws = np.mean(first, axis=0) - np.mean(second, axis=0)
    parts = [(float(np.nanvar(draws[1:])), min(clusters) - 1)]
    parts += [(float(side.var(ddof=1)) / len(side), len(side) - 1) for side in values]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return Contrast(Interval(difference, difference, difference), 1.0 if difference == 0 else 0.0)
    freedom = variance**2 / sum(part**2 / max(1, free) for part, free in parts)
    error = variance**0.5
    half = float(special.stdtrit(freedom, 0.975)) * error
    p_value = 2 * float(special.stdtr(freedom, -abs(difference) / error))
    return Contrast(Interval(difference, difference - half, difference + half), p_value)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values over tasks, adjusted so that the chance of any false difference stays below the level (Holm 1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; never less than the one before, at most 1.
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min((len(p_values) - place) * p_values[name], 1.0))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
