"""How far apart are two models' next-token distributions along the same texts?

Jensen-Shannon divergence, and Kullback-Leibler both ways, in nats a token; exactly 0 for equal distributions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from soft_prompts.common.errors import InputError
from soft_prompts.engine.batch import collate
from soft_prompts.engine.distributions import log_probabilities, positions_at_once
from soft_prompts.engine.memory import in_batches
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.room import refuse_beyond
from soft_prompts.stats.paired import Estimate, ratio
from soft_prompts.tasks.task import UNSCORED, Example

BATCH_TOKENS = 4096
LARGEST = 80.0  # of a difference of log-probabilities: beyond, the exponential is no float32


class Distances(NamedTuple):
    """Of every scored token, texts in order."""

    js: NDArray[np.float64]
    forward: NDArray[np.float64]
    """KL(first || second)."""
    backward: NDArray[np.float64]
    """KL(second || first)."""
    text: NDArray[np.int64]
    """The text that the token belongs to."""
    context: NDArray[np.int64]
    """Id of the token that stands before it."""

    def mean(self, which: str = "js") -> Estimate:
        """Nats a token with a standard error over texts; raises ValueError where nothing was scored."""
        values: NDArray[np.float64] = getattr(self, which)
        sums: NDArray[np.float64] = np.bincount(self.text, weights=values).astype(np.float64)
        counts = np.bincount(self.text)
        there = counts > 0
        found = ratio(sums[there], counts[there], np.flatnonzero(there))
        if found is None:
            raise ValueError("no token was scored; give texts of two tokens or more")
        return found


def jensen_shannon(first: Float[Tensor, "N V"], second: Float[Tensor, "N V"]) -> Float[Tensor, " N"]:
    """Nats between rows of log-probabilities, between 0 and log 2; 0 to the bit for equal rows.

    log p - log m = -log(1 + (q/p - 1) / 2), which is 0 where p = q; Lin, IEEE Transactions on Information Theory 37
    (1991).
    """
    gap = (second - first).clamp(-LARGEST, LARGEST)
    one = -torch.log1p(torch.expm1(gap) / 2) * first.exp()
    other = -torch.log1p(torch.expm1(-gap) / 2) * second.exp()
    return (one + other).sum(dim=-1) / 2


@torch.no_grad()
def distances(
    first: FrozenModel,
    second: FrozenModel,
    examples: Sequence[Example],
    rows: tuple[Tensor, Tensor] | None = None,
) -> Distances:
    """Distances at every scored token; `rows` [P H] of each model stand before `insert_at`. Raises InputError with the
    number of a text of which a model says no numbers."""
    fronts = rows or (first.vocabulary[:0], second.vocabulary[:0])
    longest = max(len(one.input_ids) for one in examples) + len(fronts[0])
    for model in (first, second):
        refuse_beyond(model, longest, "a text is", "give shorter ones")
    order = sorted(range(len(examples)), key=lambda place: -len(examples[place].input_ids))

    def of(places: Sequence[int]) -> tuple[np.ndarray, ...]:
        batch = collate([examples[place] for place in places], first.pad_id)
        one, where = log_probabilities(first, fronts[0], batch)
        other, _ = log_probabilities(second, fronts[1], batch)
        other = other.to(one.device)
        text = np.array(places)[where.cpu().numpy()]
        _refuse_no_number(one, other, text, (first, second))
        gap = (one - other).clamp(-LARGEST, LARGEST)
        figures = (jensen_shannon(one, other), (one.exp() * gap).sum(-1), (other.exp() * -gap).sum(-1))
        return (*(figure.double().cpu().numpy() for figure in figures), text)

    parts = list(in_batches(order, max(1, positions_at_once(first, BATCH_TOKENS) // longest), of))
    js, forward, backward, text = (np.concatenate(some) for some in zip(*parts, strict=True))
    back = np.argsort(text, kind="stable")
    return Distances(js[back], forward[back], backward[back], text[back], _contexts(examples))


def _contexts(examples: Sequence[Example]) -> NDArray[np.int64]:
    found = [
        before
        for one in examples
        for before, label in zip(one.input_ids, one.labels[1:], strict=False)
        if label != UNSCORED
    ]
    return np.array(found, dtype=np.int64)


def _refuse_no_number(one: Tensor, other: Tensor, text: np.ndarray, models: tuple[FrozenModel, FrozenModel]) -> None:
    for values, model in zip((one, other), models, strict=True):
        wrong = (~torch.isfinite(values.amax(dim=-1))).cpu().numpy()
        if wrong.any():
            raise InputError(f"{model.name} gives text {int(text[wrong][0])} no finite logits; leave the text out")
