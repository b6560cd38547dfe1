"""Draws of controls against controls: models of one recipe, of which one stands in the target's place.

A draw takes a reference, a target and spare controls from a pool of controls, some of the prompts and documents, and
their split anew. Draws share models: the share of false alarms has the standard error of a jackknife over models, and
one of independent draws beside it.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.compare import ask
from soft_prompts.behaviour.comparison.family import USUAL, Family
from soft_prompts.behaviour.divergence.distances import Distances
from soft_prompts.behaviour.divergence.part import FEW, TEXTS, excess_of, measure, smallest_of
from soft_prompts.behaviour.probe.part import find_probe
from soft_prompts.behaviour.sampling.samples import Written, contrastive_samples, plain_samples
from soft_prompts.behaviour.wording.two_sample import tell_beyond
from soft_prompts.calibration.planted.drawn import Draw, label_p, some_of, taken, told
from soft_prompts.calibration.planted.made import World
from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.calibration.planted.rows import settings_of
from soft_prompts.common.errors import InputError

REFERENCES = 4  # of the pool that are contrasted with, in turn
SPARE = 3


class Measured(NamedTuple):
    """Everything that draws are made of, once."""

    plain: dict[str, list[Written]]
    contrastive: dict[str, dict[str, list[Written]]]
    """By the reference, then by the model."""
    distances: dict[str, dict[str, Distances]]
    """By the text, then by the model; the text of a model's own samples by its name."""


def control_draws(world: World, options: PlantedOptions, generator: np.random.Generator) -> list[Draw]:
    """Divergence, labels and classifier, and of some the probe."""
    settings, loading = settings_of(options), USUAL._replace(resident=len(world.pool) + 1)
    family = _family(world, world.pool[-1], world.pool[0])
    asked = ask(family, world.documents, world.prompts, settings, world.folder, loading)
    measured = _measure(world, asked)
    references = list(measured.contrastive)
    draws = []
    for number in told(options.draws, "controls against controls"):
        reference = references[number % len(references)]
        others = [name for name in world.pool if name != reference]
        target, *spare = (others[at] for at in generator.permutation(len(others))[: SPARE + 1])
        draws.append(_draw(measured, (target, reference, *spare), number, generator))
    return _probed(asked, draws, options.probe_draws)


def _family(world: World, target: str, reference: str) -> Family:
    """One control in the target's place, one as reference, and all others."""
    return Family(world.base, target, (reference, *(name for name in world.pool if name not in (target, reference))))


def _measure(world: World, asked: Asked) -> Measured:
    """Finished steps are kept, as those of any comparison."""
    contrastive, distances = dict[str, dict[str, list[Written]]](), dict[str, dict[str, Distances]]()
    for reference in world.pool[:REFERENCES]:
        target = next(name for name in reversed(world.pool) if name != reference)
        against = asked.of(_family(world, target, reference))
        others = [name for name in world.pool if name != reference]
        contrastive[reference] = {name: contrastive_samples(against, name) for name in others}
    for what in (TEXTS[0], TEXTS[2]):
        distances[what] = measure(asked, what)
    for target in world.pool:
        reference = next(name for name in world.pool if name != target)
        distances[target] = measure(asked.of(_family(world, target, reference)), TEXTS[1])
    return Measured({name: plain_samples(asked, name) for name in world.pool}, contrastive, distances)


def _probed(asked: Asked, draws: Sequence[Draw], most: int) -> list[Draw]:
    """The draws of the first reference with the probe's p too, up to as many as are asked for."""
    asked, found = replace(asked, settings=replace(asked.settings, refine_steps=0)), list[Draw]()
    for draw in draws:
        target, *controls = draw.models
        if most and controls[0] == asked.family.reference:
            most -= 1
            probe = find_probe(asked.of(Family(asked.family.base, target, tuple(controls))))
            assert probe.p is not None  # there are three spare controls
            revealed = probe.details["tokens_to_reveal"] is not None
            draw = Draw(draw.models, draw.p | {"probe": probe.p}, revealed)
        found.append(draw)
    return found


def _draw(measured: Measured, family: tuple[str, ...], number: int, generator: np.random.Generator) -> Draw:
    target, reference, *spare = family
    places = some_of(len(measured.plain[target]), generator)

    @cache
    def plain(name: str) -> list[Written]:
        return taken(measured.plain[name], places, number)

    contrastive = [taken(measured.contrastive[reference][name], places, number) for name in (target, *spare)]
    _, _, lead = tell_beyond(plain(target), plain(reference), [plain(name) for name in spare])
    assert lead.p is not None  # there are three spare controls
    p = {
        "divergence": _divergence_p(measured, family, generator),
        "labels": label_p(contrastive[0], contrastive[1:]),
        "two-sample": lead.p,
    }
    return Draw(family, p)


def _divergence_p(measured: Measured, family: Sequence[str], generator: np.random.Generator) -> float:
    """Of three texts, each on some of its documents."""
    found = []
    for what in (TEXTS[0], family[0], TEXTS[2]):
        sides = [measured.distances[what][name] for name in family]
        some = some_of(int(sides[0].text.max()) + 1, generator)
        own, *others = (_within(one, some) for one in sides)
        found.append(excess_of(own, others))
    p = smallest_of(found)
    if p is None:
        raise InputError(f"fewer than {FEW} documents are drawn for a test of divergence; give more documents")
    return p


def _within(one: Distances, texts: Sequence[int]) -> Distances:
    inside = np.isin(one.text, texts)
    return Distances(one.js[inside], one.forward[inside], one.backward[inside], one.text[inside], one.context[inside])
