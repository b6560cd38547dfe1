"""Losses per item of curves whose distance is known: a Hill curve, items that differ, prompts that fail to train.

Each run reaches the curve's loss but for its optimiser: one in five fails and loses a uniform part of what there was to
gain, the others fall short by the size of a normal draw, 2 % of the gap. All runs and anchors are scored on the same
items, whose difficulty varies between and within clusters.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from soft_prompts.stats.bootstrap import Anchor, CurveLosses
from soft_prompts.stats.distance import Anchors, Mark, capability_distance
from soft_prompts.stats.shares import first_reaching

Floats = NDArray[np.float64]

ZERO, NO_SKILL, SATURATION = 2.3, 2.5, 1.0  # nats per unit
FAILS, SHORT = 0.2, 0.02
CLUSTERS, ITEMS, LARGEST = 200, 3, 12  # items a cluster; units an item
BETWEEN, WITHIN, NOISE = 0.15, 0.3, 0.5  # log difficulty of clusters and items; nats per root unit of one run's own


class Shape(NamedTuple):
    """share = base + (a - base) / (1 + (h / P)^b), base that of the bare model."""

    a: float
    h: float
    b: float
    tokens: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32, 64)

    def share(self) -> Floats:
        base = (NO_SKILL - ZERO) / (NO_SKILL - SATURATION)
        counts = np.maximum(np.array(self.tokens, float), 1e-9)
        return base + (self.a - base) / (1 + (self.h / counts) ** self.b)


SHAPES = (
    Shape(1.0, 2.0, 1.5),
    Shape(1.0, 6.0, 1.0),
    Shape(0.95, 5.0, 2.0),
    Shape(1.0, 12.0, 2.5),
    Shape(1.0, 0.8, 1.0, (0, 1, 4, 16, 64)),
    Shape(0.97, 3.0, 4.0, (0, 1, 3, 10, 32, 100)),
)


class Simulated(NamedTuple):
    losses: CurveLosses
    anchors: Anchors


def simulate(shape: Shape, seeds: int, generator: np.random.Generator, with_validation: bool = False) -> Simulated:
    """Validation losses, where asked for, carry the noise of as many items of their own."""
    cluster = np.repeat(np.arange(CLUSTERS), ITEMS)
    units = generator.integers(2, LARGEST, len(cluster))
    difficulty = np.exp(
        BETWEEN * generator.standard_normal(CLUSTERS)[cluster] + WITHIN * generator.standard_normal(len(cluster))
    )
    difficulty /= np.exp((BETWEEN**2 + WITHIN**2) / 2)  # a mean of 1 over the population

    def scored(loss: float) -> Floats:
        return units * loss * difficulty + NOISE * np.sqrt(units) * generator.standard_normal(len(units))

    by_tokens: dict[int, dict[int, Floats]] = {}
    validation: dict[int, dict[int, float]] = {}
    for tokens, share in zip(shape.tokens, shape.share(), strict=True):
        least = NO_SKILL - share * (NO_SKILL - SATURATION)
        reached = [least + _short(least, generator) if tokens else least for _ in range(seeds if tokens else 1)]
        by_tokens[tokens] = {seed: scored(loss) for seed, loss in enumerate(reached)}
        error = NOISE / np.sqrt(units.sum())
        validation[tokens] = {seed: loss + error * generator.standard_normal() for seed, loss in enumerate(reached)}
    no_skill, saturation = (
        Anchor(name, (scored(loss),)) for name, loss in (("frequencies", NO_SKILL), ("exact", SATURATION))
    )
    losses = CurveLosses(by_tokens, units, cluster, validation if with_validation else {})
    return Simulated(losses, Anchors(no_skill, saturation))


def with_averaged_seeds(losses: CurveLosses) -> CurveLosses:
    """What must not be done: one prompt a token count, whose losses are the mean over its seeds."""
    averaged = {tokens: {0: np.mean(list(seeds.values()), axis=0)} for tokens, seeds in losses.by_tokens.items()}
    return CurveLosses(averaged, losses.units, losses.cluster)


def _short(least: float, generator: np.random.Generator) -> float:
    if generator.random() < FAILS:
        return generator.uniform(0.2, 1.0) * (ZERO - least)
    return SHORT * (NO_SKILL - SATURATION) * abs(generator.standard_normal())


class Measured(NamedTuple):
    """Over many simulations; errors in doublings of tokens + 1, NaN where censored, [simulations, (d_50, d_90)]."""

    errors: Floats
    covered: Floats
    averaged: Floats
    """Errors where seeds are averaged before the mark is sought."""

    @classmethod
    def over(cls, count: int) -> Self:
        runs = [_measured(SHAPES[index % len(SHAPES)], index) for index in range(count)]
        return cls(*(np.array(values) for values in zip(*runs, strict=True)))

    def summary(self) -> str:
        bias, averaged = (np.nanmean(errors, axis=0) for errors in (self.errors, self.averaged))
        censored, averaged_censored = (np.isnan(errors).mean(axis=0) for errors in (self.errors, self.averaged))
        return "; ".join(
            f"d_{mark}: bias {bias[at]:+.3f}, coverage {self.covered[:, at].mean():.3f}, censored {censored[at]:.3f}, "
            f"seeds averaged: bias {averaged[at]:+.3f}, censored {averaged_censored[at]:.3f}"
            for at, mark in enumerate((50, 90))
        )


def _measured(shape: Shape, index: int) -> tuple[list[float], list[bool], list[float]]:
    simulated = simulate(shape, 5, np.random.default_rng([11, index]), with_validation=index % 4 == 3)
    counts = np.array(shape.tokens)
    best = np.maximum.accumulate(shape.share())[None]
    truths = [float(first_reaching(best, counts, mark)[0]) for mark in (0.5, 0.9)]
    found, averaged = (
        capability_distance(losses, simulated.anchors, draws=draws)
        for losses, draws in ((simulated.losses, 1_000), (with_averaged_seeds(simulated.losses), 20))
    )
    marks, averaged_marks = (found.d_50, found.d_90), (averaged.d_50, averaged.d_90)
    covered = [_is_inside(truth, mark) for truth, mark in zip(truths, marks, strict=True)]
    return _errors(marks, truths), covered, _errors(averaged_marks, truths)


def _errors(marks: tuple[Mark, Mark], truths: list[float]) -> list[float]:
    return [
        np.nan if mark.value is None else float(np.log2((mark.value + 1) / (truth + 1)))
        for mark, truth in zip(marks, truths, strict=True)
    ]


def _is_inside(truth: float, mark: Mark) -> bool:
    assert mark.low is not None
    return mark.low <= truth <= (np.inf if mark.high is None else mark.high)
