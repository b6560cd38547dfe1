"""How often is a change seen where there is none? The base against itself, and controls against controls.

A draw is a random half of the documents or prompts, so draws of the same models are not independent: the shares have
the standard error of so many draws at least.
"""

from typing import NamedTuple

import numpy as np

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.divergence.distances import Distances
from soft_prompts.behaviour.divergence.part import TEXTS, measure
from soft_prompts.behaviour.sampling.samples import Written, contrastive_samples, plain_samples
from soft_prompts.behaviour.wording.labels import label_samples
from soft_prompts.behaviour.wording.phrases import Phrases
from soft_prompts.behaviour.wording.two_sample import tell_apart
from soft_prompts.calibration.planted.made import World
from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.calibration.planted.rows import settings_of
from soft_prompts.stats.excess import excess_over

SELVES = 5  # sets of samples of the base
LEVEL = 0.05


class Alarms(NamedTuple):
    """How often one test was wrong."""

    test: str
    false: int
    draws: int

    @property
    def share(self) -> float:
        """Wanted: the level, and two standard errors at most."""
        return self.false / self.draws

    @property
    def most(self) -> float:
        """What may be: the level and two standard errors."""
        return LEVEL + 2 * float(np.sqrt(LEVEL * (1 - LEVEL) / self.draws))


def false_alarms(world: World, options: PlantedOptions) -> list[Alarms]:
    """Of labels, classifier and divergence."""
    if options.draws == 0:
        return []
    asked = world.asked(world.controls[0], settings_of(options), world.controls[1:])
    generator = np.random.default_rng(options.seed)
    return [
        *_of_base(asked, options.draws, generator),
        _of_labels(world, options, generator),
        _of_divergence(asked, options.draws, generator),
    ]


def _of_base(asked: Asked, draws: int, generator: np.random.Generator) -> list[Alarms]:
    """Plain samples of the base with other seeds."""
    base, labels, told = asked.family.base, 0, 0
    sets = [plain_samples(asked, base, seed=1000 + number) for number in range(SELVES)]
    for _ in range(draws):
        one, other, third = (sets[at] for at in generator.permutation(SELVES)[:3])
        some = _half(len(one), generator)
        own, first, second = ([side[at] for at in some] for side in (one, other, third))
        labels += _finds(own, [first, second])
        told += tell_apart(own, first).p <= LEVEL
    return [
        Alarms("labels, base against itself", labels, draws),
        Alarms("two-sample, base against itself", told, draws),
    ]


def _of_labels(world: World, options: PlantedOptions, generator: np.random.Generator) -> Alarms:
    """A control in the target's place, the first one as reference, the others spare."""
    false, settings = 0, settings_of(options)
    reference, *others = world.controls
    for draw in range(options.draws):
        target = others[draw % len(others)]
        spare = tuple(name for name in others if name != target)
        asked = world.asked(target, settings, (reference, *spare))
        sides = [contrastive_samples(asked, name) for name in (target, *spare)]
        some = _half(len(sides[0]), generator)
        own, *rest = ([side[at] for at in some] for side in sides)
        false += _finds(own, rest)
    return Alarms("labels, control against control", false, options.draws)


def _of_divergence(asked: Asked, draws: int, generator: np.random.Generator) -> Alarms:
    """Every control against the others, on half of the documents."""
    found = list(measure(asked, TEXTS[0]).values())
    documents = int(found[0].text.max()) + 1
    false = 0
    for draw in range(draws):
        some = _half(documents, generator)
        means = [_some(one, some).mean() for one in found]
        at = draw % len(means)
        others = [mean.value for place, mean in enumerate(means) if place != at]
        p = excess_over(means[at].value, means[at].stderr or 0.0, others).p
        false += p is not None and p <= LEVEL
    return Alarms("divergence, control against control", false, draws)


def _half(count: int, generator: np.random.Generator) -> list[int]:
    return sorted(generator.permutation(count)[: max(2, count // 2)].tolist())


def _some(one: Distances, texts: list[int]) -> Distances:
    inside = np.isin(one.text, texts)
    return Distances(one.js[inside], one.forward[inside], one.backward[inside], one.text[inside], one.context[inside])


def _finds(own: list[Written], others: list[list[Written]]) -> bool:
    return any(one.adjusted_p <= LEVEL for one in label_samples(own, others, Phrases(), 20))
