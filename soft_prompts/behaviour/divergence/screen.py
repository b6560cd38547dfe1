"""Behind which tokens do the target and the base differ more than controls and base do?

A screen: it ranks, and marks what lies above every placebo. A placebo is a control in the target's place.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.behaviour.divergence.distances import Distances
from soft_prompts.stats.excess import shrunk_variance

LEAST_DOCUMENTS = 10  # that a token stands in
SHOWN = 12

Floats = NDArray[np.float64]


class Screened(NamedTuple):
    """One context token."""

    token: int
    documents: int
    occurrences: int
    excess: float
    """Nats a token."""
    t: float
    marked: bool
    """Above the largest of all placebos."""


class Screen(NamedTuple):
    """The tokens, largest t first, and the largest t of any placebo; None: too few controls for one."""

    tokens: tuple[Screened, ...]
    placebo: float | None


class _Table(NamedTuple):
    """Mean divergence behind each token, and the square of its standard error over documents."""

    means: Floats
    squares: Floats


def screen(target: Distances, controls: Sequence[Distances]) -> Screen | None:
    """None under two controls: there is no variance. Of three or more, each is a placebo once."""
    if len(controls) < 2:
        return None
    kept = _often_enough(target)
    if not kept:
        return Screen((), None)
    tables = [_table(one, kept) for one in (target, *controls)]
    counts = np.array([count for _, count in kept.values()])
    t, excess = _t_values(tables[0], tables[1:], counts)
    placebos = [_t_values(one, tables[1:at] + tables[at + 1 :], counts)[0] for at, one in enumerate(tables) if at]
    largest = float(max(values.max() for values in placebos)) if len(controls) > 2 else None
    order = np.argsort(-t, kind="stable")
    tokens, known = list(kept), list(kept.values())
    found = list[Screened]()
    for at in order[:SHOWN].tolist():
        documents, occurrences = known[at]
        marked = largest is not None and bool(t[at] > largest)
        found.append(Screened(tokens[at], documents, occurrences, float(excess[at]), float(t[at]), marked))
    return Screen(tuple(found), largest)


def _often_enough(one: Distances) -> dict[int, tuple[int, int]]:
    """Documents and occurrences of each token that stands in enough of them."""
    pairs, counts = np.unique(np.stack([one.context, one.text]), axis=1, return_counts=True)
    found: dict[int, tuple[int, int]] = {}
    for token in np.unique(pairs[0]).tolist():
        own = pairs[0] == token
        if own.sum() >= LEAST_DOCUMENTS:
            found[token] = int(own.sum()), int(counts[own].sum())
    return found


def _table(one: Distances, kept: Mapping[int, tuple[int, int]]) -> _Table:
    means, squares = np.empty(len(kept)), np.empty(len(kept))
    for at, (token, (documents, occurrences)) in enumerate(kept.items()):
        own = one.context == token
        _, index = np.unique(one.text[own], return_inverse=True)
        sums, units = np.bincount(index, weights=one.js[own]), np.bincount(index)
        means[at] = sums.sum() / occurrences
        squares[at] = documents / (documents - 1) * ((sums - means[at] * units) ** 2).sum() / occurrences**2
    return _Table(means, squares)


def _t_values(target: _Table, controls: Sequence[_Table], counts: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """t and excess of each token; a control's variance is shrunk to that of tokens that stand about as often."""
    values = np.stack([one.means for one in controls])
    number = len(controls)
    own = values.var(axis=0, ddof=1) if number > 1 else np.zeros(values.shape[1])
    bins = np.log2(counts).astype(int)
    prior = np.array([own[bins == which].mean() for which in bins])
    variance = np.array([shrunk_variance(a, number, b) for a, b in zip(own, prior, strict=True)])
    excess = target.means - values.mean(axis=0)
    error = np.sqrt(target.squares + variance * (1 + 1 / number))
    return np.divide(excess, error, out=np.zeros_like(excess), where=error > 0), excess
