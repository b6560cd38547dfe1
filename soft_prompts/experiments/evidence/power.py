"""Would this search have found a prompt, had there been one? Secrets of p tokens are planted in the very model, as its
own answers to the task's questions behind a secret text, and sought with the budget of a run.

Nothing of the model is changed. A search has found its secret where the prompt closes
half of the gap between the bare model and the secret itself, on answers that it was not trained on.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from soft_prompts.analysis.battery import SECRETS
from soft_prompts.common.errors import InputError
from soft_prompts.config import RunConfig
from soft_prompts.data.kept import Kept
from soft_prompts.experiments.evidence.planting import AT_ONCE, hash_seed, losses_behind, most_changing, sample_on
from soft_prompts.experiments.evidence.wanted import plain_run
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.metrics import per_unit
from soft_prompts.results.roles import PlantedSecret
from soft_prompts.results.schema import Metric
from soft_prompts.tasks.known_source import KnownSourceData
from soft_prompts.tasks.task import UNSCORED, Example, TaskData
from soft_prompts.training.apparatus import Apparatus
from soft_prompts.training.measures import Measured, measure_losses

PART = 4  # a secret has one token in so many of the prompt that is to find it
CONTEXT, TARGETS = 1, 8  # tokens of a question, at least; of an answer, at most
SAMPLES = {"training": 1024, "validation": 64, "test": 128}
CANDIDATES = 40  # random texts that the ten are chosen from
CHOSEN = Kept(16)  # of this process: the searches of a model seek the same secrets
SURE = 3  # standard errors by which a secret has to change what the model says
SHARE, PLANTED = "share_of_planted_gap", "planted_tokens"  # metrics of a result


def power_runs(base: RunConfig) -> list[RunConfig]:
    """The search of a run of so many tokens, for each of the secrets: its steps, samples, rate and start."""
    plain = plain_run(base)
    planted = max(1, base.tokens // PART)
    init = "vocabulary" if base.init == "grown" else base.init  # there is no smaller prompt to grow from
    return [replace(plain, init=init, role=PlantedSecret(planted, secret)) for secret in range(SECRETS)]


def with_secret(at: Apparatus) -> Apparatus:
    """The task's own questions with the model's answers behind the secret, under the name of the task's data."""
    role = _role(at.config)
    asked = questions(at.data, SAMPLES)
    key = (at.frozen.fingerprint, at.frozen.dtype, at.data.fingerprint, len(asked.validation), role.planted_tokens)
    secret = CHOSEN.get(key, (), lambda: ranked_secrets(at.frozen, asked.validation, role.planted_tokens))[role.secret]
    number = SECRETS + CANDIDATES + role.secret
    training, validation, test = (
        answers_behind(at.frozen, secret, some, (role.planted_tokens, number, split))
        for split, some in enumerate(asked)
    )
    nats = losses_behind(at.frozen, secret, test).tolist()
    data = KnownSourceData(at.data.name, at.data.fingerprint, training, validation, test, at.config.seed, nats)
    data.train, data.test = at.data.train, at.data.test
    return at._replace(data=data)


class Questions(NamedTuple):
    """Samples whose answers are to be replaced; each ends where its first few labels do."""

    training: list[Example]
    validation: list[Example]
    test: list[Example]


def questions(data: TaskData, most: Mapping[str, int], as_scored: bool = False) -> Questions:
    """The task's own, so many of each split at most, each but once in training, as long as its text goes on behind what
    it asks. The answers are still the right ones: all tokens from the first that is scored on, or those alone that
    are."""
    stream = (example for example, _ in islice(data.training(None), most["training"]))
    parts = (stream, data.held_out("validation"), data.held_out("test"))
    cut = [[one for example in some if (one := _cut(example, as_scored))] for some in parts]
    cut[0] = [*{tuple(example.input_ids): example for example in cut[0]}.values()]
    kept = [some[:count] for some, count in zip(cut, most.values(), strict=True)]
    if empty := [split for split, some in zip(most, kept, strict=True) if not some]:
        raise InputError(f"{data.name}: no {empty[0]} sample has room for a planted answer")
    return Questions(*kept)


def _cut(example: Example, as_scored: bool) -> Example | None:
    """The sample as far as its first few labels; None where nothing stands in front of them."""
    places = [
        place
        for place, label in enumerate(example.labels)
        if label != UNSCORED and place >= max(CONTEXT, example.insert_at)
    ]
    if not places:
        return None
    first, end = places[0], min(places[0] + TARGETS, places[-1] + 1)
    ids = list(example.input_ids[:end])
    labels, cut = [UNSCORED] * first + list(example.labels[first:end] if as_scored else ids[first:]), end - first
    return Example(ids, labels, example.conditions, example.insert_at, units=cut, cluster=example.cluster)


def ranked_secrets(frozen: FrozenModel, asked: Sequence[Example], tokens: int) -> list[tuple[int, ...]]:
    """Random texts, those first behind which the model answers most unlike itself."""
    drawn = np.random.default_rng([0, tokens]).integers(0, len(frozen.tokenizer), (CANDIDATES, tokens)).tolist()
    return most_changing(
        frozen,
        [tuple(row) for row in drawn],
        lambda secret, number: answers_behind(frozen, secret, asked, (tokens, number, 0)),
    )


def answers_behind(
    frozen: FrozenModel, secret: tuple[int, ...], asked: Sequence[Example], draw: tuple[int, ...]
) -> list[Example]:
    """The samples with other labels: drawn from the model behind the secret at temperature 1, the same for the same
    `draw`."""
    generator = torch.Generator().manual_seed(hash_seed(*draw))
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, example in enumerate(asked):
        alike[first_label(example), example.units].append(place)
    answered = list(asked)
    for (first, count), places in alike.items():
        for start in range(0, len(places), AT_ONCE):
            some = places[start : start + AT_ONCE]
            given = [(asked[place].insert_at, asked[place].input_ids[:first]) for place in some]
            front = torch.tensor([[*ids[:at], *secret, *ids[at:]] for at, ids in given])
            rows = sample_on(frozen, front, count, generator)[:, -count:].tolist()
            for place, (_, ids), row in zip(some, given, rows, strict=True):
                answered[place] = asked[place]._replace(input_ids=[*ids, *row], labels=[UNSCORED] * first + row)
    return answered


def first_label(example: Example) -> int:
    """Where the answer begins."""
    return next(place for place, label in enumerate(example.labels) if label != UNSCORED)


def measure_found(at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int) -> Measured:
    """How much of the gap between the bare model and the secret the prompt closed; nothing of the task, whose items
    these are not."""
    measured = measure_losses(at, validation, test, batch_size)
    planted = _role(at.config).planted_tokens
    return with_gap(at, measured, losses_behind(at.frozen, (), list(test)), planted)


def with_gap(
    at: Apparatus, measured: Measured, without: NDArray[np.float64], planted_tokens: int, is_there: bool = True
) -> Measured:
    """With how much the prompt closed of the gap between nats `without` the secret [N] and those behind it, where it
    `is_there`."""
    exact, items = at.data.exact_test_nats(), measured.items
    if exact is None:
        raise ValueError(f"{at.config.role.name} has no planted secret")
    gap = per_unit(without - exact, items.scored_tokens, items.cluster, "nats/token")
    closed = per_unit(without - items.loss_nats, items.scored_tokens, items.cluster, "nats/token")
    share = Metric(None, reason="the model says the same without the secret", unit="share of the gap")
    if is_there and gap.value is not None and closed.value is not None and gap.value > SURE * (gap.stderr or 0.0):
        share = Metric(closed.value / gap.value, None, gap.n, "share of the gap")
    planted = Metric(float(planted_tokens), None, 1, "tokens")
    return measured._replace(metrics=measured.metrics | not_of_task(at.config) | {SHARE: share, PLANTED: planted})


def not_of_task(config: RunConfig) -> dict[str, Metric]:
    """The headline of a result whose items are not the task's."""
    why = Metric(None, reason="what stands behind a secret is no item of the task", unit=f"nats/{config.task.unit}")
    return {} if config.task.headline == "test_loss" else {config.task.headline: why}


def _role(config: RunConfig) -> PlantedSecret:
    if not isinstance(config.role, PlantedSecret):
        raise ValueError(f"{config.role.name} is about no planted secret")
    return config.role
