"""Items of curves whose truth is known: the count of tokens at which the generating curve passes half of a skill.

    share(P) = base + (1 - base) / (1 + (h / P)^b)

Each prompt reaches its share but for its optimiser, which fails now and then and loses a part of what was to gain.
Everything is scored on the same items, whose difficulty differs between and within clusters; anchors are scored on
them too, so that they have errors, and prompts and ceiling are chosen by validation.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from soft_prompts.stats.bootstrap import Scores
from soft_prompts.stats.scales import Anchor, By, Ends

Floats = NDArray[np.float64]

COUNTS = (0, 1, 4, 16)
LEAST_HALF, MOST_HALF = 0.7, 22.0
BOTTOM, TOP = 0.1, 0.9  # outcome without the skill, and with it
WITHOUT, WITH = 2.5, 1.0  # nats per unit, likewise
BETWEEN, WITHIN, OWN = 0.15, 0.3, 0.5  # log difficulty of clusters and items; nats per root unit of one prompt's own
SHARED = (0.2, 0.4)  # of the variance behind an outcome: clusters' and items'
VALIDATION = 200  # items of it
RATES = 3  # trials of the ceiling


class World(NamedTuple):
    """How a curve is measured."""

    by: By
    items: int
    clusters: int
    seeds: int = 1
    fails: float = 0.0
    """Share of the trained prompts and weights that fall short."""
    spread: float = 0.0
    """Standard deviation of the seeds' shares."""


class Truth(NamedTuple):
    """A Hill curve that passes half of the skill at `half` tokens."""

    half: float
    base: float
    steep: float

    def share(self, tokens: int) -> float:
        if tokens == 0:
            return self.base
        part = (0.5 - self.base) / (1 - self.base)
        middle = self.half * ((1 - part) / part) ** (1 / self.steep)
        return self.base + (1 - self.base) / (1 + (middle / tokens) ** self.steep)


class Simulated(NamedTuple):
    """One curve: the scores of each count's seeds with their validation, its anchors and clusters."""

    seeds: Mapping[int, Sequence[tuple[float, Scores]]]
    """Validation (higher is better) and test, by count."""
    ends: Ends
    cluster: NDArray[np.int64]

    @property
    def chosen(self) -> dict[int, Scores]:
        """By validation, as prompts are."""
        return {tokens: max(seeds, key=lambda one: one[0])[1] for tokens, seeds in self.seeds.items()}


class Bed:
    """The items of one test set, on which prompts of any share are scored."""

    def __init__(self, world: World, generator: np.random.Generator) -> None:
        self.world, self.generator = world, generator
        self.cluster = np.arange(world.items) % world.clusters
        self.units = generator.integers(2, 12, world.items).astype(np.float64)
        of_cluster, of_item = generator.standard_normal(world.clusters), generator.standard_normal(world.items)
        self.difficulty = np.exp(BETWEEN * of_cluster[self.cluster] + WITHIN * of_item - (BETWEEN**2 + WITHIN**2) / 2)
        self.latent = math.sqrt(SHARED[0]) * of_cluster[self.cluster] + math.sqrt(SHARED[1]) * of_item

    def scores(self, share: float) -> Scores:
        """Of something that has this share of the skill over all items that there could be."""
        own = self.generator.standard_normal(self.world.items)
        if self.world.by == "loss":
            loss = WITHOUT - share * (WITHOUT - WITH)
            return Scores(-(self.units * loss * self.difficulty + OWN * np.sqrt(self.units) * own), self.units)
        rate = min(max(BOTTOM + share * (TOP - BOTTOM), 0.0), 1.0)
        latent = self.latent + math.sqrt(1 - sum(SHARED)) * own
        return Scores((latent < norm.ppf(rate)).astype(np.float64), np.ones(self.world.items))

    def trained(self, best: float, worst: float) -> float:
        """The share that one training reaches: never more than the best weights."""
        share = best + self.world.spread * self.generator.standard_normal()
        if self.generator.random() < self.world.fails:
            share -= self.generator.uniform(0.2, 1.0) * (best - worst)
        return min(share, 1.0)

    def validated(self, share: float) -> tuple[float, Scores]:
        """Validation has as many items of its own."""
        return share + 0.5 / math.sqrt(VALIDATION) * self.generator.standard_normal(), self.scores(share)


def some_truth(generator: np.random.Generator) -> Truth:
    """Halves even on the axis of doublings."""
    half = math.exp(generator.uniform(math.log(LEAST_HALF), math.log(MOST_HALF)))
    return Truth(half, generator.uniform(0.0, 0.2), generator.uniform(1.0, 3.0))


def simulate(truth: Truth, bed: Bed) -> Simulated:
    """A curve of COUNTS with a floor that nothing was trained for and a ceiling that was."""
    seeds = {
        tokens: [
            bed.validated(bed.trained(truth.share(tokens), truth.base) if tokens else truth.base) for _ in range(many)
        ]
        for tokens in COUNTS
        for many in [bed.world.seeds if tokens else 1]
    }
    weights = max((bed.validated(_weights(bed)) for _ in range(RATES)), key=lambda one: one[0])[1]
    return Simulated(seeds, Ends([Anchor("floor", (bed.scores(0.0),))], Anchor("lora", (weights,))), bed.cluster)


def _weights(bed: Bed) -> float:
    """The share that one training of the ceiling reaches; seeds of prompts spread, the best weights are known."""
    return 1.0 - (bed.generator.uniform(0.2, 1.0) if bed.generator.random() < bed.world.fails else 0.0)
