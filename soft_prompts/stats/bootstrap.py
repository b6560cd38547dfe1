"""How far would the losses of one curve move with other test items and other seeds? A hierarchical bootstrap.

Row 0 of everything is the data itself, each further row one draw. A draw resamples the seeds, jointly over all token
counts, and the clusters of items (games, documents), the same for every token count and anchor, so that shares are
paired. The clusters are cut into two fixed halves, each resampled by itself: what is chosen on one is scored on the
other, and no cluster stands on both sides. Equal clusters give equal draws, so two curves on the same items are paired.

Seeds drawn again can only lack the best one, never hold a better one, so their best losses lie to one side: intervals
of simulated curves held the truth in 80 % of cases. Each draw therefore counts what its seeds cost, against all
seeds on the same items, and is up or down by as much, for all token counts alike: as the drawn seeds fall short of
those tried, so may those tried of the best there is. Measured so, they held it in 95 % (test_distance.py).

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 6 and 8.
"""

import functools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.stats.items import Items
from soft_prompts.stats.shares import Counts, Floats, running_minimum

SEED = 20_260
BLOCK = 2**22  # weights held at once: 32 MB


@dataclass(frozen=True, eq=False)
class CurveLosses:
    """Losses of one model and prompt kind on one list of N items; raises ValueError where they do not fit together."""

    by_tokens: Mapping[int, Mapping[int, Floats]]
    """Prompt tokens -> seed -> [N] nats, summed over the scored units of an item. One run of 0 tokens is enough."""
    units: Counts
    """[N] scored moves, bytes or tokens."""
    cluster: Counts
    """[N] game, document or question."""
    validation: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    """Prompt tokens -> seed -> validation loss. Seeds are chosen by it where every run with a prompt has one."""

    def __post_init__(self) -> None:
        runs = [losses for seeds in self.by_tokens.values() for losses in seeds.values()]
        lengths = {len(self.units), len(self.cluster), *map(len, runs)}
        if not runs or len(lengths) > 1 or not self.units.sum():
            given = f"{len(runs)} runs, arrays of length {', '.join(map(str, sorted(lengths)))}"
            raise ValueError(
                f"losses: {given}, {self.units.sum()} units; give runs on the same items, some unit scored"
            )
        if min(self.by_tokens) < 0 or not all(np.isfinite(losses).all() for losses in runs):
            raise ValueError("losses: a token count is negative or a loss is not finite; leave that run out")

    @classmethod
    def from_items(
        cls, items: Mapping[int, Mapping[int, Items]], validation: Mapping[int, Mapping[int, float]] | None = None
    ) -> "CurveLosses":
        """From the items of stored results: prompt tokens -> seed -> items."""
        like = next((one for seeds in items.values() for one in seeds.values()), None)
        if like is None:
            raise ValueError("losses: no run has items; give results with their .items.safetensors beside them")
        for one in (one for seeds in items.values() for one in seeds.values()):
            if not (np.array_equal(one.scored_units, like.scored_units) and np.array_equal(one.cluster, like.cluster)):
                raise ValueError("losses: runs differ in the units or clusters of their items; give the same items")
        by_tokens = {
            tokens: {seed: one.loss_nats for seed, one in seeds.items()} for tokens, seeds in items.items() if seeds
        }
        return cls(by_tokens, like.scored_units, like.cluster, validation or {})


@dataclass(frozen=True, eq=False)
class Anchor:
    """A loss that the curve is held against: per item, or a constant with its standard error."""

    name: str
    losses: tuple[Floats, ...] = ()
    """[N] nats summed over each item's scored units, on the curve's own items: one array a seed or draw."""
    value: float | None = None
    """Nats per unit, where there are no losses per item."""
    stderr: float = 0.0

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.losses):
            raise ValueError(f"anchor {self.name}: give either losses per item or a value with its stderr")


class Choice(NamedTuple):
    """How the best seed of a token count is found, and what the counts begin with."""

    validation: Floats | None = None  # [K, S]; None: cross-fit
    zero: Floats | None = None  # [R] loss at 0 tokens, where the runs have none


class Resampled(NamedTuple):
    """R = draws + 1 rows; losses per unit on each half of the clusters, and the units there."""

    losses: Floats  # [2, R, columns]
    units: Floats  # [2, R]

    def whole(self) -> Floats:
        """[R, columns]: both halves together."""
        sums = self.losses * self.units[:, :, None]
        return sums.sum(axis=0) / self.units.sum(axis=0)[:, None]


def resample(columns: Sequence[Floats], units: Counts, cluster: Counts, draws: int) -> Resampled:
    """Losses per unit of each column ([N] sums per item) with the clusters drawn again within each half."""
    names, index = np.unique(cluster, return_inverse=True)
    count = len(names)
    table = np.stack([np.bincount(index, weights=values, minlength=count) for values in (*columns, units)], axis=1)
    sums = np.empty((2, draws + 1, table.shape[1]))
    for half, members in enumerate(_halves(count)):
        sums[half, 0] = table[members].sum(axis=0)
        start = 1
        for weights in _weights(len(members), draws, half):
            sums[half, start : start + len(weights)] = weights @ table[members]
            start += len(weights)
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw of clusters without a scored unit is NaN
        return Resampled(sums[:, :, :-1] / sums[:, :, -1:], sums[:, :, -1])


def drawn_seeds(count: int, draws: int, curve: Sequence[Floats]) -> NDArray[np.bool_]:
    """[R, seeds] which of the seeds are in each draw; row 0 has all. Other curves, other draws: no pairs."""
    key = zlib.crc32(np.concatenate(curve).tobytes())
    picks = np.random.default_rng([SEED, 3, key]).integers(0, count, (draws, count))
    present = np.ones((draws + 1, count), dtype=bool)
    present[1:] = False
    present[np.arange(1, draws + 1)[:, None], picks] = True
    return present


def chosen(resampled: Resampled, present: NDArray[np.bool_], validation: Floats | None) -> Floats:
    """[R, K] loss of the best seed of K x S columns, seeds fastest; inf where a draw has no run of a token count.

    With validation losses [K, S] the seed with the least of them is scored on all items. Without, the seed that is best
    on one half of the clusters is scored on the other, both ways, and the two are averaged: the minimum of noisy losses
    on the items that chose it would be too low. A missing run is a NaN column.
    """
    rows, seeds = present.shape
    halves = resampled.losses.reshape(2, rows, -1, seeds)
    missing = np.isnan(halves) | ~present[None, :, None, :]
    if validation is not None:
        whole = resampled.whole().reshape(rows, -1, seeds)
        ranking = np.where(missing.any(axis=0), np.inf, validation[None])
        picked = _picked(whole, ranking)
    else:
        rankings = np.where(missing, np.inf, halves)
        picked = (_picked(halves[1], rankings[0]) + _picked(halves[0], rankings[1])) / 2
    return np.where(missing.all(axis=(0, 3)), np.inf, picked)


def best_of_seeds(resampled: Resampled, present: NDArray[np.bool_], choice: Choice) -> tuple[Floats, Floats]:
    """Losses [K] of the data as chosen at each token count, and their running minimum over the counts, [R, K].

    What the drawn seeds of a row cost is taken between running minima, so that a prompt which diverged counts as no
    more than none, and with a random sign.
    """
    rows, seeds = present.shape
    every, drawn = (chosen(resampled, which, choice.validation) for which in (np.ones_like(present), present))
    if choice.zero is not None:
        every, drawn = (np.concatenate([choice.zero[:, None], losses], axis=1) for losses in (every, drawn))
    best = running_minimum(every)
    with np.errstate(invalid="ignore"):  # inf - inf where no run is there
        cost = running_minimum(drawn) - best
    signs = np.random.default_rng([SEED, 5, seeds, zlib.crc32(present.tobytes())]).choice([-1.0, 1.0], (rows, 1))
    return every[0], running_minimum(best + signs * np.where(np.isfinite(cost), cost, 0.0))


def anchor_losses(anchor: Anchor, curve: CurveLosses, draws: int) -> Floats:
    """[R, number of losses] of an anchor on the curve's items, or [R, 1] normal draws around its constant.

    The same constant is drawn alike for every curve: models that share an anchor share its error.
    """
    if anchor.losses:
        return resample(anchor.losses, curve.units, curve.cluster, draws).whole()
    key = zlib.crc32(np.array([anchor.value, anchor.stderr]).tobytes())
    noise = np.concatenate([[0.0], np.random.default_rng([SEED, 4, key]).standard_normal(draws)])
    return ((anchor.value or 0.0) + anchor.stderr * noise)[:, None]


def _picked(losses: Floats, ranking: Floats) -> Floats:
    """[R, K] of the seed with the least rank in [R, K, S]."""
    best = ranking.argmin(axis=2)
    return np.take_along_axis(losses, best[:, :, None], axis=2)[:, :, 0]


def _halves(count: int) -> tuple[Counts, Counts]:
    """Two halves of `count` clusters; a single cluster is both."""
    order = np.random.default_rng([SEED, count]).permutation(count)
    return (order, order) if count < 2 else (order[: count // 2], order[count // 2 :])


def _weights(count: int, draws: int, half: int) -> Iterator[Floats]:
    """How often each of `count` clusters is in each draw, [<= BLOCK / count, count] at a time."""
    block = max(BLOCK // count, 1)
    if draws <= block:
        yield _kept_weights(count, draws, half)
        return
    generator = _generator(count, half)
    for start in range(0, draws, block):
        yield _drawn_weights(generator, count, min(block, draws - start))


@functools.lru_cache(maxsize=4)  # curves and anchors on the same items take the same: 32 MB each at most
def _kept_weights(count: int, draws: int, half: int) -> Floats:
    weights = _drawn_weights(_generator(count, half), count, draws)
    weights.flags.writeable = False
    return weights


def _generator(count: int, half: int) -> np.random.Generator:
    return np.random.default_rng([SEED, 2, half, count])


def _drawn_weights(generator: np.random.Generator, count: int, rows: int) -> Floats:
    picks = generator.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
    return np.bincount(picks.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
