"""Is a change larger than what drifts anyway? A target's number against those of its controls.

A control is made as the target was, without the change. The target is one more draw from what the controls were drawn
from, if nothing was changed: the error of its excess over their mean holds their spread once for the target and once a
K-th for the mean, and the test is Student's with K - 1 degrees of freedom.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEAST_CONTROLS = 2  # for a spread at all
NOTHING = 1e-9  # of a value: what is left of no spread in float64
FEW_CONTROLS = 3  # below: a verdict with a warning


class Excess(NamedTuple):
    """A target's value over the mean of its controls."""

    value: float
    """The excess itself."""
    stderr: float | None
    """Of items and of controls together; None under two controls."""
    control_mean: float | None
    control_sd: float | None
    controls: int
    t: float | None
    p: float | None
    """One-sided: how often a further control would exceed the mean by as much."""


def excess_over(value: float, stderr: float | None, controls: Sequence[float]) -> Excess:
    """E = value - mean of the controls; t = E / sqrt(stderr^2 + s^2 (1 + 1/K)).

    Without controls the value stands alone; with one, or where the value's own error is not known (`stderr` None),
    there is an excess and no test. Without any spread or error Student's test has no scale: above the controls p is the
    chance of the first rank, 1 / (K + 1), else 1.
    """
    count = len(controls)
    if count == 0:
        return Excess(value, None, None, None, 0, None, None)
    mean = float(np.mean(controls))
    gain = value - mean
    if count < LEAST_CONTROLS or stderr is None:
        return Excess(gain, None, mean, None, count, None, None)
    from scipy import special  # takes seconds to load

    spread = float(np.std(controls, ddof=1))
    error = math.sqrt(stderr**2 + spread**2 * (1 + 1 / count))
    if error <= NOTHING * max(abs(value), abs(mean)):
        return Excess(gain, 0.0, mean, spread, count, None, 1 / (count + 1) if gain > 0 else 1.0)
    t = gain / error
    return Excess(gain, error, mean, spread, count, t, float(special.stdtr(count - 1, -t)))


def shrunk_variance(own: float, counts: int, prior: float) -> float:
    """A variance of few values moved towards a mean of many like it: four degrees of freedom of the mean beside the
    counts - 1 of its own. Smyth, Statistical Applications in Genetics and Molecular Biology 3 (2004), with 4 fixed."""
    return (4 * prior + (counts - 1) * own) / (counts + 3)
