"""What does a vector do on the very items that soft prompts were tested on? So that both stand on one scale.

The result says which data, and which of their items, its prompts were tested on. They are asked again with the vector
in place of a prompt: nats of each completion from the steered model's next-token probabilities, and completions as it
writes them, judged by the task itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.results.files import items_fingerprint
from soft_prompts.results.metrics import ratio
from soft_prompts.results.schema import Metric, Result
from soft_prompts.steering.scoring import Row, Steer, batches, row_logps, untouched
from soft_prompts.steering.vectors.vector import SteeringVector, refuse_other, refuse_seen
from soft_prompts.steering.writing import Written, write_steered
from soft_prompts.tasks.completion import CompletionData, CompletionTask
from soft_prompts.tasks.task import UNSCORED, DataRequest, Example, Query
from soft_prompts.training.apparatus import data_request
from soft_prompts.training.measures import items_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OnItems:
    """A vector on a result's test items."""

    vector: SteeringVector
    items: str
    """Fingerprint of the items: results and findings of equal ones can be compared."""
    data: str
    metrics: dict[str, Metric]
    bare: Metric
    """The headline with nothing added."""
    n: int

    def figures(self) -> dict[str, Any]:
        """As finding.schema.json has them."""
        vector = self.vector
        told = {"class": vector.name, "method": vector.method, "layer": vector.layer, "strength": vector.strength}
        metrics = {name: _plain(metric) for name, metric in self.metrics.items()}
        return told | {"items_fingerprint": self.items, "metrics": metrics, "bare": _plain(self.bare)}

    def says(self) -> list[str]:
        values = ", ".join(
            f"{name.replace('_', ' ')} {metric.value:.2f}"
            for name, metric in self.metrics.items()
            if metric.value is not None
        )
        at = f"layer {self.vector.layer}, strength {self.vector.strength:g}"
        line = f"{self.vector.name} ({self.vector.method}, {at}) on {self.n} test items of {self.data}: {values}"
        return [line if self.bare.value is None else f"{line}; nothing added: loss {self.bare.value:.2f}"]


def vector_on_items(inside: Inside, vector: SteeringVector, result: Result, made_of: Sequence[str]) -> OnItems:
    """The vector at its own layer and strength; `made_of` are prompts that it was made of or chosen on, beside those
    that it keeps itself.

    Raises UsageError for another model or experiment, a vector without layer, or items that it was made of; InputError
    where the data are no longer those of the result.
    """
    frozen = inside.frozen
    refuse_other(vector, frozen)
    if vector.layer is None or vector.strength is None:
        raise UsageError("the vector has no layer chosen; make one with `soft-prompts steer fit`")
    if result.model.fingerprint != frozen.fingerprint:
        of = f"the result is of another model than {frozen.name}"
        own = "a result of the vector's own" if vector.fingerprint else f"--model {result.model.name}"
        raise UsageError(f"{of}, of {result.model.name}; give {own}")
    config = asked_config(result)
    data = config.task.open(data_request(config), frozen.tokenizer)
    assert isinstance(data, CompletionData)
    examples = data.held_out("test")
    refuse_seen(vector, [row.prompt for row in data.test_rows], data.test, made_of)
    steered, bare = (
        items_of(config, examples, completion_nats(inside, examples, steer))
        for steer in (vector.steer(inside), untouched)
    )
    fingerprint = items_fingerprint(steered.cluster, steered.scored_tokens)
    if fingerprint != result.data.items_fingerprint:
        raise InputError(f"{data.test} has other test items than the result; give the data that it was made with")

    def complete(queries: Sequence[Query], max_new_tokens: int, **_: Any) -> list[str]:
        how = Written(max_new_tokens=max_new_tokens)
        return write_steered(inside, vector, queries, how)

    unit, headline = f"nats/{config.task.unit}", config.task.headline
    metrics = {headline: ratio(steered, slice(None), unit)} | data.measures(examples, steered, complete).metrics
    return OnItems(vector, fingerprint, data.name, metrics, ratio(bare, slice(None), unit), len(examples))


def asked_config(result: Result) -> RunConfig:
    """The settings that the result's data depend on, of the bare model; raises UsageError for what is no completion."""
    told = dict(result.config.get("task", {}))
    if told.pop("name", None) != CompletionTask.name or told.get("condition_fields"):
        raise UsageError(f"the result is of {result.experiment}; give one of `run completion`, without conditions")
    given: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in told.items()}
    task = CompletionTask(**given)
    settings = {name: value for name, value in result.config.items() if name in DataRequest._fields and name != "seed"}
    return RunConfig(task, result.model.name, 0, **settings)


def completion_nats(inside: Inside, examples: Sequence[Example], steer: Steer = untouched) -> Floats:
    """[N] nats of each example's scored tokens; the vector works from the last token before them on."""
    rows, nats = [_row(number, example) for number, example in enumerate(examples)], np.zeros(len(examples))
    for some in batches(rows):
        owners = [row.item for row in some for _ in row.asked]
        np.add.at(nats, owners, -row_logps(inside.frozen, some, steer).detach().double().cpu().numpy())
    return nats


def _row(number: int, example: Example) -> Row:
    scored = [(at, label) for at, label in enumerate(example.labels) if at and label != UNSCORED]
    asked = [(0, at - 1, label) for at, label in scored]
    return Row(number, list(example.input_ids[:-1]), example.insert_at, scored[0][0] - 1, asked)


def _plain(metric: Metric) -> dict[str, Any]:
    return {name: getattr(metric, name) for name in ("value", "stderr", "n", "unit")}
