"""What does the model hold likely at every scored position? Whole distributions, where a loss would know one token."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from soft_prompts.engine.batch import Batch
from soft_prompts.engine.forward import apart
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.task import UNSCORED

LOGITS = 2**26  # of a model at once: a quarter of a GB in float32, of which a comparison needs several


def positions_at_once(frozen: FrozenModel, most: int) -> int:
    """Positions whose whole distributions are held at once: `most`, or fewer of a large vocabulary."""
    return max(1, min(most, LOGITS // len(frozen.tokenizer)))


def log_probabilities(
    frozen: FrozenModel, rows: Float[Tensor, "P H"], batch: Batch
) -> tuple[Float[Tensor, "N V"], Int[Tensor, " N"]]:
    """log p [N V] over the tokenizer's tokens at each scored label, float32, samples in order, and the sample of each.

    `rows` stand before each sample's `insert_at`, the same for all. A gradient flows to `rows` where one is wanted.
    """
    batch, found, places = batch.to(frozen.device), [], []
    known = len(frozen.tokenizer)  # rows of the matrix beyond it are padding, and no token
    for which, some in apart(frozen, batch, len(rows)):
        front = rows.to(frozen.device).expand(len(some.input_ids), -1, -1)
        inserted = insert_prompt(frozen.embed(some.input_ids), front, some.labels, some.mask, some.insert_at)
        scored = inserted.labels[:, 1:] != UNSCORED  # [B S-1]: position q predicts label q + 1
        if frozen.head is None:
            logits = frozen.logits(inserted.embeds)[:, :-1][scored]
        else:
            logits = frozen.head(frozen.hidden(inserted.embeds)[:, :-1][scored])
        found.append(logits[:, :known].float().log_softmax(dim=-1))
        places.append(torch.arange(len(batch.mask), device=frozen.device)[which][scored.nonzero()[:, 0]])
    place = torch.cat(places)
    order = place.argsort(stable=True)
    return torch.cat(found)[order], place[order]
