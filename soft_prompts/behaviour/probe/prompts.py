"""What does the probe put in front? Tokens, each model's own embeddings of them, and perhaps a small step away."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soft_prompts.models.model import FrozenModel

RADIUS = 0.3  # of the mean length of a token embedding: the ball around each token


class ProbePrompt(NamedTuple):
    """Tokens behind a context; a step from their embeddings, the same for every model, where it was refined."""

    ids: tuple[int, ...]
    step: Tensor | None = None
    """[P H]."""

    def rows(self, frozen: FrozenModel) -> Float[Tensor, "P H"]:
        """What the model reads."""
        rows = frozen.embed(torch.tensor([self.ids], device=frozen.device))[0].detach()
        return rows if self.step is None else rows + self.step.to(rows)

    def text(self, frozen: FrozenModel) -> str:
        """The tokens as text."""
        return str(frozen.tokenizer.decode(list(self.ids)))


class Rows(nn.Module):
    """The same vectors [P, H] whatever the conditions."""

    def __init__(self, rows: Float[Tensor, "P H"]) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        """[B P H]."""
        return self.rows.expand(len(conditions), -1, -1)


def mean_length(frozen: FrozenModel) -> float:
    """Of a token embedding."""
    return float(frozen.vocabulary.float().norm(dim=-1).mean())
