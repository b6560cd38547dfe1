"""What do samples cost that begin alike: one question, many answers?

What stands before the scored tokens goes through the model once, and every sample goes on from its keys and values.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import DynamicCache

from soft_prompts.engine.batch import collate
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.engine.loss import head_loss, logits_loss
from soft_prompts.engine.memory import in_batches
from soft_prompts.engine.processes import part_of, summed
from soft_prompts.models.batching import PADDED
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.task import UNSCORED, Example

LEAST = 4  # samples that begin alike: of fewer, whole batches of the plain road are the quicker


@torch.no_grad()
def nats_of(
    frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example], batch_size: int, score_first: bool = False
) -> NDArray[np.float64]:
    """Nats [N] of each sample's scored tokens: those of `item_losses`; processes share the work.

    Samples of few alike, and all of a model whose cache several texts cannot share, take the plain road. What is asked
    twice is computed once.
    """
    asked = [(tuple(e.input_ids), tuple(e.labels), e.conditions, e.insert_at) for e in examples]
    different = {key: place for place, key in enumerate(dict.fromkeys(asked))}
    nats = _nats_of(frozen, prompt, [Example(*key) for key in different], batch_size, score_first)
    return nats[[different[key] for key in asked]]


def _nats_of(
    frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example], batch_size: int, score_first: bool
) -> NDArray[np.float64]:
    part, nats = part_of(frozen), np.zeros(len(examples))
    alike = _alike(frozen, examples)
    for places in alike[part.first :: part.every]:
        nats[places] = _nats_behind(frozen, prompt, [examples[place] for place in places], batch_size)
    if alike:
        nats = summed(torch.from_numpy(nats).to(frozen.device), part).cpu().numpy()
    plain = sorted(set(range(len(examples))) - {place for places in alike for place in places})
    if plain:
        nats[plain] = item_losses(frozen, prompt, [examples[place] for place in plain], batch_size, score_first).nats
    return nats


def _alike(frozen: FrozenModel, examples: Sequence[Example]) -> list[list[int]]:
    """Places of samples that are alike up to their first scored token, prompt included, the shortest first: as many as
    make it worth it."""
    if not frozen.caches or frozen.batching != PADDED:
        return []
    groups: dict[object, list[int]] = {}
    for place, example in enumerate(examples):
        first = _first_scored(example)
        if 0 < first >= example.insert_at:
            key = (tuple(example.input_ids[:first]), example.conditions, example.insert_at)
            groups.setdefault(key, []).append(place)
    by_length = (sorted(places, key=lambda place: len(examples[place].labels)) for places in groups.values())
    return [places for places in by_length if len(places) >= LEAST]


def _first_scored(example: Example) -> int:
    return next((place for place, label in enumerate(example.labels) if label != UNSCORED), 0)


def _nats_behind(frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example], batch_size: int) -> np.ndarray:
    """Nats [N] of the scored tokens of samples that are alike up to their first scored token."""
    first = _first_scored(examples[0])
    beginning = Example(examples[0].input_ids[:first], [UNSCORED] * first, *examples[0][2:4])
    batch = collate([beginning], frozen.pad_id).to(frozen.device)
    embeds = insert_prompt(
        frozen.embed(batch.input_ids), prompt(batch.conditions), batch.labels, batch.mask, batch.insert_at
    ).embeds  # [1 P+first H]
    cache = _cache(frozen, embeds[:, :-1])

    def nats_of_some(places: Sequence[int]) -> Float[Tensor, " N"]:
        some = [examples[place] for place in places]
        return _nats_of_answers(frozen, embeds[:, -1:], copy.deepcopy(cache), some, first)

    return torch.cat(list(in_batches(range(len(examples)), batch_size, nats_of_some, not frozen.in_step))).cpu().numpy()


def _cache(frozen: FrozenModel, embeds: Float[Tensor, "1 S H"]) -> DynamicCache:
    """Keys and values of what every answer stands behind."""
    if embeds.shape[1] == 0:
        return DynamicCache(config=frozen.model.config)
    return frozen.remember(embeds)


def _nats_of_answers(
    frozen: FrozenModel, last: Float[Tensor, "1 1 H"], cache: DynamicCache, examples: Sequence[Example], first: int
) -> Float[Tensor, " N"]:
    """The position before the answers and the answers but their last token go in; every position predicts the next."""
    rest = [Example(e.input_ids[first:], e.labels[first:]) for e in examples]
    batch = collate(rest, frozen.pad_id, score_first=True).to(frozen.device)
    embeds = torch.cat([last.expand(len(rest), -1, -1), frozen.embed(batch.input_ids[:, :-1])], dim=1)
    if cache.get_seq_length():
        cache.batch_repeat_interleave(len(rest))
    scored = batch.labels != UNSCORED  # [N A]
    if frozen.head is None:
        logits, _ = frozen.go_on(embeds, cache)
        losses = logits_loss(logits[scored], batch.labels[scored]).nats
    else:
        hidden, _ = frozen.go_on(embeds, cache, body=True)
        losses = head_loss(hidden[scored], frozen.head, batch.labels[scored]).nats
    sums = torch.zeros(len(rest), dtype=torch.float64, device=frozen.device)
    return sums.index_add_(0, scored.nonzero()[:, 0], losses.double())
