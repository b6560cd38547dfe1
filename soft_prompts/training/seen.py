"""Which training samples has a run met before? The loss of the others, before the update, is what a code that learns as
it goes would pay for them (prequential coding; Dawid 1984, arXiv 2601.04728)."""

from array import array
from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

from soft_prompts.tasks.task import Example

SEEN = "seen"  # among a state's tensors
UNKNOWN = "the run began under a version that did not count its samples"


def identity_of(example: Example) -> int:
    """64 bits of what the data say of a sample: its tokens, its labels and its conditions."""
    ids, labels = array("q", example.input_ids), array("q", example.labels)
    text = b"".join((len(ids).to_bytes(8, "little"), ids, labels, array("d", example.conditions)))
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little", signed=True)


class Seen:
    """The samples that a run has taken a step on."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._drawn: list[int] = []

    def draw(self, examples: Sequence[Example]) -> list[bool]:
        """Of each sample of a step, whether it is met for the first time."""
        self._drawn = list(map(identity_of, examples))
        first = {identity: place for place, identity in reversed(list(enumerate(self._drawn)))}
        return [first[identity] == place and identity not in self._known for place, identity in enumerate(self._drawn)]

    def keep(self) -> None:
        """The step is taken: its samples are known from now on."""
        self._known.update(self._drawn)

    def as_tensor(self) -> Tensor:
        """For a state."""
        return torch.tensor(sorted(self._known), dtype=torch.int64)

    def restore(self, known: Tensor) -> None:
        """As they were when the tensor was made."""
        self._known = set(known.tolist())

    def __len__(self) -> int:
        return len(self._known)
