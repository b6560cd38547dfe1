"""What is the gradient of a step, for each of the prompts that take it together, however the step is split?

A step is `batch_size` samples of each prompt, over however many processes and micro-batches: losses are summed, and
divided once by the number of scored tokens of the prompt's whole step (or the sum of their weights, where a task weighs
them). Prompts share the model's passes and nothing else.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from accelerate import PartialState
from torch import Tensor, nn

from soft_prompts.engine.batch import Batch, collate
from soft_prompts.engine.forward import TokenLosses, token_losses, token_losses_together
from soft_prompts.engine.memory import is_out_of_memory
from soft_prompts.engine.processes import Part, batches_short, part_of, summed
from soft_prompts.engine.rows.recorded import give_up
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.task import Example


class BatchLoss(NamedTuple):
    """Loss of one batch, with its gradient to the prompt's parameters."""

    nats: Tensor
    """Sum over scored tokens, each times its weight."""
    tokens: int
    weight: float
    """Sum of the weights; without any, the number of tokens."""
    first_nats: Tensor
    """Sum over the scored tokens of samples that are met for the first time, unweighted and without a gradient."""
    first_tokens: int

    @property
    def per_token(self) -> Tensor:
        """Nats per scored token, a weighted mean where there are weights."""
        return self.nats / self.weight


class Share(NamedTuple):
    """What one prompt brings to a step."""

    prompt: nn.Module
    examples: Sequence[Example]
    score_first: bool
    fresh: Sequence[bool] | None = None
    """Which samples are met for the first time; None: all."""

    def part(self, which: slice) -> "Share":
        """Some of the samples."""
        return self._replace(examples=self.examples[which], fresh=None if self.fresh is None else self.fresh[which])


@dataclass
class Room:
    """What memory holds at once: so many prompts, and so many samples of each. Processes may differ in it."""

    prompts: int
    samples: int

    def shrink(self, shares: Sequence[Share]) -> bool:
        """Half the samples, down to one; then half the prompts. False where one sample of one prompt is too much."""
        if self.samples > 1:
            self.samples = math.ceil(min(self.samples, max(len(share.examples) for share in shares)) / 2)
            return True
        self.prompts, before = math.ceil(min(self.prompts, len(shares)) / 2), min(self.prompts, len(shares))
        return self.prompts < before


def batch_loss(frozen: FrozenModel, prompt: nn.Module, batch: Batch) -> BatchLoss:
    """Loss of a batch."""
    return _summed(token_losses(frozen, prompt, batch), batch.fresh)


def batch_losses(frozen: FrozenModel, parts: Sequence[tuple[nn.Module, Batch]]) -> list[BatchLoss]:
    """Losses of several prompts, each on a batch of its own, from one pass."""
    every = token_losses_together(frozen, parts)
    return [_summed(losses, batch.fresh) for losses, (_, batch) in zip(every, parts, strict=True)]


def _summed(losses: TokenLosses, fresh: Tensor | None) -> BatchLoss:
    nats, weights = losses.nats, losses.weights
    total = nats.sum() if weights is None else (nats * weights).sum()
    weight = len(nats) if weights is None else float(weights.double().sum())
    if fresh is None:
        return BatchLoss(total, len(nats), weight, (total if weights is None else nats.sum()).detach(), len(nats))
    if not fresh.any():
        return BatchLoss(total, len(nats), weight, torch.zeros_like(total), 0)
    kept = fresh.to(nats.device)[losses.row]
    return BatchLoss(total, len(nats), weight, nats.detach()[kept].sum(), int(kept.sum()))


def gradients(
    frozen: FrozenModel, shares: Sequence[Share], room: Room, stop_asked: Callable[[], bool]
) -> list[BatchLoss] | None:
    """Leave in each prompt the gradient of its step's nats per scored token, on every process; None if somebody asked
    to stop. Where memory is out, `room` shrinks for good."""
    part = part_of(frozen)
    mine = [share.part(slice(part.first, None, part.every)) for share in shares]
    while True:
        try:
            sums = _backward(frozen, mine, room, _never if frozen.in_step else stop_asked)
            break
        except RuntimeError as error:
            if not is_out_of_memory(error) or frozen.in_step or not (give_up() or room.shrink(mine)):
                raise
            for share in shares:  # and the same samples again
                share.prompt.zero_grad(set_to_none=True)
    _catch_up(frozen, shares, room)
    sums, stopped = _of_all(frozen, sums, stop_asked())
    if stopped:
        return None
    for share, one in zip(shares, sums, strict=True):
        _finish(share.prompt, one.weight, part)
    return [
        BatchLoss(
            torch.tensor(one.nats),
            int(one.tokens),
            one.weight,
            torch.tensor(one.first_nats, dtype=torch.float64),
            int(one.first_tokens),
        )
        for one in sums
    ]


class Sums(NamedTuple):
    """As in `BatchLoss`, over micro-batches and processes."""

    nats: float = 0.0
    tokens: float = 0.0
    weight: float = 0.0
    first_nats: float = 0.0
    first_tokens: float = 0.0


def _never() -> bool:
    """Asked within a step that all processes have to finish."""
    return False


def _catch_up(frozen: FrozenModel, shares: Sequence[Share], room: Room) -> None:
    """Passes that count for nothing, as many as the process with most samples makes more: it waits in its layers."""
    for share in shares:
        for _ in range(batches_short(frozen, len(share.examples), room.samples)):
            [loss] = batch_losses(frozen, [_part(frozen, share, 0, 1)])
            (loss.nats * 0).backward()


def _of_all(frozen: FrozenModel, sums: list[Sums], stopped: bool) -> tuple[list[Sums], bool]:
    """Over all processes; whether any of them was asked to stop."""
    if PartialState().num_processes == 1:
        return sums, stopped
    part, totals = part_of(frozen), torch.tensor([[*one, stopped] for one in sums], dtype=torch.float64)
    if not part.counts:
        totals[:, :-1] = 0
    found = summed(totals.to(frozen.device), part._replace(counts=True)).tolist()
    return [Sums(*one[:-1]) for one in found], found[0][-1] > 0


def _finish(prompt: nn.Module, weight: float, part: Part) -> None:
    """From this process's gradient of a sum to that of the mean over all of them."""
    for parameter in prompt.parameters():
        if parameter.grad is None:  # a process without samples still takes part in the sum
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad = summed(parameter.grad, part).div_(weight)


def _backward(frozen: FrozenModel, shares: Sequence[Share], room: Room, stop_asked: Callable[[], bool]) -> list[Sums]:
    """Add the gradient of the summed nats to each prompt's parameters, micro-batch by micro-batch; returns each one's
    sums."""
    sums = [Sums()] * len(shares)
    for first in range(0, len(shares), room.prompts):
        places = range(first, min(first + room.prompts, len(shares)))
        for start in range(0, max(len(shares[place].examples) for place in places), room.samples):
            here = [place for place in places if len(shares[place].examples) > start]
            losses = batch_losses(frozen, [_part(frozen, shares[place], start, room.samples) for place in here])
            torch.autograd.backward([loss.nats for loss in losses])
            both = [part for loss in losses for part in (loss.nats.detach(), loss.first_nats)]
            read = torch.stack(both).double().tolist()  # the device waits once
            for place, nats, first_nats, loss in zip(here, read[::2], read[1::2], losses, strict=True):
                more = (nats, loss.tokens, loss.weight, first_nats, loss.first_tokens)
                sums[place] = Sums(*map(sum, zip(sums[place], more, strict=True)))
            if stop_asked():
                return sums
    return sums


def _part(frozen: FrozenModel, share: Share, start: int, size: int) -> tuple[nn.Module, Batch]:
    """A micro-batch, beside the prompt that it is for."""
    some = share.part(slice(start, start + size))
    batch = collate(some.examples, frozen.pad_id, share.score_first)
    fresh = None if some.fresh is None or all(some.fresh) else torch.tensor(some.fresh)
    return share.prompt, batch if fresh is None else replace(batch, fresh=fresh)
