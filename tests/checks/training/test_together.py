"""Do runs that take their steps together end as each of them would alone, whatever becomes of the others?"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from soft_prompts.common.errors import Interrupted
from soft_prompts.config import RunConfig
from soft_prompts.engine.batch import Batch
from soft_prompts.engine.forward import TokenLosses, token_losses
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.task import Example, Position
from soft_prompts.training import gradients
from soft_prompts.training.checkpoint import State
from soft_prompts.training.events import EventLog
from soft_prompts.training.loop import Fit, Hooks, train

MakeExamples = Callable[..., list[Example]]
BASE = RunConfig(
    ChessTask(), "tiny", 3, steps=6, batch_size=4, warmup_steps=1, learning_rate=0.02, validate_every=2, hidden_width=16
)
UNLIKE = [
    BASE,
    replace(BASE, seed=1, learning_rate=0.05, schedule="constant"),
    replace(BASE, tokens=1, prompt="direct", condition="none", init="zeros"),
    replace(BASE, tokens=7, prompt="resnet", hidden_layers=1, residual_width=8, condition="shuffled", steps=4),
    replace(BASE, tokens=2, prompt="linear", condition="constant", init="normal", validate_every=3, clip=0.01),
]
"""Runs that differ in all that runs of a group may differ in."""


def copied(state: State) -> State:
    """As if from the disk: the tensors themselves go on changing."""
    return state._replace(tensors={name: tensor.clone() for name, tensor in state.tensors.items()})


class Kept:
    """A run, its states, and the losses of its steps."""

    def __init__(self, frozen: FrozenModel, config: RunConfig, examples: Sequence[Example]) -> None:
        shape = PromptShape(config.tokens, frozen.hidden_size, len(config.condition_names), config.hidden_layers, 16, 8)
        prompt = build_prompt(config.prompt, shape, frozen.vocabulary, config.init, config.seed)
        self.states: list[State] = []
        self.losses: list[float] = []
        self.fit = Fit(config, prompt, examples[:5], Hooks(self.keep, EventLog(None)))
        self.examples = examples

    def keep(self, state: State) -> None:
        self.states.append(copied(state))

    def stream(self, position: Position | None) -> Iterator[tuple[Example, Position]]:
        """An order of its own for each seed."""
        for number in itertools.count(position["next"] if position else 0):
            place = (number * (2 * self.fit.config.seed + 1)) % len(self.examples)
            yield self.examples[place], {"next": number + 1}

    @property
    def prompt(self) -> dict[str, Tensor]:
        return self.fit.prompt.state_dict()


def go(frozen: FrozenModel, kept: Sequence[Kept], states: Sequence[State | None] = (), stop_after: int = 10**6) -> None:
    """Train them together; a stop is asked for after so many micro-batches and steps."""
    asked = itertools.count(1)
    for one, state in itertools.zip_longest(kept, states):
        one.fit.begin(one.stream, state and copied(state))

    def report(fits: Sequence[Fit]) -> None:
        for one in kept:
            if one.fit in fits:
                one.losses.append(one.fit.loss)

    train(frozen, [one.fit for one in kept], lambda: next(asked) > stop_after, report)


def one_by_one(frozen: FrozenModel, parts: Sequence[tuple[nn.Module, Batch]]) -> list[TokenLosses]:
    return [token_losses(frozen, prompt, batch) for prompt, batch in parts]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that takes prompts one by one: together and alone are then equal to the bit."""
    monkeypatch.setattr(gradients, "token_losses_together", one_by_one)


def same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def examples(make_examples: MakeExamples) -> list[Example]:
    return make_examples(15, longest=12)


@pytest.fixture
def alone(frozen: FrozenModel, examples: list[Example]) -> list[Kept]:
    """Each of the runs by itself."""
    runs = [Kept(frozen, config, examples) for config in UNLIKE]
    for run in runs:
        go(frozen, [run])
    return runs


def test_the_losses_are_those_of_each_alone(frozen: FrozenModel, examples: list[Example], alone: list[Kept]) -> None:
    together = [Kept(frozen, config, examples) for config in UNLIKE]
    go(frozen, together)
    for one, other in zip(together, alone, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=1e-4)
        assert len(one.losses) == one.fit.config.steps
        assert one.fit.progress.best_loss == pytest.approx(other.fit.progress.best_loss, rel=1e-4)
        assert one.fit.progress.target_tokens == other.fit.progress.target_tokens


@pytest.mark.usefixtures("plain")
def test_the_bits_are_those_of_each_alone_where_the_engine_takes_them_one_by_one(
    frozen: FrozenModel, examples: list[Example], alone: list[Kept]
) -> None:
    together = [Kept(frozen, config, examples) for config in UNLIKE]
    go(frozen, together)
    for one, other in zip(together, alone, strict=True):
        assert one.losses == other.losses
        assert same_bits(one.prompt, other.prompt)
        assert same_bits(one.states[-1].tensors, other.states[-1].tensors)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("frozen", ["gpt_neox"], indirect=True)
def test_what_is_stopped_together_goes_on_alone_or_together_to_the_bit(
    frozen: FrozenModel, examples: list[Example], alone: list[Kept]
) -> None:
    """Two calls a step ask for a stop: it comes in the sixth step, when the fourth run has ended."""
    begun = [Kept(frozen, config, examples) for config in UNLIKE]
    with pytest.raises(Interrupted, match=r"^stopped after step 5;"):
        go(frozen, begun, stop_after=10)
    assert [one.states[-1].step for one in begun] == [5, 5, 5, 4, 5]
    rest = [Kept(frozen, config, examples) for config in UNLIKE]
    go(frozen, rest, [one.states[-1] for one in begun])
    single = [Kept(frozen, config, examples) for config in UNLIKE]
    for one, stopped in zip(single, begun, strict=True):
        go(frozen, [one], [stopped.states[-1]])
    for whole, one, other in zip(alone, rest, single, strict=True):
        assert same_bits(one.prompt, whole.prompt)
        assert same_bits(other.prompt, whole.prompt)
        assert one.losses == other.losses == whole.losses[5:]


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("frozen", ["gpt_neox"], indirect=True)
def test_runs_of_different_ages_go_on_together(frozen: FrozenModel, examples: list[Example], alone: list[Kept]) -> None:
    """One that was stopped alone after two steps, one at its end, and new ones."""
    old = Kept(frozen, UNLIKE[0], examples)
    with pytest.raises(Interrupted):
        go(frozen, [old], stop_after=4)
    together = [Kept(frozen, config, examples) for config in UNLIKE]
    go(frozen, together, [old.states[-1], None, None, alone[3].states[-1], None])
    for one, whole in zip(together, alone, strict=True):
        assert same_bits(one.prompt, whole.prompt)
    assert [len(one.losses) for one in together] == [4, 6, 6, 0, 6]


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("frozen", ["gpt_neox"], indirect=True)
def test_one_fails_and_the_others_go_on(
    frozen: FrozenModel, examples: list[Example], alone: list[Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = gradients.batch_losses
    monkeypatch.setattr("soft_prompts.training.loop.MOST_BAD_STEPS", 3)
    together = [Kept(frozen, config, examples) for config in UNLIKE]
    bad = together[1].fit.prompt

    def poisoned(frozen: FrozenModel, parts: Sequence[tuple[nn.Module, Batch]]) -> Any:
        losses = zip(real(frozen, parts), parts, strict=True)
        return [one._replace(nats=one.nats * math.nan) if prompt is bad else one for one, (prompt, _) in losses]

    monkeypatch.setattr(gradients, "batch_losses", poisoned)
    go(frozen, together)
    assert together[1].fit.failure == "loss or gradient was not finite in 3 steps in a row"
    for place in (0, 2, 3, 4):
        assert together[place].fit.failure is None
        assert same_bits(together[place].prompt, alone[place].prompt)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("frozen", ["gpt_neox"], indirect=True)
@pytest.mark.parametrize(("prompts", "samples"), [(5, 2), (5, 1), (2, 1), (1, 1)])
def test_memory_out_halves_the_samples_and_then_the_group(
    frozen: FrozenModel,
    examples: list[Example],
    alone: list[Kept],
    monkeypatch: pytest.MonkeyPatch,
    prompts: int,
    samples: int,
) -> None:
    """Room for so many prompts, with so many samples each."""
    real, seen = gradients.batch_losses, set[tuple[int, int]]()

    def small(frozen: FrozenModel, parts: Sequence[tuple[nn.Module, Batch]]) -> Any:
        size = len(parts), max(len(batch.input_ids) for _, batch in parts)
        if size > (prompts, samples) and size[0] * size[1] > prompts * samples:
            raise torch.OutOfMemoryError("too much")
        seen.add(size)
        return real(frozen, parts)

    monkeypatch.setattr(gradients, "batch_losses", small)
    together = [Kept(frozen, config, examples) for config in UNLIKE]
    go(frozen, together)
    assert max(seen)[0] <= prompts
    assert {size for _, size in seen} == {samples}
    for one, other in zip(together, alone, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=1e-3)
        assert one.states[-1].facts["progress"]["micro_batch_size"] == samples


def test_one_sample_of_one_prompt_that_does_not_fit_is_an_error(
    one_frozen: FrozenModel, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> Any:
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setattr(gradients, "batch_losses", none)
    with pytest.raises(torch.OutOfMemoryError):
        go(one_frozen, [Kept(one_frozen, config, examples) for config in UNLIKE])
