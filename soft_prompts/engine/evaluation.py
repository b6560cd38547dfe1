"""How well does a prompt do on held-out items, and how sure is that?

Losses are kept item by item: every number here can be computed again from a result's items file.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from soft_prompts.engine.batch import collate
from soft_prompts.engine.forward import TokenLosses, token_losses
from soft_prompts.engine.memory import in_batches
from soft_prompts.engine.processes import batches_short, part_of, summed
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.metrics import per_unit
from soft_prompts.results.schema import Metric
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import Example


class LossNotFinite(RuntimeError):
    """A model and prompt that give no number: the run has failed."""


class ItemLosses(NamedTuple):
    """Raw sums of each item; not yet known to be finite."""

    nats: NDArray[np.float64]
    tokens: NDArray[np.int64]
    hits: NDArray[np.int64]
    """Scored tokens that are the model's first choice, given the true ones before them."""

    @property
    def per_token(self) -> float:
        """Nats per scored token over all items."""
        return float(self.nats.sum() / self.tokens.sum())


class Evaluation(NamedTuple):
    """What a prompt is worth on held-out examples."""

    items: Items
    token_accuracy: Metric
    """Share of the scored tokens that are the model's first choice, given the true ones before them."""
    whole: NDArray[np.float64]
    """[N] 1 where all of an item's are, which is what greedy writing would give; else 0."""


def evaluate(
    frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example], batch_size: int, score_first: bool = False
) -> Evaluation:
    """What a result keeps of the examples, in their order; raises LossNotFinite."""
    losses = item_losses(frozen, prompt, examples, batch_size, score_first)
    refuse_not_finite(losses.nats)
    items = Items(
        loss_nats=losses.nats,
        scored_tokens=losses.tokens,
        scored_units=np.array([example.units for example in examples], dtype=np.int64),
        cluster=np.array([example.cluster for example in examples], dtype=np.int64),
    )
    hits = losses.hits.astype(np.float64)
    accuracy = per_unit(hits, items.scored_tokens, items.cluster, "share of tokens")
    return Evaluation(items, accuracy, (losses.hits == losses.tokens).astype(np.float64))


def refuse_not_finite(nats: NDArray[np.float64]) -> None:
    """Raise LossNotFinite unless every item has a number."""
    if wrong := (~np.isfinite(nats)).sum():
        raise LossNotFinite(f"the loss of {wrong} of {len(nats)} items is not finite")


@torch.no_grad()
def item_losses(
    frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example], batch_size: int, score_first: bool = False
) -> ItemLosses:
    """Losses of the examples, in their order; processes share the work.

    Samples of like length go through the model together; which ones changes no loss beyond rounding. Where memory is
    out the batches are halved; raises OutOfRoom where one sample does not fit.
    """
    part = part_of(frozen)
    sums = torch.zeros(len(examples), 3, dtype=torch.float64, device=frozen.device)  # nats, scored tokens, hits
    by_length = sorted(range(len(examples)), key=lambda index: -len(examples[index].input_ids))
    mine = by_length[part.first :: part.every]  # whatever batch size each process can hold

    def losses_of(places: Sequence[int]) -> tuple[Tensor, TokenLosses]:
        batch = collate([examples[place] for place in places], frozen.pad_id, score_first)
        losses = token_losses(frozen, prompt, batch)
        return torch.tensor(places, device=frozen.device)[losses.row], losses

    for where, losses in in_batches(mine, batch_size, losses_of, halves=not frozen.in_step):
        sums[:, 0].index_add_(0, where, losses.nats.double())
        sums[:, 1].index_add_(0, where, torch.ones_like(losses.nats, dtype=torch.float64))
        if losses.hits is not None:  # there is no gradient here
            sums[:, 2].index_add_(0, where, losses.hits.double())
    for _ in range(batches_short(frozen, len(examples), batch_size)):
        losses_of(by_length[-1:])  # the others wait within their layers for this process
    nats, tokens, hits = summed(sums, part).cpu().numpy().T
    return ItemLosses(np.ascontiguousarray(nats), tokens.astype(np.int64), hits.astype(np.int64))


def swap_conditions(examples: Sequence[Example], seed: int) -> list[Example]:
    """The same examples, each with the conditions of another one whose conditions differ, as far as there are such.

    A seeded cyclic shift over a random order deals them; who gets conditions like its own then trades with one drawn
    from those that both gain by. Only of conditions that more than half of the examples have are some left in place.
    """
    generator = np.random.default_rng((seed, len(examples)))
    order = generator.permutation(len(examples))
    donor = np.empty_like(order)
    donor[order] = np.roll(order, 1)
    numbers = {conditions: number for number, conditions in enumerate({e.conditions: None for e in examples})}
    alike = np.array([numbers[example.conditions] for example in examples], dtype=np.int64)
    for place in order:
        if alike[donor[place]] == alike[place]:
            gain = np.flatnonzero((alike[donor] != alike[place]) & (alike != alike[place]))
            if len(gain):
                other = generator.choice(gain)
                donor[[place, other]] = donor[[other, place]]
    return [
        example._replace(conditions=examples[giver].conditions) for example, giver in zip(examples, donor, strict=True)
    ]
