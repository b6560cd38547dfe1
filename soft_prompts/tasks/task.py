"""What is a task? It turns data into examples and scores what a model makes of them; it never sees the model."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from soft_prompts.data.conditions import NO_CONDITIONS, ConditionEncoder
from soft_prompts.models.tokenizer import Tokenizer
from soft_prompts.results.schema import Generation, Metric
from soft_prompts.stats.items import Items
from soft_prompts.tasks.contract import Contract

UNSCORED = -100  # the label that no loss counts, torch's own convention


class Example(NamedTuple):
    """One sample of a task."""

    input_ids: Sequence[int]
    labels: Sequence[int]
    """As long as input_ids; UNSCORED where nothing is asked."""
    conditions: tuple[float, ...] = ()
    insert_at: int = 0
    """The prompt stands before this text position."""
    units: int = 0
    """What the headline metric divides by: moves, bytes or tokens among the scored labels."""
    cluster: int = 0
    """Identity of the game, document or question: items of one cluster are not independent."""
    weights: Sequence[float] | None = None
    """As long as labels: what the loss of each counts for in training. Held-out losses count every label alike."""


HeldOut = Literal["validation", "test"]


PromptPosition = Literal["front", "random"]


Position = dict[str, Any]


"""Where a training stream stands: small, JSON, enough to go on from there."""


class DataRequest(NamedTuple):
    """What a run wants of a task's data; the fields are RunConfig's, documented there."""

    data: str
    test_data: str | None
    sample_tokens: int
    validation_samples: int
    test_samples: int
    score_first: bool = False
    seed: int = 0
    max_bad: float = 0.01
    allow_truncated: bool = False
    workers: int = 0

    @property
    def name(self) -> str:
        """Short name of the data, part of the run's path."""
        return name_of_data(self.data, self.test_data)

    def written_for(self, usual: int) -> int:
        """For how many test items the model writes, where writing for all costs too much: for `usual` of up to 1,000,
        and for as many times more of more."""
        return usual * max(1000, self.test_samples) // 1000


def name_of_data(data: str, test_data: str | None) -> str:
    """Last parts of the two sources without suffixes."""
    sources = [data] + ([test_data] if test_data else [])
    return "--".join(PurePath(source).name.split(".")[0] or source for source in sources)


class Query(NamedTuple):
    """Text that the model goes on from, and the conditions that its prompt gets."""

    text: str
    conditions: tuple[float, ...]
    insert_at: int = 0
    ids: tuple[int, ...] | None = None
    """The text's tokens where they are not those of the text alone: as it was read with what followed it."""


@runtime_checkable
class Complete(Protocol):
    """Continuations: all that a task ever sees of a model."""

    def __call__(self, queries: Sequence[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
        """What the model adds to each query, in order: greedy at temperature 0, else sampled from a fixed seed."""
        ...


class Measures(NamedTuple):
    """A task's own scores on its test items, beside the loss."""

    metrics: dict[str, Metric]
    generations: list[Generation]
    outcome: NDArray[np.float64] | None = None
    """[N] of each test item what the metric `Task.outcome` is the mean of, 0 to 1; NaN where it was not asked."""


class TaskData(Contract, extends=True):
    """A task's data, opened for one tokenizer. `held_out` and `training` are all that it must have."""

    name: str
    """Short name of the data: `DataRequest.name`."""
    train: str
    test: str
    fingerprint: str
    """Content identity of both sources: a run does not resume on other data."""

    @abstractmethod
    def held_out(self, split: HeldOut) -> list[Example]:
        """The fixed items of a held-out set, in an order that is the same for every prompt size and seed."""

    @abstractmethod
    def training(self, position: Position | None) -> Iterator[tuple[Example, Position]]:
        """Endless training examples, each with the position after it; from the start, or from such a position."""

    def training_items(self) -> Iterator[Example]:
        """The training stream from its start, scored as held-out items are. Default: as it is trained on."""
        return (example for example, _ in self.training(None))

    def measures(self, examples: Sequence[Example], items: Items, complete: Complete) -> Measures:
        """Scores of the test items: `examples` with the conditions that the run gives them, `items` their losses,
        `items.outcome` 1 where every scored token is the model's first choice, given the true ones before it. Default:
        nothing beside the loss."""
        return Measures({}, [])

    def rejected(self, position: Position | None) -> dict[str, int]:
        """Records left out by reason: of the held-out data, and of training up to `position`. Default: none."""
        return {}

    def exact_test_nats(self) -> NDArray[np.float64] | None:
        """[N] what the source of the data pays for the labels of each test example: no model can do better, but by
        chance. Default: the source is not known."""
        return None

    def is_determined(self) -> bool:
        """Has every test item one right answer that can be had, so that 1 is the best outcome? Default: not known."""
        return False

    def constant_outcome(self) -> NDArray[np.float64] | None:
        """[N] what is scored on each test item by writing what is most often right in training, whatever the text says;
        NaN where nothing is asked. Default: there is no such answer."""
        return None

    def shots(self, count: int) -> list[int]:
        """Token ids of so many worked examples, to stand where a prompt would stand. Default: there is no form for
        examples."""
        return []

    def further(self) -> list[Example]:
        """Samples whose losses are no part of the test loss. Default: none."""
        return []

    def further_metrics(self, losses: Items) -> dict[str, Metric]:
        """Metrics of the result, from the losses of those samples in their order."""
        return {}


class Task(Contract, extends=True):
    """A frozen dataclass; its fields are the task's flags on the command line. It must have a name, a headline, a unit,
    `fingerprint` and `open`."""

    name: ClassVar[str]
    headline: ClassVar[str]
    """Name of the metric that curves show: loss summed over a test item, divided by its units."""
    unit: ClassVar[str]
    """What `Example.units` counts."""
    outcome: ClassVar[str | None] = None
    """Name of the metric that says whether what a model writes is right; its values by item are kept."""
    conditions: ClassVar[ConditionEncoder] = NO_CONDITIONS
    starts_from_bare: ClassVar[bool] = False
    """The bare model knows the task: a prompt's share is of what that model still lacks."""
    position: PromptPosition = "front"
    """Where the prompt stands: in front of every text, or at a place drawn for each sample."""

    @property
    def condition_names(self) -> tuple[str, ...]:
        """Names of the task's conditions, none if it has none."""
        return self.conditions.names

    @property
    def asks_for_conditions(self) -> bool:
        """A flag named the conditions: a prompt that sees none would be a mistake. Default: they are simply there."""
        return False

    @property
    def variant(self) -> str | None:
        """Tells runs of one experiment apart in paths and tables (a skip, a string, a board)."""
        return None

    def each(self) -> "Sequence[Task]":
        """The tasks of single runs that flags with several values ask for; without such a flag itself alone."""
        return (self,)

    def conditions_of(self, request: DataRequest) -> ConditionEncoder:
        """What turns conditions into floats, found without a tokenizer; a task that learns it from its training
        samples says so here, and which fields it reads in `condition_names`."""
        return self.conditions

    @abstractmethod
    def fingerprint(self, request: DataRequest) -> str:
        """Content identity of the data, the same as that of what `open` gives; found without a tokenizer."""

    @abstractmethod
    def open(self, request: DataRequest, tokenizer: Tokenizer) -> TaskData:
        """Find, check and split the data; raises InputError or UsageError in one line."""
