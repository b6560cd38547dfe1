"""How does the effect of a vector grow with layer and strength, and that of its controls? On dev items.

One vector of each kind: the class's, one of shuffled labels, a random one, and another class's, all as long as the
first at every layer. Test items are left to what was chosen.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.steering.data.choices import Choices
from soft_prompts.steering.effects import STRENGTHS, as_long, random_like
from soft_prompts.steering.scoring import adding, option_scores
from soft_prompts.steering.vectors.vector import SteeringVector

MOST_LAYERS = 8  # evenly over those that a vector has


class Swept(NamedTuple):
    """One arm at one layer and strength."""

    arm: str
    layer: int
    strength: float
    accuracy: float
    logit_difference: float


def sweep(
    inside: Inside, vector: SteeringVector, dev: Choices, others: Mapping[str, SteeringVector | None]
) -> list[Swept]:
    """`others` are shuffled labels and another class, by name; None where there is none."""
    asked, found = dev.having(vector.name), []
    for layer in _some(sorted(vector.layers)):
        own = vector.layers[layer]
        arms: dict[str, Tensor] = {"vector": own, "random": random_like(own, vector.seed, 1)[0]}
        there = {name: one.layers[layer] for name, one in others.items() if one is not None and layer in one.layers}
        arms |= {name: as_long(direction, own) for name, direction in there.items()}
        for (arm, direction), strength in ((pair, strength) for pair in arms.items() for strength in STRENGTHS):
            steer = adding(inside, {f"resid.{layer}": strength * direction}, vector.positions)
            scores = option_scores(inside.frozen, asked, steer)
            right, lead = (float(values.mean()) for values in (scores.right(vector.name), scores.lead(vector.name)))
            found.append(Swept(arm, layer, strength, right, lead))
    return found


def _some(layers: Sequence[int]) -> list[int]:
    places = np.linspace(0, len(layers) - 1, min(len(layers), MOST_LAYERS)).round().astype(int)
    return [layers[place] for place in dict.fromkeys(places.tolist())]
