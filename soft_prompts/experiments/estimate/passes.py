"""Which passes through the model does a run make? Each is taken once on a sketch, and counted as often as it comes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from soft_prompts.config import RunConfig
from soft_prompts.engine.batch import collate
from soft_prompts.engine.forward import token_losses
from soft_prompts.experiments.cost import searched_samples
from soft_prompts.experiments.estimate.counting import NO_WORK, Counting, Work, work_of
from soft_prompts.experiments.estimate.machine import Machine
from soft_prompts.experiments.estimate.sketch import mode_of, without_numbers
from soft_prompts.experiments.evidence.trained_weights import TrainedWeights, adapted, unfrozen
from soft_prompts.models.model import FrozenModel, NoCache
from soft_prompts.models.tokenizer import encode
from soft_prompts.models.writing import last_logits
from soft_prompts.prompts.architectures import Prompt
from soft_prompts.prompts.kinds import PROMPTS, UNCONDITIONAL
from soft_prompts.results import roles
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import UNSCORED, Example, Query, TaskData
from soft_prompts.training.apparatus import Apparatus, run_paths, shape_for, with_engine
from soft_prompts.training.gradients import batch_losses
from soft_prompts.training.loop import set_conditions
from soft_prompts.training.measures import TRAINING_ITEMS, WRITTEN_AT_ONCE

DRAWN = 8  # steps whose samples are drawn to see how long they are
WRITTEN = 0.6  # of the most new tokens: where texts end, as measured by tests/benchmarks/cost_estimate.py
PROBED = 80  # forwards of a dozen tokens at load
PROBE_TOKENS = 13


class Asked(NamedTuple):
    """Texts that a task goes on from."""

    queries: Sequence[Query]
    most_new_tokens: int


@dataclass(frozen=True)
class Samples:
    """What a run's data come to, whatever the model says."""

    training: Sequence[Example]
    """Of a few steps."""
    validation: Sequence[Example]
    test: Sequence[Example]
    further: Sequence[Example] = ()
    asked: Sequence[Asked] = ()


class Passes(NamedTuple):
    """What a group of runs asks for, one after another."""

    load: Work
    step: Work
    """Of all runs of the group, their optimisers' included."""
    validation: Work
    """Of one run, once."""
    search: Work
    """Before the first step."""
    measured: Work
    """Of one run, at the end: losses."""
    written: Work
    """Of one run, at the end: texts."""


def samples_of(config: RunConfig, data: TaskData) -> Samples:
    """Draw what a run draws; no model is asked."""
    count = DRAWN * config.batch_size
    drawn = [example for example, _ in islice(data.training(None), count)]
    validation, test = (set_conditions(data.held_out(split), config) for split in ("validation", "test"))
    asked = list[Asked]()

    def complete(queries: Sequence[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
        asked.append(Asked(list(dict.fromkeys(queries)) if temperature == 0 else list(queries), most_new_tokens))
        return [""] * len(queries)

    data.measures(test, _no_items(test), complete)
    further = set_conditions(data.further(), config)
    return Samples(set_conditions(drawn, config), validation, test, further, asked)


def full_samples(config: RunConfig) -> Samples:
    """Where no data are at hand: every sample as long as it may be, every label scored, nothing alike, nothing
    written."""
    conditions = (0.5,) * len(config.condition_names)

    def samples(count: int) -> list[Example]:
        texts = [[number, *[0] * (config.sample_tokens - 1)] for number in range(count)]
        return [Example(ids, ids, conditions, units=1) for ids in texts]

    return Samples(samples(config.batch_size), samples(config.validation_samples), samples(config.test_samples))


def _no_items(examples: Sequence[Example]) -> Items:
    scored = np.array([sum(label != UNSCORED for label in one.labels[1:]) or 1 for one in examples], dtype=np.int64)
    units = np.array([one.units for one in examples], dtype=np.int64)
    cluster = np.array([one.cluster for one in examples], dtype=np.int64)
    zeros = np.zeros(len(examples))
    return Items(zeros, scored, units, cluster, outcome=zeros)


def passes_of(configs: Sequence[RunConfig], samples: Samples, frozen: FrozenModel, machine: Machine) -> Passes:
    """Of runs that go together, on a sketch of their model."""
    first = configs[0]
    used = with_engine(first, frozen)
    learners = [_learner(config, used) for config in configs]
    model, prompt = learners[-1]  # the longest prompt says what memory has to hold
    some = first.micro_batch_size or first.batch_size
    probe = Example([0] * PROBE_TOKENS, [0] * PROBE_TOKENS)
    with torch.no_grad():
        load = work_of(machine, lambda: frozen.logits(frozen.embed(torch.tensor([probe.input_ids]))))
        validation = _losses(model, prompt, samples.validation, some, machine)
        measured = _measured(model, prompt, samples, first, machine) + validation
        texts = [_written(model, prompt, asked, WRITTEN_AT_ONCE * some, machine) for asked in samples.asked]
    step, search = NO_WORK, NO_WORK
    if any(config.trains for config in configs):
        step = _step(learners, first, samples.training, machine)
    if searched := searched_samples(first):
        search = validation.times(2 * searched / len(samples.validation))
    return Passes(load.times(PROBED), step, validation, search, measured, sum(texts, NO_WORK))


def _learner(config: RunConfig, frozen: FrozenModel) -> tuple[FrozenModel, Prompt]:
    """The model that a run uses, and the prompt that it fits, without numbers."""
    with torch.device("meta"):
        prompt = PROMPTS[config.prompt_kind or UNCONDITIONAL](shape_for(config, frozen))
    at = Apparatus(config, run_paths(config), frozen, _NONE, prompt)
    if isinstance(config.role, roles.Lora):
        at = adapted(at, replace(frozen))
    elif isinstance(config.role, roles.FullFineTune):
        at = unfrozen(at, frozen)
    mode = mode_of(frozen)
    without_numbers(at.frozen.model, mode, str(frozen.device))
    without_numbers(prompt, mode, str(frozen.device))
    if isinstance(at.prompt, TrainedWeights):
        at.prompt.weights = nn.ParameterList(one for one in at.frozen.model.parameters() if one.requires_grad)
    return at.frozen, at.prompt


_NONE: Any = None


def _step(
    learners: Sequence[tuple[FrozenModel, Prompt]], first: RunConfig, drawn: Sequence[Example], machine: Machine
) -> Work:
    """The largest of a few steps says what memory has to hold, their mean how long one takes."""
    steps = [drawn[start : start + first.batch_size] for start in range(0, len(drawn), first.batch_size)]
    largest = max(steps, key=_positions)
    mean = sum(map(_positions, steps)) / len(steps) / _positions(largest)
    some = largest[: first.micro_batch_size or first.batch_size]
    model = learners[0][0]
    plain = [one._replace(weights=None) for one in some]
    parts = [(prompt, collate(plain, model.pad_id, first.score_first)) for _, prompt in learners]
    optimizers = [torch.optim.AdamW(prompt.parameters(), foreach=False) for _, prompt in learners]

    with Counting() as counted:
        torch.autograd.backward([loss.nats for loss in batch_losses(model, parts)])
        for optimizer in optimizers:
            optimizer.step()
    work, count = counted.work(machine), math.ceil(first.batch_size / len(some))
    moments = 2 * sum(value.numel() * value.element_size() for _, prompt in learners for value in prompt.parameters())
    return Work(work.peak_bytes + moments, work.seconds * mean * count, work.products * mean * count)


def _measured(model: FrozenModel, prompt: Prompt, samples: Samples, config: RunConfig, machine: Machine) -> Work:
    """Every loss that a result has, but those of validation."""
    some = config.micro_batch_size or config.batch_size
    once = _losses(model, prompt, samples.test, some, machine)
    swapped = len({one.conditions for one in samples.test}) > 1
    work = once.times(1 + swapped)
    seen = min(TRAINING_ITEMS, config.steps * config.batch_size) if config.trains else TRAINING_ITEMS
    share = seen * _positions(samples.training) / len(samples.training) / _positions(samples.test)
    work += Work(0, once.seconds * share, once.products * share)
    if samples.further:
        work += _losses(model, prompt, samples.further, some, machine)
    return work


def _losses(model: FrozenModel, prompt: Prompt, examples: Sequence[Example], some: int, machine: Machine) -> Work:
    """Of items of like length together: the longest ones say what memory has to hold."""
    ordered = sorted(examples, key=lambda one: -len(one.input_ids))
    batch = collate(ordered[:some], model.pad_id)
    work = work_of(machine, lambda: token_losses(model, prompt, batch))
    share = _positions(ordered) / _positions(ordered[:some])
    return Work(work.peak_bytes, work.seconds * share, work.products * share)


def _written(model: FrozenModel, prompt: Prompt, asked: Asked, some: int, machine: Machine) -> Work:
    """The texts, and then token by token behind them."""
    if not asked.queries:
        return NO_WORK
    rows = min(some, len(asked.queries))
    longest = max(len(encode(model.tokenizer, query.text).ids) for query in asked.queries) + prompt.shape.tokens
    token = torch.zeros(rows, 1, dtype=torch.long)
    whole = token.expand(rows, max(1, longest))
    batches, written = math.ceil(len(asked.queries) / some), WRITTEN * asked.most_new_tokens
    kept = list[Any]()

    def begin() -> Any:
        logits, cache = last_logits(model, model.embed(whole), None)
        kept.append(cache)
        return logits.float().argmax(dim=-1)

    def go_on() -> Any:
        logits, _ = last_logits(model, model.embed(token), kept[0])
        return logits.float().argmax(dim=-1)

    try:
        text, one = work_of(machine, begin), work_of(machine, go_on)
    except NoCache:  # every token is read off the whole text
        return work_of(machine, lambda: model.next_logits(model.embed(whole)).float()).times(batches * (1 + written))
    cached = one.peak_bytes * (longest + asked.most_new_tokens) / max(1, longest)  # a step copies all that is kept
    return Work(cached, 0, 0) + text.times(batches) + one.times(batches * written)


def _positions(examples: Sequence[Example]) -> int:
    return sum(len(one.input_ids) for one in examples)
