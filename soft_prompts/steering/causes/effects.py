"""Which differences matter? By gradient, before; by patching, after: only what was patched may be called a cause.

LD is the logit difference between the donor's answer and the receiver's at the last token. The share of a patch is
(LD patched - LD receiver) / (LD donor - LD receiver), a ratio of means over items. Attribution patching (arXiv
2310.10348) is gradient x difference in the receiver; integrated, the gradients of five inputs between the receiver's
embeddings and the donor's are averaged (arXiv 1703.01365).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from soft_prompts.engine.activations.hooks import capture, patch
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.engine.activations.places import Places
from soft_prompts.steering.causes.pairs import Pairs
from soft_prompts.steering.scoring import refuse_long

STEPS = 5  # of the integral
BATCH = 32


class Spot(NamedTuple):
    """A component at a position, counted from the last token: 0, -1, ..."""

    component: str
    position: int


class Ends(NamedTuple):
    """Mean logit differences, nats: what a share is of."""

    donor: float
    receiver: float


class Activity(NamedTuple):
    """Values of every component, [N K W] with the last token at the end, float32 on the CPU."""

    values: dict[str, Tensor]
    leads: NDArray[np.float64]
    """[N] the logit difference."""


def activity(inside: Inside, texts: Sequence[list[int]], pairs: Pairs, names: Sequence[str]) -> Activity:
    """Of plain texts; the answers are those of the pairs. Raises UsageError for texts beyond the model's positions."""
    refuse_long(inside.frozen, max(map(len, texts)), what="a prompt")
    held: dict[str, list[Tensor]] = {name: [] for name in names}
    leads = []
    with torch.no_grad():
        for some in _batches(len(texts)):
            ids, last = _padded(inside, [texts[place] for place in some])
            at = last[:, None] + torch.arange(1 - pairs.length, 1, device=ids.device)
            with capture(inside, names, at) as found:
                leads.append(_leads(inside, inside.frozen.embed(ids), last, pairs, some))
            for name in names:
                held[name].append(found[name].float().cpu())
    return Activity({name: torch.cat(rows) for name, rows in held.items()}, torch.cat(leads).double().cpu().numpy())


def gradients(
    inside: Inside, pairs: Pairs, apart: Mapping[str, Tensor], donors: Sequence[list[int]], steps: int = 1
) -> dict[Spot, float]:
    """What the gradient says that each patch would do to the mean LD, in nats: gradient x difference, summed.

    With several steps the mean gradient over inputs from the receiver's embeddings to the donor's.
    """
    names, total = list(apart), dict[Spot, float]()
    for some in _batches(len(pairs.receivers)):
        ids, last = _padded(inside, [pairs.receivers[place] for place in some])
        other, _ = _padded(inside, [donors[place] for place in some])
        start, end = inside.frozen.embed(ids).detach(), inside.frozen.embed(other).detach()
        at = last[:, None] + torch.arange(1 - pairs.length, 1, device=ids.device)
        for step in range(steps):
            embeds = (start + (step + 0.5) / steps * (end - start) if steps > 1 else start).clone().requires_grad_(True)
            for name, slope in _slopes(inside, embeds, last, pairs, (names, some, at)).items():
                told = (slope.cpu() * apart[name][some]).sum(dim=2).sum(dim=0) / (steps * len(pairs.items))
                for back, value in enumerate(told.tolist()):
                    spot = Spot(name, back + 1 - pairs.length)
                    total[spot] = total.get(spot, 0.0) + value
    return total


def _slopes(
    inside: Inside, embeds: Tensor, last: Tensor, pairs: Pairs, asked: tuple[list[str], list[int], Tensor]
) -> dict[str, Tensor]:
    """[B K W] gradient of the summed LD to each component."""
    names, some, at = asked
    with capture(inside, names) as held:
        lead = _leads(inside, embeds, last, pairs, some).sum()
    found = torch.autograd.grad(lead, [held[name] for name in names])
    return {
        name: slope.gather(1, at[..., None].expand(-1, -1, slope.shape[2])).float()
        for name, slope in zip(names, found, strict=True)
    }


@torch.no_grad()
def patched_leads(inside: Inside, pairs: Pairs, values: Mapping[str, Tensor], spots: Sequence[Spot]) -> float:
    """Mean LD of the receivers with the donors' values at all the given spots together."""
    leads = []
    for some in _batches(len(pairs.receivers)):
        ids, last = _padded(inside, [pairs.receivers[place] for place in some])
        embeds = inside.frozen.embed(ids)
        leads.append(_with_patches(inside, embeds, last, pairs, (values, spots, some)))
    return float(torch.cat(leads).double().mean())


def _with_patches(
    inside: Inside,
    embeds: Tensor,
    last: Tensor,
    pairs: Pairs,
    asked: tuple[Mapping[str, Tensor], Sequence[Spot], list[int]],
) -> Tensor:
    values, spots, some = asked
    rows, length = embeds.shape[:2]
    there = torch.arange(length, device=embeds.device)
    changes: list[tuple[dict[str, Tensor], Tensor]] = []
    for name in dict.fromkeys(spot.component for spot in spots):
        mask = torch.zeros(rows, length, dtype=torch.bool, device=embeds.device)
        full = torch.zeros(rows, length, values[name].shape[2], device=embeds.device)
        for spot in (one for one in spots if one.component == name):
            here = there == (last + spot.position)[:, None]
            mask |= here
            full[here] = values[name][some, pairs.length - 1 + spot.position].to(full)
        changes.append(({name: full}, mask))
    return _patched(inside, changes, lambda: _leads(inside, embeds, last, pairs, some))


def _patched(inside: Inside, changes: list[tuple[dict[str, Tensor], Tensor]], work: Callable[[], Tensor]) -> Tensor:
    """Every change has places of its own."""
    if not changes:
        return work()
    (values, mask), *others = changes
    with patch(inside, values, Places(mask)):
        return _patched(inside, others, work)


def _leads(inside: Inside, embeds: Tensor, last: Tensor, pairs: Pairs, some: Sequence[int]) -> Float[Tensor, " B"]:
    frozen = inside.frozen
    rows = torch.arange(len(embeds), device=embeds.device)
    hidden = frozen.logits(embeds) if frozen.head is None else frozen.hidden(embeds)
    logits = hidden[rows, last] if frozen.head is None else frozen.head(hidden[rows, last])
    answers, others = (
        torch.tensor([side[place] for place in some], device=embeds.device) for side in (pairs.answers, pairs.others)
    )
    return logits[rows, answers] - logits[rows, others]


def _padded(inside: Inside, texts: Sequence[list[int]]) -> tuple[Int[Tensor, "B S"], Int[Tensor, " B"]]:
    """Ids padded on the right, where causal attention never sees them, and each text's last position."""
    longest = max(map(len, texts))
    ids = [[*text, *[inside.frozen.pad_id] * (longest - len(text))] for text in texts]
    device = inside.frozen.device
    return torch.tensor(ids, device=device), torch.tensor([len(text) - 1 for text in texts], device=device)


def _batches(count: int) -> list[list[int]]:
    return [list(range(start, min(start + BATCH, count))) for start in range(0, count, BATCH)]
