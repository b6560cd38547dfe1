"""What does the frozen model say about text with a prompt in it?

The plain road: embed, insert, run the body, and let scored positions alone reach the vocabulary matrix.
"""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from soft_prompts.engine.batch import Batch
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.engine.loss import head_loss, logits_loss
from soft_prompts.models.frozen import FrozenModel
from soft_prompts.tasks.task import UNSCORED


class TokenLosses(NamedTuple):
    """One entry a scored token, rows in order."""

    nats: Float[Tensor, " N"]
    row: Int[Tensor, " N"]
    """The sample that the token belongs to."""
    hits: Bool[Tensor, " N"] | None
    """Is the token the model's first choice? None where a gradient is wanted."""


def token_losses(frozen: FrozenModel, prompt: nn.Module, batch: Batch) -> TokenLosses:
    """Loss of every scored label of a batch that lies on the model's device; gradient to the prompt's parameters
    alone."""
    inserted = insert_prompt(
        frozen.embed(batch.input_ids), prompt(batch.conditions), batch.labels, batch.mask, batch.insert_at
    )
    # Padding lies on the right, where a causal model cannot look from a scored position: no attention mask is needed,
    # and without one attention takes its fast causal path. The checks show that padding changes nothing.
    scored = inserted.labels[:, 1:] != UNSCORED  # [B S-1]: position q predicts label q + 1
    targets = inserted.labels[:, 1:][scored]
    row = scored.nonzero()[:, 0]
    if frozen.head is None:
        logits = frozen.model(inputs_embeds=inserted.embeds, use_cache=False).logits
        scores = logits_loss(logits[:, :-1][scored], targets)
        return TokenLosses(scores.nats, row, scores.hits)
    hidden = frozen.model.base_model(inputs_embeds=inserted.embeds, use_cache=False).last_hidden_state
    scores = head_loss(hidden[:, :-1][scored], frozen.head, targets)
    return TokenLosses(scores.nats, row, scores.hits)
