"""How much does a component differ between donors and receivers, and could it be chance?

norm              of the mean difference: what plain subtraction of two data sets gives
root_mean_square  of the items' differences: this ranks, for what differs item by item has no mean
effect_size       the norm of the mean over the root mean square of what the items deviate from it, which is at least
                  what numbers are rounded by: prompts that differ alike in all items would have none else
p                 sign flips of whole groups, each component's statistic against the largest of all (Westfall and Young,
                  Resampling-Based Multiple Testing, 1993): the chance of any false alarm among all components is held
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FLIPS = 500
TIE = 1e-5  # signs that are all alike give the very norm that was found, in float32 but for rounding
LEAST_GROUPS = 6  # 2**6 = 64 sign patterns: with fewer no p below .05 exists for a two-sided test


class Differences(NamedTuple):
    """[C] of each component."""

    norm: Floats
    root_mean_square: Floats
    effect_size: Floats
    p: Floats | None
    """None where there are too few groups."""


def differences(
    values: Sequence[NDArray[np.float32]], groups: Sequence[str], rounding: Sequence[float], seed: int = 0
) -> Differences:
    """Of donor minus receiver, [N W] for each component; `rounding` is what each may differ by in equal texts."""
    norms, spreads, sizes = [], [], []
    for value, least in zip(values, rounding, strict=True):
        mean = value.mean(axis=0, dtype=np.float64)
        norms.append(float(np.linalg.norm(mean)))
        spreads.append(root_mean_square(value))
        apart = max(root_mean_square(value - mean), least)
        sizes.append(norms[-1] / apart if apart > 0 else 0.0)
    return Differences(np.array(norms), np.array(spreads), np.array(sizes), max_t(values, groups, seed))


def root_mean_square(value: NDArray[np.float32] | Floats) -> float:
    """Of the norms of items [N W]."""
    return float(np.sqrt((value**2).sum(axis=1).mean()))


def max_t(
    values: Sequence[NDArray[np.float32]], groups: Sequence[str], seed: int = 0, flips: int = FLIPS
) -> Floats | None:
    """[C] p of each component's norm of the mean difference, in units of its root mean square, by the largest of all.

    None where there are fewer than six groups.
    """
    names, cluster = np.unique(np.array(groups), return_inverse=True)
    if len(names) < LEAST_GROUPS:
        return None
    generator = np.random.default_rng(seed)
    signs = generator.choice(np.array([-1.0, 1.0], np.float32), (flips, len(names)))[:, cluster]
    signs = np.concatenate([np.ones((1, len(cluster)), np.float32), signs]) / len(cluster)
    found = np.empty((flips + 1, len(values)))
    for place, value in enumerate(values):
        scale = root_mean_square(value)
        found[:, place] = np.linalg.norm(signs @ value, axis=1) / scale if scale > 0 else 0.0
    largest = found[1:].max(axis=1) * (1 + TIE)
    return (1 + (largest[:, None] >= found[0]).sum(axis=0)) / (flips + 1)
