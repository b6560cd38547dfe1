"""How good is a ranking that is made before the truth is known? Precision at the top, and how far one has to go."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def order(scores: Sequence[float] | NDArray[np.float64]) -> NDArray[np.intp]:
    """Places from the largest score, by size, to the smallest; equal ones as they stand."""
    return np.argsort(-np.abs(np.asarray(scores, dtype=float)), kind="stable")


def precision_at(scores: Sequence[float], truth: Sequence[float], top: int) -> float:
    """Share of the `top` best-ranked that are among the `top` largest in truth, both by size."""
    top = min(top, len(truth))
    return len({*order(scores)[:top].tolist()} & {*order(truth)[:top].tolist()}) / top


def needed_for_all(scores: Sequence[float], is_wanted: Sequence[bool]) -> int | None:
    """How many have to be looked at, best-ranked first, until all that are wanted are found; None where none is."""
    wanted = np.flatnonzero(np.asarray(is_wanted, dtype=bool)[order(scores)])
    return int(wanted[-1]) + 1 if len(wanted) else None
