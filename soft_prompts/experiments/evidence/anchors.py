"""What are the losses of prompts held against? What a model does with tokens that were not trained, what frequencies
alone say of the answers, and what their source itself would pay.

    no_skill      frequencies of the training labels, by place in the answer or overall: the better on validation
    exact         the source, where the task knows it
    placebo       P random tokens of the vocabulary; placebo_bos: P times the token that begins a text
    hard_prompt   P tokens: those nearest to a trained prompt, or found by a search
    few_shot      worked examples in place of the prompt, where the task has a form for them

Trained weights are in soft_prompts/experiments/evidence/trained_weights.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from soft_prompts.engine.processes import told_by_first
from soft_prompts.experiments.evidence.rounding import trained_prompt
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import Prompt, PromptShape
from soft_prompts.results.roles import HardPrompt
from soft_prompts.results.schema import Metric
from soft_prompts.tasks.task import Example, TaskData
from soft_prompts.training.apparatus import Apparatus
from soft_prompts.training.loop import set_conditions
from soft_prompts.training.measures import Measured, from_items, items_of, mean_outcome, scored_labels, with_outcome
from soft_prompts.training.sources import source_result
from soft_prompts.training.starts import search_start

COUNTED = 4096  # training samples whose labels are counted
UNSEEN = 0.5  # times that every token counts as seen before (Krichevsky and Trofimov): none is impossible
PLACES = 64  # in an answer that are counted apart
SHOTS = 4


class FixedPrompt(Prompt):
    """Token embeddings in place of a prompt; nothing to train, and no parameters."""

    matrix: Tensor

    def __init__(self, rows: Float[Tensor, "P H"]) -> None:
        super().__init__(PromptShape(*rows.shape, conditions=0))
        self.register_buffer("matrix", rows)

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        return self.matrix.expand(len(conditions), -1, -1)


def random_tokens(at: Apparatus) -> Apparatus:
    """P tokens drawn from the vocabulary by the seed."""
    count = len(at.frozen.vocabulary)
    return _with_tokens(at, np.random.default_rng(at.config.seed).integers(0, count, at.config.tokens).tolist())


def only_bos(at: Apparatus) -> Apparatus:
    """P times the token that begins a text."""
    bos = at.frozen.tokenizer.bos_token_id
    if not isinstance(bos, int):
        raise ValueError(f"the tokenizer of {at.config.model} has no token that begins a text")
    return _with_tokens(at, [bos] * at.config.tokens)


def hard_prompt(at: Apparatus) -> Apparatus:
    """The tokens nearest to a trained prompt, or those that a search finds."""
    if at.config.role == HardPrompt("search"):
        search_start(at)
        return at
    emitted = emitted_prompt(at).to(at.frozen.device)
    return _with_tokens(at, nearest_tokens(emitted, at.frozen.vocabulary.float()).tolist())


def examples_in_front(at: Apparatus) -> Apparatus:
    """As many worked examples as fit, where the prompt would stand."""
    count = shots_that_fit(at.frozen, at.data, at.config.sample_tokens)
    if not count:
        raise ValueError(f"{at.config.task.name} has no form for examples, or none that fits")
    return at._replace(prompt=FixedPrompt(at.frozen.vocabulary[at.data.shots(count)].float()))


def shots_that_fit(frozen: FrozenModel, data: TaskData, sample_tokens: int) -> int:
    """How many examples, four at most, the model's positions hold in front of a sample; none of a task without."""
    if not data.shots(1):
        return 0
    if frozen.context_length is None:
        return SHOTS
    room = frozen.context_length - sample_tokens
    return max(count for count in range(SHOTS + 1) if count == 0 or len(data.shots(count)) <= room)


@torch.no_grad()
def emitted_prompt(at: Apparatus) -> Float[Tensor, "P H"]:
    """The trained prompt, of a conditional one what it emits on average over the validation samples, with conditions
    as its own run had them."""
    snapshot, validation = trained_prompt(at.config), at.data.held_out("validation")
    width = snapshot.shape.conditions
    if width:
        mode: Any = told_by_first(lambda: source_result(at.config).prompt.condition_mode)
        validation = set_conditions(validation, replace(at.config, condition=mode))
    conditions = [example.conditions[:width] for example in validation]
    return snapshot.prompt(torch.tensor(conditions, dtype=torch.float32).view(len(conditions), width)).mean(dim=0)


def nearest_tokens(rows: Float[Tensor, "P H"], vocabulary: Float[Tensor, "V H"]) -> Int[Tensor, " P"]:
    """The token whose embedding has the least Euclidean distance to each row."""
    return torch.cdist(rows[None], vocabulary[None])[0].argmin(dim=1)


def measure_frequencies(
    at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int
) -> Measured:
    """Losses under the frequencies of training labels, and the outcome of the answer that is most often right."""
    score_first, vocabulary = at.config.score_first, at.frozen.model.config.get_text_config().vocab_size
    counted = (scored_labels(example, score_first) for example, _ in islice(at.data.training(None), COUNTED))
    seen = count_labels(counted, vocabulary)
    asked = [[scored_labels(example, score_first) for example in examples] for examples in (validation, test)]
    tables = (overall_nats(seen), nats_by_place(seen))
    better = min(tables, key=lambda nats: sum(paid(nats, labels) for labels in asked[0]))
    losses = [np.array([paid(better, labels) for labels in some]) for some in asked]
    items = [items_of(at.config, examples, nats) for examples, nats in zip((validation, test), losses, strict=True)]
    measured = from_items(at.config, items[1], items[0])
    return _with_outcome(at, measured, at.data.constant_outcome())


def _with_outcome(at: Apparatus, measured: Measured, outcome: NDArray[np.float64] | None) -> Measured:
    """With what is scored on each test item, where the task has an outcome and this form of it."""
    if at.config.task.outcome is None or outcome is None:
        return measured
    return with_outcome(measured, at.config.task.outcome, outcome, mean_outcome(measured.items, outcome))


def count_labels(answers: Iterable[Sequence[int]], vocabulary: int) -> NDArray[np.int64]:
    """[64, V] how often each token is the first label of an answer, the second, ..., the 64th or a later one."""
    counts = np.zeros((PLACES, vocabulary), dtype=np.int64)
    for labels in answers:
        np.add.at(counts, (_places(labels), np.asarray(labels, dtype=np.int64)), 1)
    return counts


def overall_nats(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """[1, V] what each token costs wherever it stands."""
    total = counts.sum(axis=0) + UNSEEN
    return -np.log(total / total.sum())[None]


def nats_by_place(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """[64, V] what each token costs at each place, as if it had been seen there once more, drawn from all places."""
    prior = np.exp(-overall_nats(counts))
    return -np.log((counts + prior) / (counts.sum(axis=1, keepdims=True) + 1))


def paid(nats: NDArray[np.float64], labels: Sequence[int]) -> float:
    """Nats of an answer by a table [1 or 64, V]."""
    return float(nats[np.minimum(_places(labels), len(nats) - 1), np.asarray(labels, dtype=np.int64)].sum())


def _places(labels: Sequence[int]) -> NDArray[np.int64]:
    return np.minimum(np.arange(len(labels)), PLACES - 1)


def measure_source(at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int) -> Measured:
    """What the source of the test items pays for them, and where each has one right answer, that."""
    nats = at.data.exact_test_nats()
    if nats is None:
        raise ValueError(f"{at.config.task.name} does not know its source")
    items = items_of(at.config, test, nats)
    measured = from_items(at.config, items, items)
    unknown = Metric(None, reason="the source is known for test items alone", unit="nats/token")
    measured = measured._replace(metrics=measured.metrics | {"validation_loss": unknown})
    return _with_outcome(at, measured, np.ones(len(nats)) if at.data.is_determined() else None)


def _with_tokens(at: Apparatus, ids: Sequence[int]) -> Apparatus:
    rows = at.frozen.vocabulary[list(ids)]
    with torch.no_grad():
        at.prompt.rows.copy_(rows)
    return at
