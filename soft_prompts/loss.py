"""How many nats does the model pay for each scored token?

Only scored positions reach the vocabulary matrix, in chunks: the logits of a whole batch never exist at once. The
gradient of the hidden states, (softmax - one-hot) W, is computed in the forward pass while a chunk's logits are at
hand (design: performance).
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

CHUNK = 512  # rows of logits at once: 100 MB in float32 at a vocabulary of 50,000


class _HeadLoss(torch.autograd.Function):
    """Negative log-likelihood of each target through a linear head whose weights are frozen."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        nats = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(targets), CHUNK):
            rows = slice(start, start + CHUNK)
            logits = torch.nn.functional.linear(hidden[rows], weight, bias).float()
            here = torch.arange(len(logits), device=logits.device)
            log_total = logits.logsumexp(dim=-1)
            nats[rows] = log_total - logits[here, targets[rows]]
            if gradient is not None:
                probability = logits.sub_(log_total[:, None]).exp_()
                probability[here, targets[rows]] -= 1
                gradient[rows] = probability.to(weight.dtype) @ weight
        ctx.gradient = gradient
        return nats

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return (ctx.gradient * grads[0][:, None]).to(ctx.gradient.dtype), None, None, None


def head_loss(hidden: Float[Tensor, "N H"], head: torch.nn.Linear, targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Nats of each target under the softmax of `head`, in float32; gradient to `hidden` alone."""
    loss: Tensor = _HeadLoss.apply(hidden, head.weight, head.bias, targets)  # pyright: ignore[reportAssignmentType]
    return loss


def logits_loss(logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """The same from logits that already exist, for models whose head is more than one matrix."""
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
