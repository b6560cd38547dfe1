"""Where does the prompt go? The only place that puts prompt vectors between text vectors.

The last prompt token stands where the text token before it stood: it predicts what that token would have predicted.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soft_prompts.tasks.task import UNSCORED


class Inserted(NamedTuple):
    """Text with a prompt in it; S = P + T."""

    embeds: Float[Tensor, "B S H"]
    labels: Int[Tensor, "B S"]
    mask: Bool[Tensor, "B S"]


def insert_prompt(
    text: Float[Tensor, "B T H"],
    prompt: Float[Tensor, "B P H"],
    labels: Int[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    insert_at: Int[Tensor, " B"],
) -> Inserted:
    """Put each row's prompt before its text position `insert_at` (0 to T); labels and mask move with the text.

    Prompt positions are attended to and never scored. Pure: no argument is changed.
    """
    batch, text_length, _ = text.shape
    prompt_length = prompt.shape[1]
    if prompt_length == 0:
        return Inserted(text, labels, mask)
    everything = torch.cat([prompt.to(text.dtype), text], dim=1)
    unscored = labels.new_full((batch, prompt_length), UNSCORED)
    attended = mask.new_ones((batch, prompt_length))
    inserted = Inserted(everything, torch.cat([unscored, labels], dim=1), torch.cat([attended, mask], dim=1))
    if not insert_at.any():
        return inserted  # in front: the concatenation is the answer, and a gather would copy it once more
    place = torch.arange(prompt_length + text_length, device=text.device)
    start = insert_at[:, None]
    source = torch.where(place < start, place + prompt_length, place - start)  # text before the prompt, the prompt
    source = torch.where(place >= start + prompt_length, place, source)  # [B S], text after it
    return Inserted(
        inserted.embeds.gather(1, source[..., None].expand(-1, -1, text.shape[2])),
        inserted.labels.gather(1, source),
        inserted.mask.gather(1, source),
    )
