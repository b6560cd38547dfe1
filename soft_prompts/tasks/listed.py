"""What does a task need that fits into memory? Three lists of examples; order, resume and identity follow from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from soft_prompts.common.errors import InputError
from soft_prompts.tasks.task import Example, HeldOut, Position, TaskData


@dataclass
class ListedData(TaskData):
    """A task's data as lists; the shortest way to a task of your own. Raises InputError where one of the lists is
    empty."""

    name: str
    fingerprint: str
    training_examples: Sequence[Example]
    validation: Sequence[Example]
    test_examples: Sequence[Example]
    seed: int = 0

    def __post_init__(self) -> None:
        self.train = self.test = self.name
        lists = {"training": self.training_examples, "validation": self.validation, "test": self.test_examples}
        if empty := [what for what, examples in lists.items() if not examples]:
            raise InputError(f"{self.name} has no {empty[0]} example; give a larger data set")

    def held_out(self, split: HeldOut) -> list[Example]:
        return list(self.validation if split == "validation" else self.test_examples)

    def training(self, position: Position | None) -> Iterator[tuple[Example, Position]]:
        """Every example once an epoch, in an order of its own each time."""
        at = dict(position or {"epoch": 0, "offset": 0})
        while True:
            order = np.random.default_rng((self.seed, at["epoch"])).permutation(len(self.training_examples))
            for offset in range(at["offset"], len(order)):
                yield self.training_examples[order[offset]], {"epoch": at["epoch"], "offset": offset + 1}
            at = {"epoch": at["epoch"] + 1, "offset": 0}
