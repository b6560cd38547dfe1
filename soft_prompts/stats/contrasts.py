"""Is one capability farther from a prompt than another? Differences of distances between models, conditions, controls.

    difference   log2(d_first + 1) - log2(d_second + 1): one doubling is 1
    selectivity  S = log2(d_control + 1) - log2(d_task + 1), a lower bound where the control is censored

The bootstrap draws equal clusters alike for every curve (soft_prompts/stats/bootstrap.py), so two distances on
the same items are paired draw by draw; on other items they are independent.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from soft_prompts.stats.distance import NO_GAP, TAIL, Mark


class Contrast(NamedTuple):
    """First minus second, in doublings of tokens + 1. An end of None is unbounded."""

    value: float | None
    """None where either distance is censored or missing."""
    low: float | None
    high: float | None
    p_value: float | None
    """Two-sided, that the difference is 0, from the draws; None where no draw tells."""
    left_out: float
    """Share of the draws in which both are censored, or one has no gap: they say nothing."""


class Selectivity(NamedTuple):
    value: float | None
    """None where the task's own distance is censored or missing."""
    is_bound: bool


def contrast(first: Mark, second: Mark) -> Contrast:
    """Paired over the bootstrap's draws; nothing where one has no gap.

    Raises ValueError where the two are of different marks, or of different numbers of draws.
    """
    if NO_GAP in (first.reason, second.reason):
        return Contrast(None, None, None, None, 1.0)
    if first.mark != second.mark or len(first.draws) != len(second.draws):
        sides = [f"share {side.mark} with {len(side.draws)} draws" for side in (first, second)]
        raise ValueError(f"distances at {' and '.join(sides)} cannot be compared; give the same mark and draws")
    with np.errstate(invalid="ignore"):  # both censored, inf - inf: NaN, left out
        draws = np.log2(first.draws + 1) - np.log2(second.draws + 1)
    told = np.sort(draws[~np.isnan(draws)])
    value = None
    if first.value is not None and second.value is not None:
        value = math.log2(first.value + 1) - math.log2(second.value + 1)
    count = len(told)
    if not count:
        return Contrast(value, None, None, None, 1.0)
    ends = (float(told[math.ceil(part * count) - 1]) for part in (TAIL, 1 - TAIL))
    low, high = (end if math.isfinite(end) else None for end in ends)
    tail = min(int((told <= 0).sum()), int((told >= 0).sum()))
    p_value = min(2 * (tail + 1) / (count + 1), 1.0)
    return Contrast(value, low, high, p_value, 1 - count / len(draws))


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


def selectivity(control: Mark, task: Mark) -> Selectivity:
    """S from the largest count tried where the control is censored. A control without a gap is no control: None."""
    farther = control.low if control.censored else control.value
    if task.value is None or farther is None:
        return Selectivity(None, False)
    return Selectivity(math.log2(farther + 1) - math.log2(task.value + 1), control.censored)
