"""What do held-out items say of a model and a prompt, before the task has a word? Losses, and what follows from them
alone."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from soft_prompts.config import RunConfig
from soft_prompts.engine.beginnings import nats_of
from soft_prompts.engine.evaluation import evaluate, refuse_not_finite, swap_conditions
from soft_prompts.engine.generation import generate
from soft_prompts.engine.processes import SharedOut
from soft_prompts.results.metrics import loss_per_token, paired_difference, ratio
from soft_prompts.results.schema import Generation, Metric
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training.apparatus import (
    Apparatus,
)
from soft_prompts.training.loop import (
    set_conditions,
)


class Measured(NamedTuple):
    """What the held-out items say of a prompt."""

    items: Items
    metrics: dict[str, Metric]
    generations: list[Generation]


def measure_losses(at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int) -> Measured:
    """The losses of a result, nothing generated."""
    losses = [
        evaluate(at.frozen, at.prompt, examples, batch_size, at.config.score_first) for examples in (test, validation)
    ]
    measured = from_items(at.config, losses[0].items, losses[1].items)
    return measured._replace(metrics=measured.metrics | {"token_accuracy": losses[0].token_accuracy})


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


WRITTEN_AT_ONCE = 4  # times a step's samples: keys and values alone are kept, a fraction of what a gradient needs
SWAP_SEED = 0  # one dealing of conditions, the same for every prompt


def measure(at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int) -> Measured:
    """Every number of a result: losses, what the conditions are worth, and the task's own scores."""
    task, score_first = at.config.task, at.config.score_first
    losses = partial(evaluate, at.frozen, at.prompt, batch_size=batch_size, score_first=score_first)
    unit = f"nats/{task.unit}"
    measured = measure_losses(at, validation, test, batch_size)
    items, metrics = measured.items, dict(measured.metrics)
    if len({example.conditions for example in test}) > 1:
        swapped = losses(swap_conditions(test, SWAP_SEED)).items
        metrics["condition_sensitivity"] = paired_difference(swapped, items, unit)
    elif task.condition_names:
        metrics["condition_sensitivity"] = Metric(None, reason="this prompt sees no conditions that differ", unit=unit)
    complete = partial(generate, at.frozen, at.prompt, batch_size=WRITTEN_AT_ONCE * batch_size, as_fits=True)
    measures = at.data.measures(test, items, SharedOut(complete))
    metrics |= measures.metrics
    if further := at.data.further():
        further = set_conditions(further, at.config)
        nats = nats_of(at.frozen, at.prompt, further, batch_size, score_first)
        refuse_not_finite(nats)
        metrics |= at.data.further_metrics(items_of(at.config, further, nats))
    return Measured(items, metrics, measures.generations)
