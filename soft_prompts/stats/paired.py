"""How sure are we of a loss, and of a difference between two losses on the same items?

A loss per unit is a ratio: the sum of the items' losses over the sum of their units. Its standard error is that of a
ratio estimator over clusters (Cochran, Sampling Techniques, chapter 6): items of one game or document move together.
Seeds come on top: each is another trained prompt on the same items.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class Estimate(NamedTuple):
    """`stderr` is None where it cannot be had: from one cluster, or from a part without one."""

    value: float
    stderr: float | None
    items: int
    clusters: int


class SeedValue(NamedTuple):
    seed: int
    value: float | None
    stderr: float | None


class Share(NamedTuple):
    value: float
    stderr: float


def ratio(sums: Floats, units: Counts | Floats, cluster: Counts) -> Estimate | None:
    """Sum of `sums` over sum of `units`, all [N]; None where no unit was scored."""
    total = float(units.sum())
    if total == 0:
        return None
    value = float(sums.sum() / total)
    names, index = np.unique(cluster, return_inverse=True)
    residuals = np.bincount(index, weights=sums - value * units, minlength=len(names))
    clusters = len(names)
    if clusters < 2:
        return Estimate(value, None, len(sums), clusters)
    variance = clusters / (clusters - 1) * float(residuals @ residuals) / total**2
    return Estimate(value, float(np.sqrt(variance)), len(sums), clusters)


def mean_over_seeds(seeds: Sequence[SeedValue]) -> tuple[float | None, float | None]:
    """The mean, and its standard error from items and seeds together.

    All seeds are tested on the same items, so the items' error does not shrink with more seeds; only the spread of the
    seeds does. One seed: items only.
    """
    values = [seed.value for seed in seeds if seed.value is not None]
    if not values or len(values) < len(seeds):
        return None, None
    errors = [seed.stderr for seed in seeds if seed.stderr is not None]
    if len(errors) < len(seeds):
        return float(np.mean(values)), None
    return float(np.mean(values)), float(np.sqrt(np.mean(np.square(errors)) + _variance_of_mean(values)))


def paired_difference(
    losses: Mapping[int, Floats], against: Mapping[int, Floats], units: Counts, cluster: Counts
) -> tuple[Estimate, tuple[SeedValue, ...]] | None:
    """Mean over seeds of `losses` minus `against` (seed -> [N] sums per item) per unit, and the same for each seed.

    The items' error is that of the items' own differences; the seeds' spread is added where a side has several.
    Equal seeds on both sides are paired, else each seed meets the mean of the other side.
    """
    mean = np.mean(list(against.values()), axis=0)
    differences = {seed: loss - against.get(seed, mean) for seed, loss in losses.items()}
    by_seed = {seed: ratio(difference, units, cluster) for seed, difference in differences.items()}
    whole = ratio(np.mean(list(losses.values()), axis=0) - mean, units, cluster)
    if whole is None:
        return None
    seeds = tuple(SeedValue(seed, each.value, each.stderr) for seed, each in by_seed.items() if each is not None)
    if set(losses) == set(against):
        spread = _variance_of_mean([seed.value for seed in seeds if seed.value is not None])
    else:
        sides = ([float(loss.sum()) / int(units.sum()) for loss in side.values()] for side in (losses, against))
        spread = sum(_variance_of_mean(values) for values in sides)
    stderr = None if whole.stderr is None else float(np.sqrt(whole.stderr**2 + spread))
    return whole._replace(stderr=stderr), seeds


def share_closed(
    prompted: Sequence[Floats], bare: Sequence[Floats], reference: Sequence[Floats], cluster: Counts
) -> Share | None:
    """(bare - prompted) / (bare - reference): the share of a gap that a prompt closes; each is a list of seeds' sums
    per item [N], all on the same items.

    A ratio of two sums over the same items, so its items' error is that of `ratio`; the spread over the prompts' seeds
    comes on top. None where there is no gap, or fewer than two clusters.
    """
    whole = np.mean(bare, axis=0) - np.mean(reference, axis=0)
    shares = [ratio(np.mean(bare, axis=0) - one, whole, cluster) for one in prompted]
    if whole.sum() == 0 or None in shares or any(share.stderr is None for share in shares if share):
        return None
    values = [share.value for share in shares if share]
    errors = [share.stderr or 0.0 for share in shares if share]
    return Share(float(np.mean(values)), float(np.sqrt(np.mean(np.square(errors)) + _variance_of_mean(values))))


def _variance_of_mean(values: Sequence[float]) -> float:
    return float(np.var(values, ddof=1) / len(values)) if len(values) > 1 else 0.0
