"""Draws of the base against itself: in every place samples of the same model, with seeds of their own.

A pool of samples with many seeds is written once. A draw takes some of the prompts, and of each prompt deals its
samples to the places at random: given the pool, draws are independent, and no place differs from another.
"""

from collections.abc import Callable, Sequence

import numpy as np

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.sampling.samples import Written, contrastive_samples, plain_samples
from soft_prompts.behaviour.wording.two_sample import tell_beyond
from soft_prompts.calibration.planted.drawn import Draw, label_p, some_of, taken, told
from soft_prompts.calibration.planted.made import World
from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.calibration.planted.rows import settings_of

SELVES = 10  # sets of samples of the base
FIRST_SEED = 1000
SPARE = 3  # controls beside the reference
Pool = list[list[Written]]


def self_draws(world: World, options: PlantedOptions, generator: np.random.Generator) -> list[Draw]:
    """Labels and classifier; divergence of a model from itself is 0 to the bit, so its p is 1."""
    asked = world.asked(world.controls[0], settings_of(options), (world.base, *world.controls[1:]))
    plain, contrastive = _pool(asked, plain_samples), _pool(asked, contrastive_samples)
    return [_draw(plain, contrastive, number, generator) for number in told(options.draws, "the base against itself")]


def _pool(asked: Asked, write: Callable[[Asked, str, int], list[Written]]) -> Pool:
    """A contrastive sample of the base against itself is a plain one without its unlikely tokens."""
    return [write(asked, asked.family.base, FIRST_SEED + number) for number in range(SELVES)]


def _draw(plain: Pool, contrastive: Pool, number: int, generator: np.random.Generator) -> Draw:
    places = some_of(len(plain[0]), generator)
    own, *spare = _dealt(contrastive, places, number, generator)[: SPARE + 1]
    target, reference, *others = _dealt(plain, places, number, generator)[: SPARE + 2]
    apart, _, lead = tell_beyond(target, reference, others)
    assert lead.p is not None  # there are three controls
    return Draw((), {"divergence": 1.0, "labels": label_p(own, spare), "two-sample": lead.p, "classifier": apart.p})


def _dealt(pool: Pool, places: Sequence[int], draw: int, generator: np.random.Generator) -> Pool:
    """As many sets as the pool has, each prompt's samples in an order of their own."""
    orders = [generator.permutation(len(pool)) for _ in places]
    mixed = [[pool[order[rank]][at] for at, order in zip(places, orders, strict=True)] for rank in range(len(pool))]
    return [taken(one, range(len(places)), draw) for one in mixed]
