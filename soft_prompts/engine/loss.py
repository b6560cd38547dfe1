"""How many nats does the model pay for each scored token?

Only scored positions reach the vocabulary matrix, in chunks: the logits of a whole batch never exist at once. The
gradient of the hidden states, (softmax - one-hot) W, is computed in the forward pass while a chunk's logits are at
hand.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CHUNK = 512  # rows of logits at once: 100 MB in float32 at a vocabulary of 50,000


class _HeadLoss(torch.autograd.Function):
    """Negative log-likelihood of each target through a linear head whose weights are frozen, and whether the target is
    the likeliest token; the second only where no gradient is wanted, for training does not ask."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        wanted = ctx.needs_input_grad[0]
        nats = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        hits = None if wanted else torch.empty_like(targets, dtype=torch.bool)
        gradient = torch.empty_like(hidden) if wanted else None
        buffer = weight.new_empty(min(CHUNK, len(targets)), len(weight))
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            asked = targets[rows, None]
            logits = _logits(hidden[rows], weight, bias, buffer[: len(asked)])
            own = logits.gather(1, asked)
            largest, likeliest = logits.max(dim=1, keepdim=True)
            probability = torch.softmax(logits, dim=1, out=logits)
            # -log p, from the largest one: that of a target may be too small for a float
            nats[rows] = (largest - own - probability.gather(1, likeliest).log())[:, 0]
            if hits is not None:
                hits[rows] = (likeliest == asked)[:, 0]
            if gradient is not None:
                probability[torch.arange(len(asked), device=asked.device), asked[:, 0]] -= 1
                torch.mm(probability.to(weight.dtype), weight, out=gradient[rows])
        ctx.gradient = gradient
        return nats, hits

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None]:  # of nats; hits have none
        return (ctx.gradient * grads[0][:, None]).to(ctx.gradient.dtype), None, None, None


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, buffer: Tensor) -> Float[Tensor, "N V"]:
    """In float32; in the buffer itself, if that is."""
    if bias is None:
        torch.mm(hidden, weight.t(), out=buffer)
    else:
        torch.addmm(bias, hidden, weight.t(), out=buffer)
    return buffer.float()


class Scores(NamedTuple):
    """What the model says of each target."""

    nats: Float[Tensor, " N"]
    hits: Bool[Tensor, " N"] | None
    """Is the target the likeliest token? None where a gradient is wanted."""


def head_loss(hidden: Float[Tensor, "N H"], head: torch.nn.Linear, targets: Int[Tensor, " N"]) -> Scores:
    """Nats of each target under the softmax of `head`, in float32; gradient to `hidden` alone."""
    return Scores(*_HeadLoss.apply(hidden, head.weight, head.bias, targets))  # pyright: ignore[reportGeneralTypeIssues]


def logits_loss(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Scores:
    """The same from logits that already exist, for models whose head is more than one matrix."""
    nats = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    return Scores(nats, None if logits.requires_grad else logits.argmax(dim=-1) == targets)
