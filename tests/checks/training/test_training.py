"""Does a step move the prompt alone, by the right gradient, however it is split, and does a bad step do no harm?"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import soft_prompts.training.gradients as gradients_module
import soft_prompts.training.loop as training
from soft_prompts.common.errors import Interrupted
from soft_prompts.config import RunConfig
from soft_prompts.engine.batch import Batch, collate
from soft_prompts.engine.evaluation import ItemLosses
from soft_prompts.engine.forward import token_losses
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.prompts.kinds import PROMPTS
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.task import UNSCORED, Example, Position
from soft_prompts.training.checkpoint import State
from soft_prompts.training.events import EventLog
from soft_prompts.training.gradients import BatchLoss, batch_loss, batch_losses
from soft_prompts.training.loop import Fit, Hooks, Progress, learning_rate, set_conditions, train

MakeExamples = Callable[..., list[Example]]
SETTINGS = RunConfig(
    ChessTask(), "tiny", tokens=3, steps=4, batch_size=6, warmup_steps=0, schedule="constant", clip=1e9
)


class Trained(NamedTuple):
    """What a training run told the world."""

    progress: Progress
    states: list[State]
    reported: list[float]
    failure: str | None


def settings(**changes: Any) -> RunConfig:
    return replace(SETTINGS, **({"checkpoint_every": 1, "validate_every": 1} | changes))


def run(
    frozen: FrozenModel,
    prompt: nn.Module,
    examples: list[Example],
    config: RunConfig,
    stop_asked: Callable[[], bool] = lambda: False,
    resume: State | None = None,
    states: list[State] | None = None,
) -> Trained:
    """Train on the examples again and again; the position is the number of the next one."""
    states, reported = [] if states is None else states, []

    def stream(position: Position | None) -> Iterator[tuple[Example, Position]]:
        for number in itertools.count(position["next"] if position else 0):
            yield examples[number % len(examples)], {"next": number + 1}

    def keep(state: State) -> None:
        """As if written to the disk: the tensors themselves go on changing."""
        states.append(state._replace(tensors={name: tensor.clone() for name, tensor in state.tensors.items()}))

    fit = Fit(config, prompt, examples[:4], Hooks(keep, EventLog(None))).begin(stream, resume)
    train(frozen, [fit], stop_asked, lambda fits: reported.extend(fit.loss for fit in fits))
    return Trained(fit.progress, states, reported, fit.failure)


def prompt_of(frozen: FrozenModel, kind: str = "mlp", tokens: int = 3) -> nn.Module:
    shape = PromptShape(tokens, frozen.hidden_size, 2 if PROMPTS[kind].needs_conditions else 0, 1, 32, 16)
    return build_prompt(kind, shape, frozen.vocabulary)


def test_only_the_prompt_moves(frozen: FrozenModel, make_examples: MakeExamples) -> None:
    before = {name: weight.clone() for name, weight in frozen.model.state_dict().items()}
    prompt = prompt_of(frozen)
    start = {name: weight.clone() for name, weight in prompt.state_dict().items()}
    run(frozen, prompt, make_examples(12), settings(steps=3))
    assert all(torch.equal(weight, before[name]) for name, weight in frozen.model.state_dict().items())
    assert all(weight.grad is None and not weight.requires_grad for weight in frozen.model.parameters())
    assert not frozen.model.training
    assert all(not torch.equal(weight, start[name]) for name, weight in prompt.state_dict().items())


def first_gradient(frozen: FrozenModel, examples: list[Example], **changes: Any) -> dict[str, Tensor]:
    """What the first step saw, out of Adam's first moment, which is a tenth of it."""
    prompt = prompt_of(frozen)
    names = [name for name, _ in prompt.named_parameters()]
    state = run(frozen, prompt, examples, settings(steps=1, **changes)).states[0]
    return {name: 10 * state.tensors[f"adam.{index}.exp_avg"] for index, name in enumerate(names)}


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).norm() / other[name].norm()) for name in one)


def test_the_gradient_is_that_of_the_mean_over_all_scored_tokens_of_the_step(
    one_frozen: FrozenModel, make_examples: MakeExamples
) -> None:
    examples = make_examples(6, longest=40)
    prompt = prompt_of(one_frozen)
    token_losses(one_frozen, prompt, collate(examples, one_frozen.pad_id)).nats.mean().backward()
    expected = {name: parameter.grad.clone() for name, parameter in prompt.named_parameters()}
    scored = {len([label for label in example.labels[1:] if label != UNSCORED]) for example in examples}
    assert len(scored) > 3  # else a mean of means would be right by chance
    for size in (None, 1, 2, 4, 5):
        assert distance(first_gradient(one_frozen, examples, micro_batch_size=size), expected) < 1e-5


@pytest.mark.parametrize("score_first", [False, True])
def test_weights_decide_what_each_token_counts_for(
    one_frozen: FrozenModel, make_examples: MakeExamples, score_first: bool
) -> None:
    """Against one token at a time; a weight of a first label that is dropped changes nothing."""
    examples = make_examples(6, longest=12)
    rng = np.random.default_rng(0)
    examples = [
        e._replace(weights=list(rng.uniform(0, 3, len(e.labels))), insert_at=place % 2) if place % 3 else e
        for place, e in enumerate(examples)
    ]
    prompt = prompt_of(one_frozen)
    nats, divisor, tokens = torch.zeros(()), 0.0, 0
    for example in examples:
        for place, label in enumerate(example.labels):
            if label != UNSCORED and (place or (score_first and example.insert_at == 0)):
                alone = [label if place == here else UNSCORED for here in range(len(example.labels))]
                batch = collate([example._replace(labels=alone, weights=None)], one_frozen.pad_id, score_first)
                weight = 1.0 if example.weights is None else example.weights[place]
                nats, divisor = nats + weight * token_losses(one_frozen, prompt, batch).nats.sum(), divisor + weight
                tokens += 1
    (nats / divisor).backward()
    expected = {name: parameter.grad.clone() for name, parameter in prompt.named_parameters()}
    for size in (None, 4):
        assert (
            distance(first_gradient(one_frozen, examples, micro_batch_size=size, score_first=score_first), expected)
            < 1e-5
        )
    loss = batch_loss(one_frozen, prompt, collate(examples, one_frozen.pad_id, score_first))
    assert float(loss.per_token) == pytest.approx(float(nats) / divisor, rel=1e-5)
    assert loss.tokens == tokens


def test_a_step_reports_nats_per_scored_token(one_frozen: FrozenModel, make_examples: MakeExamples) -> None:
    examples = make_examples(6)
    with torch.no_grad():
        expected = token_losses(one_frozen, prompt_of(one_frozen), collate(examples, one_frozen.pad_id)).nats
    for size in (None, 4):
        done = run(one_frozen, prompt_of(one_frozen), examples, settings(steps=1, micro_batch_size=size))
        assert done.reported[0] == pytest.approx(float(expected.mean()), rel=1e-5)
        assert done.progress.target_tokens == len(expected)


@pytest.mark.parametrize("score_first", [False, True])
def test_the_same_labels_are_scored_at_every_prompt_size(
    one_frozen: FrozenModel, make_examples: MakeExamples, score_first: bool
) -> None:
    batch = collate(make_examples(8), one_frozen.pad_id, score_first)
    counts = []
    for tokens in (0, 1, 2, 7):
        losses = token_losses(one_frozen, prompt_of(one_frozen, "direct", tokens), batch)
        counts.append(torch.bincount(losses.row, minlength=8).tolist())
    with_prompt = (batch.labels != UNSCORED).sum(dim=1).tolist()
    assert counts[1:] == [with_prompt] * 3
    assert (counts[0] == with_prompt) is not score_first


def test_a_long_gradient_is_clipped(one_frozen: FrozenModel, make_examples: MakeExamples) -> None:
    examples = make_examples(6)
    free, clipped = first_gradient(one_frozen, examples), first_gradient(one_frozen, examples, clip=0.01)
    norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in free.values()))
    assert norm > 0.01
    shorter = {name: gradient * 0.01 / norm for name, gradient in free.items()}
    assert distance(clipped, shorter) < 1e-4
    assert distance(first_gradient(one_frozen, examples, clip=norm * 1.1), free) < 1e-6


def test_learning_rates_by_hand() -> None:
    constant = replace(SETTINGS, steps=10, warmup_steps=4, learning_rate=0.8)
    assert [learning_rate(constant, step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    cosine = replace(constant, steps=8, schedule="cosine")
    half = math.sqrt(0.5)
    expected = [0.8 * (0.1 + 0.9 * (1 + cos) / 2) for cos in (1, half, 0, -half, -1)]
    assert [learning_rate(cosine, step) for step in range(4, 9)] == pytest.approx(expected)
    assert learning_rate(cosine, 8) == pytest.approx(0.08)
    assert learning_rate(replace(cosine, warmup_steps=0), 0) == 0.8
    assert learning_rate(replace(cosine, warmup_steps=20), 7) == pytest.approx(0.8 * 8 / 20)


def test_the_schedule_reaches_the_steps(one_frozen: FrozenModel, make_examples: MakeExamples) -> None:
    prompt = prompt_of(one_frozen, "direct")
    start = prompt.matrix.detach().clone()
    config = settings(steps=2, warmup_steps=10, learning_rate=1.0, weight_decay=0.0, condition="none")
    states = run(one_frozen, prompt, make_examples(6), config).states
    first = states[0].tensors["prompt.matrix"] - start
    assert float(first.abs().max()) == pytest.approx(0.1, rel=1e-3)  # Adam's first step is the rate itself
    moved = first.abs() > 0.05
    assert moved.any()


def poison(monkeypatch: pytest.MonkeyPatch, bad: Callable[[int], bool]) -> None:
    """Make the loss NaN in the steps that `bad` names (one micro-batch a step)."""
    steps = itertools.count()

    def poisoned(frozen: FrozenModel, parts: list[tuple[nn.Module, Batch]]) -> list[BatchLoss]:
        [loss] = batch_losses(frozen, parts)
        return [loss._replace(nats=loss.nats * math.nan) if bad(next(steps)) else loss]

    monkeypatch.setattr(gradients_module, "batch_losses", poisoned)


def test_a_step_without_a_finite_loss_changes_nothing_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, one_frozen: FrozenModel, make_examples: MakeExamples
) -> None:
    poison(monkeypatch, lambda step: step in (1, 3))
    done = run(one_frozen, prompt_of(one_frozen), make_examples(12), settings(steps=5))
    prompts = [{n: t for n, t in state.tensors.items() if n[:5] in ("promp", "adam.")} for state in done.states]
    same = [all(torch.equal(one[name], two[name]) for name in one) for one, two in itertools.pairwise(prompts)]
    assert same == [True, False, True, False]
    assert (done.progress.step, done.progress.skipped_steps, done.progress.bad_in_a_row) == (5, 2, 0)
    assert [math.isnan(loss) for loss in done.reported] == [False, True, False, True, False]


def test_ten_bad_steps_in_a_row_end_the_training(
    monkeypatch: pytest.MonkeyPatch, one_frozen: FrozenModel, make_examples: MakeExamples
) -> None:
    states: list[State] = []
    poison(monkeypatch, lambda step: step == 2 or step >= 5)
    done = run(one_frozen, prompt_of(one_frozen), make_examples(6), settings(steps=50), states=states)
    assert done.failure == "loss or gradient was not finite in 10 steps in a row"
    assert states[-1].step == 14  # the fifteenth was the tenth bad one in a row
    assert states[-1].facts["progress"]["skipped_steps"] == 10


def test_the_prompt_of_the_best_validation_is_the_one_left(
    monkeypatch: pytest.MonkeyPatch, one_frozen: FrozenModel, make_examples: MakeExamples
) -> None:
    planned = iter([3.0, 1.0, math.nan, 2.0, 1.0])
    one = np.ones(1, dtype=np.int64)
    monkeypatch.setattr(training, "item_losses", lambda *_: ItemLosses(np.array([next(planned)]), one, one))
    prompt = prompt_of(one_frozen)
    done = run(one_frozen, prompt, make_examples(6), settings(steps=5))
    assert (done.progress.best_step, done.progress.best_loss) == (2, 1.0)
    best, last = done.states[1].tensors, done.states[4].tensors
    for name, parameter in prompt.state_dict().items():
        assert torch.equal(parameter, best[f"prompt.{name}"])
        assert not torch.equal(parameter, last[f"prompt.{name}"])


def test_no_finite_validation_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, one_frozen: FrozenModel, make_examples: MakeExamples
) -> None:
    nothing = ItemLosses(np.array([math.nan]), np.ones(1, dtype=np.int64), np.ones(1, dtype=np.int64))
    monkeypatch.setattr(training, "item_losses", lambda *_: nothing)
    done = run(one_frozen, prompt_of(one_frozen), make_examples(6), settings(steps=2))
    assert done.failure == "no validation loss was finite"


def test_a_stop_in_the_middle_of_a_step_drops_it_and_the_rest_is_the_same_to_the_bit(
    one_frozen: FrozenModel, make_examples: MakeExamples
) -> None:
    examples, config = make_examples(15), settings(steps=6, micro_batch_size=2, schedule="cosine")
    whole, resumed = prompt_of(one_frozen), prompt_of(one_frozen)
    run(one_frozen, whole, examples, config)
    states: list[State] = []
    asked = itertools.count(1)
    with pytest.raises(Interrupted, match="stopped after step 2"):
        run(one_frozen, resumed, examples, config, stop_asked=lambda: next(asked) > 10, states=states)
    done = run(one_frozen, prompt := prompt_of(one_frozen), examples, config, resume=states[-1])
    assert done.progress.step == 6
    assert all(torch.equal(tensor, prompt.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_a_smaller_micro_batch_is_taken_on_the_way(one_frozen: FrozenModel, make_examples: MakeExamples) -> None:
    examples = make_examples(6)
    first = run(one_frozen, prompt_of(one_frozen), examples, settings(steps=2)).states[0]
    assert first.facts["progress"]["micro_batch_size"] == 6
    done = run(one_frozen, prompt_of(one_frozen), examples, settings(steps=2, micro_batch_size=2), resume=first)
    assert done.progress.micro_batch_size == 2


def test_memory_out_in_the_first_step_halves_the_micro_batch(
    monkeypatch: pytest.MonkeyPatch, one_frozen: FrozenModel, make_examples: MakeExamples
) -> None:
    def small_memory(frozen: FrozenModel, parts: list[tuple[nn.Module, Batch]]) -> list[BatchLoss]:
        if len(parts[0][1].input_ids) > 2:
            raise torch.OutOfMemoryError("too much")
        return batch_losses(frozen, parts)

    examples = make_examples(6)
    expected = first_gradient(one_frozen, examples)
    monkeypatch.setattr(gradients_module, "batch_losses", small_memory)
    assert distance(first_gradient(one_frozen, examples), expected) < 1e-5


@pytest.mark.parametrize("kind", PROMPTS)
def test_every_kind_overfits_one_batch(one_frozen: FrozenModel, kind: str) -> None:
    """One text of four tokens: the loss falls below a tenth of its start."""
    text = [101, 57, 200, 33]
    examples = [Example(text, text, (0.2, 0.4))] * 2
    config = settings(steps=80, batch_size=2, learning_rate=0.03, validate_every=80, checkpoint_every=80)
    config = replace(config, condition="true" if PROMPTS[kind].needs_conditions else "none")
    done = run(one_frozen, prompt_of(one_frozen, kind, tokens=6), examples, config)
    assert done.reported[-1] < 0.1 * done.reported[0]


def test_conditions_are_dealt_as_asked() -> None:
    examples = [Example([number], [number], (float(number), 0.0)) for number in range(5)]
    assert set_conditions(examples, SETTINGS) == examples
    shuffled = set_conditions(examples, replace(SETTINGS, condition="shuffled"))
    assert [example.conditions[0] for example in shuffled] == [4, 0, 1, 2, 3]
    assert [example.input_ids for example in shuffled] == [example.input_ids for example in examples]
    for config in (replace(SETTINGS, condition="none"), replace(SETTINGS, tokens=0)):
        assert {example.conditions for example in set_conditions(examples, config)} == {()}
    assert set_conditions([], replace(SETTINGS, condition="shuffled")) == []
    constant = set_conditions(examples, replace(SETTINGS, condition="constant"))
    assert {example.conditions for example in constant} == {(1.0, 1.0)}


def test_a_prompt_without_conditions_is_trained_as_a_matrix(
    one_frozen: FrozenModel, make_examples: MakeExamples
) -> None:
    prompt = prompt_of(one_frozen, "direct")
    assert isinstance(prompt, DirectPrompt)
    done = run(one_frozen, prompt, make_examples(6), settings(steps=5, learning_rate=0.01, condition="none"))
    assert done.reported[-1] < done.reported[0]


def test_a_run_ends_when_the_validation_loss_has_stopped_falling_and_resumes_to_the_same_end(
    one_frozen: FrozenModel, make_examples: MakeExamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.0 falls; 1.9985 is no thousandth better, 1.9 is; two in a row that are not end the run at step 5."""
    losses = [2.0, 1.9985, 1.9, 1.8999, 2.5, 1.0, 1.0]
    asked = iter(losses)
    monkeypatch.setattr(
        training, "item_losses", lambda *_: ItemLosses(np.array([next(asked)]), np.array([1]), np.array([0]))
    )
    examples, config = make_examples(6), settings(steps=7, patience=2)
    done = run(one_frozen, prompt_of(one_frozen), examples, config)
    assert (done.progress.step, done.progress.best_step, done.progress.stalled) == (5, 4, 2)
    assert [state.facts["progress"]["stalled"] for state in done.states] == [0, 1, 0, 1, 2]
    for place in (1, 3, 4):  # before the end, one validation before it, and after it
        asked = iter(losses[place + 1 :])
        again = run(one_frozen, prompt := prompt_of(one_frozen), examples, config, resume=done.states[place])
        assert replace(again.progress, seconds=0.0, wait_seconds=0.0) == replace(
            done.progress, seconds=0.0, wait_seconds=0.0
        )
        best = done.states[-1].tensors
        assert all(torch.equal(value, best[f"best.{name}"]) for name, value in prompt.state_dict().items())
    asked = iter(losses)
    assert run(one_frozen, prompt_of(one_frozen), examples, replace(config, patience=None)).progress.step == 7
