"""Does something happen more often on one side of the same prompts than on the other?"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Paired(NamedTuple):
    """Of pairs [N], one score a side."""

    first: float
    """Mean score of the side that is asked about."""
    second: float
    more: int
    """Pairs in which the first side alone has it."""
    fewer: int
    p: float
    """One-sided exact McNemar: the first side has it no more often."""


def mcnemar(first: Floats, second: Floats, mark: float = 0.5) -> Paired:
    """A score of `mark` or more counts as having it. McNemar, Psychometrika 12 (1947), by the binomial itself."""
    from scipy.stats import binomtest  # takes seconds to load

    has, other = first >= mark, second >= mark
    more, fewer = int((has & ~other).sum()), int((~has & other).sum())
    p = binomtest(more, more + fewer, 0.5, alternative="greater").pvalue if more + fewer else 1.0
    return Paired(float(np.mean(first)), float(np.mean(second)), more, fewer, float(p))


def paired_accuracy(differences: Floats) -> float:
    """Share of pairs whose difference is above 0; a tie is half of one. Chance is .5."""
    return float(np.mean((differences > 0) + 0.5 * (differences == 0)))


def area_under_curve(first: Floats, second: Floats) -> float:
    """How often a score of the first side lies above one of the second, ties half: between 0 and 1."""
    values = np.concatenate([first, second])
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[index]
    below = ranks[: len(first)].sum() - len(first) * (len(first) + 1) / 2
    return float(below / (len(first) * len(second)))


def least_detectable(pairs: int, tests: int, level: float = 0.05) -> float:
    """The smallest share of pairs that can be found where it never happens on the other side: m of them such that
    2^-m times the number of tests is at most the level. Above 1: nothing can."""
    needed = int(np.ceil(np.log2(tests / level)))
    return needed / pairs if pairs else float("inf")
