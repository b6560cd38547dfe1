"""What is the best vector that a gradient finds? One direction at one layer, fitted to the class's options."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from soft_prompts.engine.activations.hooks import add
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.steering.data.choices import Choices
from soft_prompts.steering.scoring import BATCH, Row, row_logps, rows_of
from soft_prompts.steering.vectors.vector import SteeringVector


@dataclass(frozen=True)
class Fitting:
    """How a vector is fitted."""

    steps: int = 150
    batch_size: int = 32
    learning_rate: float = 0.1
    """Of Adam, in units of the spread of the start."""
    seed: int = 0


def only(choices: Choices, name: str) -> Choices:
    """The items that offer a class, with its option alone."""
    asked = choices.having(name)
    return replace(asked, items=tuple(replace(one, options={name: one.options[name]}) for one in asked.items))


def fitted_vector(inside: Inside, choices: Choices, start: SteeringVector, layer: int, how: Fitting) -> SteeringVector:
    """From zero to the direction that makes the class's options likeliest behind the bare prompts, at one layer.

    The loss is nats an option; Adam with a cosine to zero, its rate in units of the root mean square of `start`, so
    that layers of any scale are fitted alike.
    """
    rows = rows_of(inside.frozen, only(choices, start.name))
    scale = float(start.layers[layer].pow(2).mean().sqrt())
    direction = torch.zeros(inside.hidden_size, requires_grad=True)
    optimizer = torch.optim.Adam([direction], lr=how.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, how.steps)
    generator = torch.Generator().manual_seed(how.seed)
    for _ in range(how.steps):
        some = torch.randperm(len(rows), generator=generator)[: min(how.batch_size, BATCH)].tolist()
        optimizer.zero_grad()
        nats(inside, [rows[number] for number in some], layer, direction * scale, start.positions).backward()
        optimizer.step()
        schedule.step()
    found = (direction.detach() * scale).contiguous()
    share = start.norm_shares[layer] * float(found.norm() / start.layers[layer].norm())
    return start.with_layers({layer: found}, method="fit", norm_shares={layer: share}, seed=how.seed, n=len(rows))


def nats(inside: Inside, rows: Sequence[Row], layer: int, direction: Tensor, positions: str) -> Tensor:
    """Mean nats a row of the asked options with the direction added; it has a gradient."""
    steered = row_logps(
        inside.frozen, rows, lambda batch: add(inside, {f"resid.{layer}": direction}, batch.places(positions))
    )
    return -steered.sum() / len(rows)
