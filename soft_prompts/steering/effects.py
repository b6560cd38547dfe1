"""What does a vector do on items that it was not made of, beside everything that could do the same by chance?

Layer and strength are chosen on dev, and reported on test: accuracy, log-probability and logit difference, each beside
nothing, five random vectors of the same length, a vector of shuffled labels, those of wrong classes, and the prompt
that asks for the class in words. Intervals draw the groups again, and the vectors where several seeds gave several.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.stats import bootstrap
from soft_prompts.stats.bootstrap import Interval, drawn_means, interval, over_seeds
from soft_prompts.steering.data.choices import Choices, with_cues
from soft_prompts.steering.likeness import Likeness
from soft_prompts.steering.scoring import (
    Scores,
    Steer,
    adding,
    option_scores,
    text_nats,
    untouched,
)
from soft_prompts.steering.vectors.vector import SteeringVector

STRENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
RANDOM = 5  # vectors
MEASURES: dict[str, Callable[[Scores, str], NDArray[np.float64]]] = {
    "accuracy": lambda scores, name: scores.right(name),
    "log_probability": lambda scores, name: scores.of(name),
    "logit_difference": lambda scores, name: scores.lead(name),
}


@dataclass(frozen=True)
class Arm:
    """What was done, and what came of it on the test items."""

    name: str
    measures: dict[str, Interval]
    items: dict[str, NDArray[np.float64]] = field(repr=False)
    """[S N] of each measure, a row a seed, to be pooled."""
    neutral_nats: float | None = None
    """Change of the loss on neutral text, nats a token."""

    @property
    def seeds(self) -> int:
        """That its intervals are over, beside groups."""
        return len(next(iter(self.items.values())))


class Tried(NamedTuple):
    """One layer and strength on dev."""

    layer: int
    strength: float
    accuracy: float
    logit_difference: float


@dataclass(frozen=True)
class Effect:
    """A vector beside its controls."""

    name: str
    layer: int
    strength: float
    tried: tuple[Tried, ...]
    arms: tuple[Arm, ...]
    likeness: Likeness | None
    n: int
    groups: tuple[str, ...]

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def best_control(self) -> Arm:
        """By accuracy; the real prompt is what is to be matched, and no control."""
        controls = [arm for arm in self.arms if arm.name not in ("vector", "prompt")]
        return max(controls, key=lambda arm: arm.measures["accuracy"].value)


def choose(inside: Inside, vector: SteeringVector, dev: Choices, strengths: Iterable[float] = STRENGTHS) -> list[Tried]:
    """Every layer and strength on dev items that offer the class, best first: by accuracy, of equally accurate ones the
    weakest, for strength costs loss elsewhere, and of these by logit difference."""
    asked, tried = dev.having(vector.name), []
    for layer in vector.layers:
        for strength in strengths:
            steer = vector.steer(inside, layer, strength)
            scores = option_scores(inside.frozen, asked, steer)
            accuracy, lead = (
                float(MEASURES[name](scores, vector.name).mean()) for name in ("accuracy", "logit_difference")
            )
            tried.append(Tried(layer, strength, accuracy, lead))
    return sorted(tried, key=lambda one: (-one.accuracy, one.strength, -one.logit_difference))


class Controls(NamedTuple):
    """Vectors that should do nothing, or something else."""

    shuffled: SteeringVector | None = None
    wrong: tuple[SteeringVector, ...] = ()


def effect(
    inside: Inside, seeds: Sequence[SteeringVector], test: Choices, controls: Controls, neutral: Sequence[str] = ()
) -> Effect:
    """A class's vector, of one seed or several, each at its chosen layer and strength, beside the controls of the
    first, on test items that offer the class."""
    vector = seeds[0]
    asked, layer, strength = test.having(vector.name), vector.layer, vector.strength
    assert layer is not None
    assert strength is not None
    steers = {"none": [untouched], "vector": [one.steer(inside) for one in seeds]}
    own = vector.layers[layer]
    randoms = [
        adding(inside, {f"resid.{layer}": strength * one}, vector.positions) for one in random_like(own, vector.seed)
    ]
    if controls.shuffled is not None:
        shuffled = as_long(controls.shuffled.layers[layer], own)
        steers["shuffled labels"] = [adding(inside, {f"resid.{layer}": strength * shuffled}, vector.positions)]
    steers["random"] = randoms
    arms = [_arm(inside, name, some, vector.name, asked, neutral) for name, some in steers.items()]
    if controls.wrong:
        wrong = [other.steer(inside, layer, strength) for other in controls.wrong]
        arms.append(_averaged(_arm(inside, "wrong class", wrong, vector.name, asked, ()), asked.groups))
    cued = with_cues(asked, vector.name)
    if cued is not None:
        arms.append(_arm(inside, "prompt", [untouched], vector.name, cued, ()))
    return Effect(vector.name, layer, strength, (), tuple(arms), None, len(asked.items), asked.groups)


def random_like(direction: Tensor, seed: int, count: int = RANDOM) -> list[Tensor]:
    """Random directions of the same length."""
    generator = torch.Generator().manual_seed(seed)
    return [as_long(torch.randn(len(direction), generator=generator), direction) for _ in range(count)]


def as_long(direction: Tensor, like: Tensor) -> Tensor:
    """The direction with the length of another."""
    length = direction.norm()
    return direction * (like.norm() / length) if length > 0 else direction


def _arm(
    inside: Inside, name: str, steers: Sequence[Steer], target: str, asked: Choices, neutral: Sequence[str]
) -> Arm:
    """Several steers are seeds of one."""
    scores = [option_scores(inside.frozen, asked, steer) for steer in steers]
    items = {measure: np.array([of(one, target) for one in scores]) for measure, of in MEASURES.items()}
    return Arm(name, intervals(items, asked.groups), items, _neutral(inside, steers, neutral) if neutral else None)


def _averaged(arm: Arm, groups: Sequence[str]) -> Arm:
    """Of all other classes: there are no more to draw from, so that the groups alone are drawn again."""
    items = {name: values.mean(axis=0, keepdims=True) for name, values in arm.items.items()}
    return Arm(arm.name, intervals(items, groups), items, arm.neutral_nats)


def _neutral(inside: Inside, steers: Sequence[Steer], neutral: Sequence[str]) -> float:
    if steers[0] is untouched:
        return 0.0
    before = text_nats(inside.frozen, neutral)
    return float(np.mean([text_nats(inside.frozen, neutral, steer) for steer in steers])) - before


def intervals(items: dict[str, NDArray[np.float64]], groups: Sequence[str]) -> dict[str, Interval]:
    """Means with 95 % intervals, of [S N]: groups and seeds are drawn again, measures together."""
    _, cluster = np.unique(np.array(groups), return_inverse=True)
    ones, count = np.ones(len(groups)), len(np.unique(cluster))
    found = {}
    for name, values in items.items():
        rows = drawn_means([bootstrap.Scores(of_seed, ones) for of_seed in values], cluster, bootstrap.DRAWS)
        found[name] = interval_of(name, over_seeds(rows), count)
    return found


def interval_of(measure: str, rows: NDArray[np.float64], clusters: int) -> Interval:
    """Of the draws of a measure; no accuracy is below 0 or above 1, wherever the draws were moved to."""
    found = interval(rows, clusters)
    if measure != "accuracy" or found.low is None or found.high is None:
        return found
    return found._replace(low=max(found.low, 0.0), high=min(found.high, 1.0))


def pooled(effects: Sequence[Effect]) -> dict[str, dict[str, Interval]]:
    """Arm -> measure -> mean over all classes' items, for arms that every class has."""
    names = [arm.name for arm in effects[0].arms if all(any(o.name == arm.name for o in e.arms) for e in effects)]
    groups = [group for one in effects for group in one.groups]
    return {name: intervals({m: _joined([one.arm(name).items[m] for one in effects]) for m in MEASURES}, groups)
            for name in names}  # fmt: skip


def _joined(items: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """[S N] of all classes, seed by seed; where these have other numbers of seeds, the means over them."""
    alike = len({len(one) for one in items}) == 1
    return np.concatenate([one if alike else one.mean(axis=0, keepdims=True) for one in items], axis=1)
