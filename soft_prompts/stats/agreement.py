"""Does a measure follow planted truths? Rank correlation, and the slope of a line."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

Number = float | int


def rank_correlation(measured: Sequence[Number], planted: Sequence[Number]) -> float | None:
    """Spearman's; infinite readings rank last, alike. None for fewer than three, or where all are alike."""
    if len(measured) < 3 or len(set(measured)) < 2 or len(set(planted)) < 2:
        return None
    return float(np.corrcoef(rankdata(measured), rankdata(planted))[0, 1])


def slope(x: Sequence[Number], y: Sequence[Number]) -> float | None:
    """Of the least-squares line; None for fewer than two different x."""
    return float(np.polyfit(x, y, 1)[0]) if len(set(x)) > 1 else None
