"""What do losses over token counts say about distance? The formulas, on plain arrays; one row is one bootstrap draw.

Token counts lie on the axis x = log2(P + 1), on which 0 tokens is 0. Shares stand as they are, below 0 and above 1.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

FIT_COUNTS = 4  # three parameters of the Hill curve, and one token count to leave out
FIT_GRID, FIT_ZOOMS = 25, 6  # each zoom narrows the grid eight times: h and b to five digits


class Fit(NamedTuple):
    """`hill`: share = a / (1 + (h / P)^b); `power`: share = a P^b, with h None."""

    form: str
    a: float
    h: float | None
    b: float
    error: float
    """Root mean square error of the share at a token count that the fit has not seen."""
    rival_error: float
    """The same of the form that was not chosen."""


def axis(tokens: Counts) -> Floats:
    return np.log2(np.asarray(tokens, dtype=np.float64) + 1)


def share_of(losses: Floats, start: Floats, end: Floats) -> Floats:
    """(start - L) / (start - end) for losses [D, K], start and end [D]; NaN in a draw whose gap is not above 0.

    With start = Lns it is the skill share R, with start = L0 the gap share r; end is Lsat.
    """
    gap = np.where(start > end, start - end, np.nan)
    return (start[:, None] - losses) / gap[:, None]


def running_minimum(losses: Floats) -> Floats:
    """Loss of the best prompt of at most P tokens, from that of the best of exactly P tokens; both [D, K]."""
    return np.minimum.accumulate(losses, axis=1)


def first_reaching(shares: Floats, tokens: Counts, mark: float) -> Floats:
    """Least P with share >= mark, [D]: inf where none has it, NaN where the share is NaN.

    Between the last token count [K] below the mark and the first one at it, shares [D, K] are taken as linear in
    log2(P + 1). Where the least count reaches it already, the distance is that count: 0 for the bare model.
    """
    reached = shares >= mark
    after = reached.argmax(axis=1)
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(shares))
    low, high = shares[rows, before], shares[rows, after]
    rise = np.where(after > 0, high - low, 1.0)
    x = axis(tokens)
    part = np.where(after > 0, (mark - low) / np.where(rise == 0, 1.0, rise), 0.0)
    found = np.exp2(x[before] + part * (x[after] - x[before])) - 1
    found = np.where(reached.any(axis=1), found, np.inf)
    return np.where(np.isnan(shares).any(axis=1), np.nan, found)


def area(shares: Floats, tokens: Counts) -> Floats:
    """AUC [D]: integral of the share over log2(P + 1) by trapezoids, divided by the width of that axis.

    The width is log2(Pmax + 1) where 0 tokens are among the counts; else the mean is over the counts that there are.
    NaN for a single token count.
    """
    x = axis(tokens)
    if len(x) < 2:
        return np.full(len(shares), np.nan)
    return ((shares[:, 1:] + shares[:, :-1]) / 2 * np.diff(x)).sum(axis=1) / (x[-1] - x[0])


def share_at(shares: Floats, tokens: Counts, x: float) -> float:
    """Share [K] at a place on the axis between two counts."""
    return float(np.interp(x, axis(tokens), shares))


def fitted(shares: Floats, tokens: Counts) -> Fit | None:
    """The Hill curve or the power law, whichever foretells left-out token counts better; shares and tokens [K].

    Least squares over the counts P >= 1 (a Hill curve is 0 at P = 0, a skill share need not be), h between 1/16 and
    16 Pmax, b between .05 and 16. None with fewer than four such counts.
    """
    seen = tokens > 0
    counts, values = tokens[seen].astype(np.float64), shares[seen]
    if len(counts) < FIT_COUNTS or not np.isfinite(values).all():
        return None
    most = float(np.log2(counts.max()))
    bounds = np.array([[-4.0, most + 4], [np.log2(0.05), 4.0]])
    hill, power = _least_squares(counts, values, bounds), _least_squares(counts, values, bounds[1:])
    forms = {"hill": hill, "power": power}
    chosen, other = sorted(forms, key=lambda form: forms[form][2])
    a, shape, error = forms[chosen]
    return Fit(chosen, a, float(shape[0]) if chosen == "hill" else None, float(shape[-1]), error, forms[other][2])


def _least_squares(counts: Floats, values: Floats, bounds: Floats) -> tuple[float, Floats, float]:
    """a, the shape (h, b) or (b,), and the root mean square error over left-out counts."""
    places = len(counts)
    predicted = np.empty(places)
    for left_out in range(places):
        keep = np.arange(places) != left_out
        a, shape = _fit(counts[keep], values[keep], bounds)
        predicted[left_out] = a * _form(counts[[left_out]], shape[None])[0, 0]
    a, shape = _fit(counts, values, bounds)
    return a, shape, float(np.sqrt(np.mean((predicted - values) ** 2)))


def _fit(counts: Floats, values: Floats, bounds: Floats) -> tuple[float, Floats]:
    """The scale is solved for at each shape of a grid (log2 h, log2 b), which then narrows around the best one."""
    low, high = bounds[:, 0], bounds[:, 1]
    a, best = 0.0, low
    for _ in range(FIT_ZOOMS):
        sides = [np.linspace(*ends, FIT_GRID) for ends in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, len(bounds))
        forms = _form(counts, np.exp2(grid))
        scales = forms @ values / np.maximum((forms**2).sum(axis=1), np.finfo(np.float64).tiny)
        at = int(np.argmin(((scales[:, None] * forms - values) ** 2).sum(axis=1)))
        a, best = float(scales[at]), grid[at]
        margin = (high - low) / (FIT_GRID - 1) * 1.5
        low, high = np.maximum(best - margin, bounds[:, 0]), np.minimum(best + margin, bounds[:, 1])
    return a, np.exp2(best)


def _form(counts: Floats, shapes: Floats) -> Floats:
    """[shapes, counts]: the curve of scale 1 for each row (h, b) or (b,)."""
    b = shapes[:, -1:]
    if shapes.shape[1] == 1:
        return counts[None] ** b
    with np.errstate(over="ignore"):  # (h / P)^b beyond the largest float: the share is 0
        return 1 / (1 + (shapes[:, :1] / counts[None]) ** b)
