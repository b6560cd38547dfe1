"""What does the frozen model say about text with a prompt in it?

The plain road: embed, insert, run the body, and let scored positions alone reach the vocabulary matrix.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from soft_prompts.engine.batch import Batch
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.engine.loss import head_loss, logits_loss
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.task import UNSCORED


class TokenLosses(NamedTuple):
    """One entry a scored token, rows in order."""

    nats: Float[Tensor, " N"]
    row: Int[Tensor, " N"]
    """The sample that the token belongs to."""
    hits: Bool[Tensor, " N"] | None
    """Is the token the model's first choice? None where a gradient is wanted."""
    weights: Float[Tensor, " N"] | None = None
    """How much each token counts; None: all alike."""


def token_losses(frozen: FrozenModel, prompt: nn.Module, batch: Batch) -> TokenLosses:
    """Loss of every scored label of a batch that lies on the model's device; gradient to the prompt's parameters
    alone."""
    vectors = prompt(batch.conditions)
    parts = [_losses(frozen, vectors[rows], some, rows) for rows, some in apart(frozen, batch, vectors.shape[1])]
    if len(parts) == 1:
        return parts[0]
    row = torch.cat([part.row for part in parts])
    order = row.argsort(stable=True)
    hits = [part.hits for part in parts if part.hits is not None]
    weights = [part.weights for part in parts if part.weights is not None]
    return TokenLosses(
        torch.cat([part.nats for part in parts])[order],
        row[order],
        torch.cat(hits)[order] if hits else None,
        torch.cat(weights)[order] if weights else None,
    )


def token_losses_together(frozen: FrozenModel, parts: Sequence[tuple[nn.Module, Batch]]) -> list[TokenLosses]:
    """Losses of several prompts, each on a batch of its own: the numbers of `token_losses`, up to rounding."""
    return [token_losses(frozen, prompt, batch) for prompt, batch in parts]


def apart(frozen: FrozenModel, batch: Batch, prompt_tokens: int) -> Iterator[tuple[list[int] | slice, Batch]]:
    """The batch in the parts that may go through this model together: nearly always one part, the batch itself."""
    if frozen.batching.kind == "padded":
        yield slice(None), batch
        return
    lengths = (batch.mask.sum(dim=1) + prompt_tokens).tolist()
    for rows in frozen.batching.groups(lengths):
        yield rows, batch.rows(rows)


def _losses(frozen: FrozenModel, vectors: Float[Tensor, "B P H"], batch: Batch, rows: list[int] | slice) -> TokenLosses:
    """Of one part, which stands in `rows` of the whole."""
    inserted = insert_prompt(frozen.embed(batch.input_ids), vectors, batch.labels, batch.mask, batch.insert_at)
    # Padding lies on the right, where a causal model cannot look from a scored position: no attention mask is needed,
    # and without one attention takes its fast causal path. The probes show that padding changes nothing.
    scored = inserted.labels[:, 1:] != UNSCORED  # [B S-1]: position q predicts label q + 1
    targets = inserted.labels[:, 1:][scored]
    row = scored.nonzero()[:, 0]
    if not isinstance(rows, slice):
        row = torch.tensor(rows, device=row.device)[row]
    if frozen.head is None:
        scores = logits_loss(frozen.logits(inserted.embeds)[:, :-1][scored], targets)
    else:
        scores = head_loss(frozen.hidden(inserted.embeds)[:, :-1][scored], frozen.head, targets)
    return TokenLosses(scores.nats, row, scores.hits, _weights(batch, vectors.shape[1]))


def _weights(batch: Batch, prompt_tokens: int) -> Float[Tensor, " N"] | None:
    """Of the labels that have a position before them: a text's first token only where the prompt is in front."""
    if batch.weights is None:
        return None
    scored = batch.labels != UNSCORED
    scored[:, 0] &= (batch.insert_at == 0) & (prompt_tokens > 0)
    return batch.weights[scored]
