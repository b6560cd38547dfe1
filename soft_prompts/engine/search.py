"""Which tokens of the vocabulary would a prompt best begin with? Coordinate search: one position at a time, keep a
candidate if it is better.

A candidate is scored by the mean log-rank of the target tokens, log(1 + number of tokens above it). Cross-entropy pays
for being less sure of a wrong answer, and there is no way on from there; a rank moves only when the right token comes
nearer to the top. Candidates are all tokens of a small vocabulary, else those that the gradient of the loss promises
most of, and some at random. After Zou et al., arXiv 2307.15043 (GCG), which scores by cross-entropy and tries all
positions at once.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soft_prompts.engine.batch import Batch
from soft_prompts.engine.forward import apart, token_losses
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.engine.loss import CHUNK
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import Prompt
from soft_prompts.tasks.task import UNSCORED


class Search(NamedTuple):
    """How long and how widely; the defaults open most strict locks and take seconds on a model of a million weights."""

    seed: int = 0
    """Of the first tokens, the order of the positions and the random candidates."""
    items: int = 8
    """Samples a step: fresh ones for each position."""
    whole_vocabulary: int = 512
    """Try every token of a vocabulary of at most this size."""
    by_gradient: int = 32
    """Of a larger one, the tokens that the gradient promises most of,"""
    at_random: int = 8
    """and so many others."""
    rounds: int = 3
    """Passes over all positions, at most."""
    most_steps: int = 64
    """Positions visited in all, at most; each is visited once at least."""
    rows_at_once: int = 64
    """Samples in one pass through the model."""

    def steps(self, tokens: int) -> int:
        """Positions visited in all, unless a pass changes nothing before."""
        return min(self.rounds * tokens, max(self.most_steps, tokens))


def search(
    frozen: FrozenModel, prompt: Prompt, batches: Iterator[Batch], ids: Sequence[int], settings: Search
) -> list[int]:
    """Set the prompt's rows to the token embeddings found, beginning with those of `ids`; returns the tokens' ids.

    `batches` lie on the model's device, one for each step. What conditions add to the rows stays as it is. Ends early
    after a pass that changed nothing.
    """
    vocabulary = frozen.vocabulary.float()
    rows, generator = prompt.rows, np.random.default_rng((settings.seed, 1))
    found = list(ids)
    put_tokens(rows, vocabulary, found)
    left = settings.steps(len(found))
    for _ in range(settings.rounds):
        before = list(found)
        for place in generator.permutation(len(found))[:left].tolist():
            batch = next(batches)
            tried = _candidates(frozen, prompt, batch, (place, found[place]), vocabulary, generator, settings)
            scores = candidate_scores(frozen, prompt, batch, place, vocabulary[tried], settings.rows_at_once)
            found[place] = tried[int(scores.argmin())]  # the first of equals: what is there already
            put_tokens(rows, vocabulary, found)
            left -= 1
        if left == 0 or found == before:
            break
    return found


def first_tokens(vocabulary: int, tokens: int, seed: int) -> list[int]:
    """Ids that a search begins with."""
    return np.random.default_rng((seed, 0)).integers(0, vocabulary, tokens).tolist()


def put_tokens(rows: Tensor, vocabulary: Tensor, ids: Sequence[int]) -> None:
    """Make token embeddings of a prompt's rows [P, H]."""
    with torch.no_grad():
        rows.copy_(vocabulary[torch.as_tensor(ids, device=vocabulary.device, dtype=torch.long)])


def _candidates(
    frozen: FrozenModel,
    prompt: Prompt,
    batch: Batch,
    here: tuple[int, int],
    vocabulary: Float[Tensor, "V H"],
    generator: np.random.Generator,
    settings: Search,
) -> list[int]:
    """Ids to try at a place, the one that stands there first."""
    place, current = here
    if len(vocabulary) <= settings.whole_vocabulary:
        return [current, *(token for token in range(len(vocabulary)) if token != current)]
    slope = row_gradient(frozen, prompt, batch)[place]
    promised = (vocabulary @ slope).argsort(stable=True)[: settings.by_gradient].tolist()
    drawn = generator.integers(0, len(vocabulary), settings.at_random).tolist()
    return list(dict.fromkeys([current, *promised, *drawn]))


def row_gradient(frozen: FrozenModel, prompt: Prompt, batch: Batch) -> Float[Tensor, "P H"]:
    """Slope of the batch's summed nats along each coordinate of the prompt's rows."""
    rows = prompt.rows
    with torch.enable_grad():
        nats = token_losses(frozen, prompt, batch).nats.sum()
        holder = next(parameter for parameter in prompt.parameters() if parameter.data_ptr() == rows.data_ptr())
        (slope,) = torch.autograd.grad(nats, [holder])
    return slope.view_as(rows)


@torch.no_grad()
def candidate_scores(
    frozen: FrozenModel,
    prompt: Prompt,
    batch: Batch,
    place: int,
    candidates: Float[Tensor, "C H"],
    rows_at_once: int,
) -> Float[Tensor, " C"]:
    """Mean log-rank of the batch's labels with each candidate as the row of one place."""
    emitted: Float[Tensor, "B P H"] = prompt(batch.conditions)
    conditional = emitted[:, place] - prompt.rows[place]  # [B H]
    size, scores = len(batch.input_ids), []
    for some in candidates.split(max(1, rows_at_once // size)):
        many = emitted.repeat(len(some), 1, 1)  # [c*B P H], candidate by candidate
        many[:, place] = (some[:, None] + conditional[None]).flatten(0, 1)
        ranks, row = log_ranks(frozen, many, _repeated(batch, len(some)))
        sums = torch.zeros(len(some), dtype=torch.float64, device=ranks.device)
        scores.append(sums.index_add_(0, row // size, ranks.double()) * len(some) / len(ranks))
    return torch.cat(scores)


def _repeated(batch: Batch, times: int) -> Batch:
    tensors = {name: getattr(batch, name) for name in ("input_ids", "labels", "mask", "conditions", "insert_at")}
    return Batch(**{name: tensor.repeat(times, *[1] * (tensor.ndim - 1)) for name, tensor in tensors.items()})


@torch.no_grad()
def log_ranks(
    frozen: FrozenModel, prompt: Float[Tensor, "B P H"], batch: Batch
) -> tuple[Float[Tensor, " N"], Int[Tensor, " N"]]:
    """log(1 + number of tokens above it) of every scored label, rows in order, and the row of each.

    A logit that is no number lies above everything: a prompt that breaks the model is the worst.
    """
    ranks, places = [], []
    for rows, some in apart(frozen, batch, prompt.shape[1]):
        inserted = insert_prompt(frozen.embed(some.input_ids), prompt[rows], some.labels, some.mask, some.insert_at)
        scored = inserted.labels[:, 1:] != UNSCORED
        ranks.append(_ranks(frozen, inserted.embeds, scored, inserted.labels[:, 1:][scored]))
        whole = torch.arange(len(batch.mask), device=scored.device)[rows]
        places.append(whole[scored.nonzero()[:, 0]])
    row = torch.cat(places)
    order = row.argsort(stable=True)
    return torch.cat(ranks)[order], row[order]


def _ranks(
    frozen: FrozenModel, embeds: Float[Tensor, "B S H"], scored: Bool[Tensor, "B Q"], targets: Int[Tensor, " N"]
) -> Float[Tensor, " N"]:
    if frozen.head is None:
        return _log_rank(frozen.logits(embeds)[:, :-1][scored], targets)
    hidden = frozen.hidden(embeds)[:, :-1][scored]
    parts = [
        _log_rank(frozen.head(some), asked)
        for some, asked in zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True)
    ]
    return torch.cat(parts)


def _log_rank(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    own = logits.gather(1, targets[:, None])
    above = logits.shape[1] - (logits <= own).sum(dim=1)
    return above.double().log1p().float()
