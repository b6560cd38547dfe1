"""What do held-out items say of a model and a prompt, before the task has a word? Losses, and what follows from them
alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.config import RunConfig
from soft_prompts.engine.beginnings import nats_of
from soft_prompts.engine.evaluation import Evaluation, evaluate, refuse_not_finite, swap_conditions
from soft_prompts.engine.generation import generate
from soft_prompts.engine.processes import SharedOut
from soft_prompts.results.metrics import loss_per_token, paired_difference, per_unit, ratio, share
from soft_prompts.results.schema import Generation, Metric
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training.apparatus import Apparatus
from soft_prompts.training.loop import Progress, set_conditions
from soft_prompts.training.seen import UNKNOWN, identity_of


class Measured(NamedTuple):
    """What the held-out items say of a prompt."""

    items: Items
    metrics: dict[str, Metric]
    generations: list[Generation]
    outcome: str | None = None
    """The metric whose values the items hold."""


def measure_losses(at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int) -> Measured:
    """The losses of a result, nothing generated."""
    return _losses(at, validation, test, batch_size)[0]


def measure_whole_answers(
    at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int
) -> Measured:
    """The losses, and of a task that has an outcome how often every scored token of an item is the model's first
    choice, given the true ones before it: what greedy writing would give."""
    measured, whole = _losses(at, validation, test, batch_size)
    if at.config.task.outcome is None:
        return measured
    found = share((whole > 0).tolist(), "share of items", measured.items.cluster.tolist())
    return with_outcome(measured, WHOLE_MATCH, whole, found)


def _losses(
    at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int
) -> tuple[Measured, NDArray[np.float64]]:
    """And of each test item whether every scored token is the model's first choice."""
    losses = partial(evaluate, at.frozen, at.prompt, batch_size=batch_size, score_first=at.config.score_first)
    tested = losses(test)
    measured = from_items(at.config, tested.items, losses(validation).items)
    metrics = {"token_accuracy": tested.token_accuracy, "training_loss": _training_loss(at, losses)}
    return measured._replace(metrics=measured.metrics | metrics), tested.whole


def _training_loss(at: Apparatus, losses: Callable[[Sequence[Example]], Evaluation]) -> Metric:
    """Of the training samples that came first, as far as the run has seen them: what a prompt knows by heart."""
    unit = f"nats/{at.config.task.unit}"
    if at.seen is None:
        return Metric(None, reason=UNKNOWN, unit=unit)
    if not (examples := first_samples(at, min(at.seen, TRAINING_ITEMS))):
        return Metric(None, reason="no training sample was seen", unit=unit)
    return ratio(losses(examples).items, slice(None), unit)


def first_samples(at: Apparatus, count: int) -> list[Example]:
    """The first different samples of the training stream, with conditions as in training; fewer where there are none
    for as long as it took to find the others."""
    stream, found, old = at.data.training_items(), dict[int, Example](), 0
    while len(found) < count and old <= len(found):
        step = list(islice(stream, at.config.batch_size))
        before = len(found)
        for one, own in zip(set_conditions(step, at.config), step, strict=True):
            found.setdefault(identity_of(own), one)
        old = old + len(step) if len(found) == before else 0
    return list(found.values())[:count]


def first_pass(progress: Progress, unit: str) -> dict[str, Metric]:
    """What a run paid for its training samples when it met them first: what a code that learns as it goes would pay."""
    count = progress.distinct_samples
    units = {"distinct_samples": "samples", "first_pass_nats": "nats", "first_pass_tokens": "tokens"}
    units["first_pass_units"] = f"{unit}s"
    if count is None:
        return {name: Metric(None, reason=UNKNOWN, unit=what) for name, what in units.items()}
    return {name: Metric(float(getattr(progress, name)), None, count, what) for name, what in units.items()}


def mean_outcome(items: Items, outcome: NDArray[np.float64]) -> Metric:
    """Over the items that were asked."""
    asked = ~np.isnan(outcome)
    return per_unit(outcome[asked], np.ones(asked.sum(), dtype=np.int64), items.cluster[asked], "share of items")


def with_outcome(measured: Measured, name: str, outcome: NDArray[np.float64], found: Metric) -> Measured:
    """With an outcome for each item, and the metric whose values they are."""
    items = replace(measured.items, outcome=outcome)
    return measured._replace(items=items, metrics=measured.metrics | {name: found}, outcome=name)


def from_items(config: RunConfig, test: Items, validation: Items) -> Measured:
    """The metrics that per-item losses give."""
    metrics = {
        "test_loss": loss_per_token(test),
        "validation_loss": loss_per_token(validation),
        config.task.headline: ratio(test, slice(None), f"nats/{config.task.unit}"),
    }
    return Measured(test, metrics, [])


def scored_labels(example: Example, score_first: bool) -> list[int]:
    """The labels that count, in order: as in `collate`, a text's first token only where a prompt may precede it."""
    first = 0 if score_first and example.insert_at == 0 else 1
    return [label for label in example.labels[first:] if label != UNSCORED]


def items_of(config: RunConfig, examples: Sequence[Example], loss_nats: np.ndarray) -> Items:
    """Losses [N], as per-item losses of the examples."""
    scored = [len(scored_labels(example, config.score_first)) for example in examples]
    return Items(
        loss_nats=np.asarray(loss_nats, dtype=np.float64),
        scored_tokens=np.array(scored, dtype=np.int64),
        scored_units=np.array([example.units for example in examples], dtype=np.int64),
        cluster=np.array([example.cluster for example in examples], dtype=np.int64),
    )


TRAINING_ITEMS = 256  # training samples whose loss is measured beside the test items
WHOLE_MATCH = "whole_match"
WRITTEN_AT_ONCE = 4  # times a step's samples: keys and values alone are kept, a fraction of what a gradient needs
SWAP_SEED = 0  # one dealing of conditions, the same for every prompt


def measure(at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int) -> Measured:
    """Every number of a result: losses, what the conditions are worth, and the task's own scores."""
    task, score_first = at.config.task, at.config.score_first
    losses = partial(evaluate, at.frozen, at.prompt, batch_size=batch_size, score_first=score_first)
    unit = f"nats/{task.unit}"
    measured, whole = _losses(at, validation, test, batch_size)
    items, metrics = measured.items, dict(measured.metrics)
    if len({example.conditions for example in test}) > 1:
        swapped = losses(swap_conditions(test, SWAP_SEED)).items
        metrics["condition_sensitivity"] = paired_difference(swapped, items, unit)
    elif task.condition_names:
        metrics["condition_sensitivity"] = Metric(None, reason="this prompt sees no conditions that differ", unit=unit)
    complete = partial(generate, at.frozen, at.prompt, batch_size=WRITTEN_AT_ONCE * batch_size, as_fits=True)
    measures = at.data.measures(test, replace(items, outcome=whole), SharedOut(complete, at.frozen.in_step))
    metrics |= measures.metrics
    if further := at.data.further():
        further = set_conditions(further, at.config)
        nats = nats_of(at.frozen, at.prompt, further, batch_size, score_first)
        refuse_not_finite(nats)
        metrics |= at.data.further_metrics(items_of(at.config, further, nats))
    measured = Measured(items, metrics, measures.generations)
    if task.outcome is None or measures.outcome is None:
        return measured
    return with_outcome(measured, task.outcome, measures.outcome, metrics[task.outcome])
