"""What has evidence of its own? The runs of one model on one task and data that differ in tokens and seed alone."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from soft_prompts.config import RunConfig
from soft_prompts.experiments.evidence.anchors import shots_that_fit
from soft_prompts.experiments.evidence.controls import changed_share, permute_targets
from soft_prompts.experiments.evidence.trained_weights import MOST_PARAMETERS
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.task import Example
from soft_prompts.training.apparatus import data_request, load_for, run_paths
from soft_prompts.training.measures import scored_labels

LEAST_CHANGED = 0.1  # share of labels that permuting has to change to be a control


class Subject(NamedTuple):
    """Runs of a grid, and what their evidence has to know of model and data."""

    runs: tuple[RunConfig, ...]
    """Those of the bare model among them."""
    knows_source: bool
    """Is it known what the source of the test items pays for them?"""
    is_determined: bool
    """Has every item one right outcome that can be had?"""
    has_one_answer: bool
    """Does every sample ask for the same labels, or for the first of them?"""
    can_permute: bool
    """Does dealing labels to other samples change enough of them?"""
    has_bos: bool
    """Is there a token that begins a text?"""
    has_shots: bool
    """Do worked examples fit in front of a sample?"""
    is_small: bool
    """May all of the model's weights be trained?"""

    @property
    def base(self) -> RunConfig:
        """The run of the largest token count, the first of them."""
        return max(self.runs, key=lambda config: config.tokens)

    @property
    def bare(self) -> RunConfig:
        return replace(self.base, tokens=0, seed=0)

    @property
    def counts(self) -> list[int]:
        """Token counts, without 0."""
        return sorted({config.tokens for config in self.runs} - {0})

    @property
    def seeds(self) -> list[int]:
        """Of prompts, in the order of the runs."""
        return list(dict.fromkeys(config.seed for config in self.runs if config.tokens))


def runs_by_subject(configs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """Runs that differ in tokens and seed alone, those of the bare model among them; a bare model that no prompt was
    asked for is one of its own."""
    groups: dict[RunConfig, list[RunConfig]] = {}
    for config in configs:
        if config.tokens:
            groups.setdefault(replace(config, tokens=2, seed=0), []).append(config)  # 2: a grown prompt has no less
    bare = {run_paths(config).result: config for config in configs if not config.tokens}
    for subject, runs in groups.items():
        own = bare.get(run_paths(replace(subject, tokens=0)).result)
        runs.extend([] if own is None else [own])
    shown = {run_paths(run).result for runs in groups.values() for run in runs}
    return [*groups.values(), *([own] for path, own in bare.items() if path not in shown)]


def open_subject(runs: Sequence[RunConfig], load: Callable[[RunConfig], FrozenModel] = load_for) -> Subject:
    """Load the model for what has to be known of it; nothing here holds it afterwards."""
    first = runs[0]
    frozen = load(first)
    data = first.task.open(data_request(first), frozen.tokenizer)
    validation = data.held_out("validation")
    return Subject(
        tuple(runs),
        knows_source=data.exact_test_nats() is not None,
        is_determined=data.is_determined(),
        has_one_answer=has_one_answer(validation, first.score_first),
        can_permute=changed_share(validation, permute_targets(validation, np.random.default_rng(0))) >= LEAST_CHANGED,
        has_bos=isinstance(frozen.tokenizer.bos_token_id, int),
        has_shots=shots_that_fit(frozen, data, first.sample_tokens) > 0,
        is_small=sum(weight.numel() for weight in frozen.model.parameters()) < MOST_PARAMETERS,
    )


def has_one_answer(examples: Sequence[Example], score_first: bool) -> bool:
    """Are all labels known before the text is?"""
    answers = [scored_labels(example, score_first) for example in examples]
    longest = max(answers, key=len)
    return all(answer == longest[: len(answer)] for answer in answers)
