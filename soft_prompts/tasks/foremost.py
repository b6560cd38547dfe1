"""What if a prompt stands in front of everything, of the token that begins a text too? PEFT puts its prompts there,
ours stand behind that token. A task's data, asked with such a prompt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soft_prompts.results.schema import Metric
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import Complete, Example, HeldOut, Measures, Position, Query, TaskData


@dataclass
class ForemostData(TaskData):
    """The data of any task, its prompt before position 0 of every text."""

    data: TaskData

    def __post_init__(self) -> None:
        self.name, self.train, self.test = self.data.name, self.data.train, self.data.test
        self.fingerprint = self.data.fingerprint

    def held_out(self, split: HeldOut) -> list[Example]:
        return [first(example) for example in self.data.held_out(split)]

    def training(self, position: Position | None) -> Iterator[tuple[Example, Position]]:
        return ((first(example), behind) for example, behind in self.data.training(position))

    def training_items(self) -> Iterator[Example]:
        return map(first, self.data.training_items())

    def measures(self, examples: Sequence[Example], items: Items, complete: Complete) -> Measures:
        def foremost(queries: Sequence[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
            asked = [query._replace(insert_at=0) for query in queries]
            return complete(asked, most_new_tokens, temperature=temperature)

        return self.data.measures(examples, items, foremost)

    def rejected(self, position: Position | None) -> dict[str, int]:
        return self.data.rejected(position)

    def exact_test_nats(self) -> NDArray[np.float64] | None:
        return self.data.exact_test_nats()

    def is_determined(self) -> bool:
        return self.data.is_determined()

    def constant_outcome(self) -> NDArray[np.float64] | None:
        return self.data.constant_outcome()

    def shots(self, count: int) -> list[int]:
        return self.data.shots(count)

    def further(self) -> list[Example]:
        return [first(example) for example in self.data.further()]

    def further_metrics(self, losses: Items) -> dict[str, Metric]:
        return self.data.further_metrics(losses)


def first(example: Example) -> Example:
    """The same sample, the prompt in front of everything."""
    return example._replace(insert_at=0)
