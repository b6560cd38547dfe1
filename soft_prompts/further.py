"""What does a task want to know of the model beside the losses of its test items? Losses of further samples: other
answers to the same questions, for example. A task's data that have these two methods are asked."""

from typing import Protocol, runtime_checkable

from soft_prompts.batch import Example
from soft_prompts.results import Items, Metric


@runtime_checkable
class AsksFurther(Protocol):
    """Further samples, and what their losses say."""

    def further(self) -> list[Example]:
        """Samples whose losses are no part of the test loss."""
        ...

    def further_metrics(self, losses: Items) -> dict[str, Metric]:
        """Metrics of the result, from the losses of those samples in their order."""
        ...
