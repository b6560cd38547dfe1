"""How do a task's samples become one batch?

Labels follow the convention of Hugging Face: `labels[t]` is the token that the position before t has to predict.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soft_prompts.tasks.task import UNSCORED, Example


@dataclass(frozen=True)
class Batch:
    """Samples padded on the right to a common length T."""

    input_ids: Int[Tensor, "B T"]
    labels: Int[Tensor, "B T"]
    mask: Bool[Tensor, "B T"]
    conditions: Float[Tensor, "B C"]
    insert_at: Int[Tensor, " B"]
    weights: Float[Tensor, "B T"] | None = None
    """None: every label counts alike."""
    fresh: Bool[Tensor, " B"] | None = None
    """Samples that a run meets for the first time; None: all."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        tensors = {name: getattr(self, name) for name in self.__dataclass_fields__}
        there = {name: t.to(device, non_blocking=True) for name, t in tensors.items() if t is not None}
        return replace(self, **there)

    def rows(self, places: Sequence[int]) -> "Batch":
        """Some of the rows, without the padding that only the others need."""
        length = int(self.mask[places].sum(dim=1).max())
        tensors = {name: getattr(self, name) for name in self.__dataclass_fields__}
        some = {name: t[places] for name, t in tensors.items() if t is not None}
        wide = ("input_ids", "labels", "mask", "weights")
        return replace(self, **{name: t[:, :length] if name in wide else t for name, t in some.items()})


def collate(examples: Sequence[Example], pad_id: int, score_first: bool = False) -> Batch:
    """Pad on the right; the label of text position 0 is dropped, so that every prompt size scores the same labels.

    `score_first` keeps it, as the paper and PEFT do: it counts wherever a prompt token precedes it. Raises ValueError
    for a sample whose labels or insert_at do not fit its text.
    """
    for example in examples:
        _refuse_misfit(example)
    length = max(len(example.input_ids) for example in examples)
    input_ids = torch.full((len(examples), length), pad_id)
    labels = torch.full((len(examples), length), UNSCORED)
    lengths = torch.tensor([len(example.input_ids) for example in examples])
    for row, example in enumerate(examples):
        input_ids[row, : lengths[row]] = torch.as_tensor(example.input_ids)
        labels[row, : lengths[row]] = torch.as_tensor(example.labels)
    if not score_first:
        labels[:, 0] = UNSCORED
    return Batch(
        input_ids=input_ids,
        labels=labels,
        mask=torch.arange(length) < lengths[:, None],
        conditions=torch.tensor([example.conditions for example in examples], dtype=torch.float32),
        insert_at=torch.tensor([example.insert_at for example in examples]),
        weights=_weights(examples, length),
    )


def _weights(examples: Sequence[Example], length: int) -> Float[Tensor, "B T"] | None:
    if all(example.weights is None for example in examples):
        return None
    weights = torch.ones(len(examples), length)
    for row, example in enumerate(examples):
        if example.weights is not None:
            weights[row, : len(example.weights)] = torch.as_tensor(example.weights)
    return weights


def _refuse_misfit(example: Example) -> None:
    """A task's mistake would pass silently: a short label is spread over the row, a prompt stands in the padding."""
    length = len(example.input_ids)
    if len(example.labels) != length:
        raise ValueError(f"a sample has {length} tokens and {len(example.labels)} labels; give one label a token")
    if example.weights is not None and len(example.weights) != length:
        raise ValueError(f"a sample has {length} tokens and {len(example.weights)} weights; give one weight a token")
    if not 0 <= example.insert_at <= length:
        raise ValueError(f"insert_at is {example.insert_at}; give 0 to {length}, the length of the text")
