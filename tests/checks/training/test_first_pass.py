"""Is what a run pays for its samples at first sight what a plain loop pays, however the steps are made?"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import soft_prompts.training.gradients as gradients_module
from soft_prompts.common.errors import Interrupted
from soft_prompts.config import RunConfig
from soft_prompts.engine.batch import Batch, collate
from soft_prompts.engine.forward import TokenLosses, token_losses
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.task import Example, Position
from soft_prompts.training.checkpoint import State
from soft_prompts.training.events import EventLog
from soft_prompts.training.loop import Fit, Hooks, Progress, set_conditions, train
from soft_prompts.training.measures import first_pass
from soft_prompts.training.seen import SEEN, UNKNOWN, Seen, identity_of
from tests.checks.made.samples import draw_examples

STEPS, BATCH = 5, 4
CONFIG = RunConfig(
    ChessTask(), "tiny", 2, prompt="direct", condition="none", steps=STEPS, batch_size=BATCH, warmup_steps=0,
    schedule="constant", learning_rate=0.05, weight_decay=0.0, clip=1.0, checkpoint_every=1, validate_every=1,
)  # fmt: skip


def samples() -> list[Example]:
    """Nine places, seven samples: one stands twice in one step, one again in the next, under other clusters."""
    drawn = draw_examples(7, longest=10)
    again = [drawn[1]._replace(cluster=91), drawn[2]._replace(cluster=92)]
    return [*drawn[:3], again[0], *drawn[3:6], again[1], drawn[6]]


class Paid(NamedTuple):
    """By the plain loop."""

    nats: float
    tokens: int
    units: int
    samples: int


def prompt_for(frozen: FrozenModel, config: RunConfig = CONFIG) -> nn.Module:
    shape = PromptShape(config.tokens, frozen.hidden_size, 0)
    return build_prompt(config.prompt, shape, frozen.vocabulary, config.init, config.seed)


def plain_loop(frozen: FrozenModel, examples: Sequence[Example], config: RunConfig = CONFIG) -> Paid:
    """Steps by hand, one sample at a time; of a sample that was not there before, its nats before the update."""
    prompt, number = prompt_for(frozen, config), 0
    adam = torch.optim.AdamW(prompt.parameters(), lr=config.learning_rate, weight_decay=0.0)
    known: set[tuple[Any, ...]] = set()
    nats, tokens, units = 0.0, 0, 0
    for _ in range(config.steps):
        losses = []
        for _ in range(config.batch_size):
            example = examples[number % len(examples)]
            number += 1
            whole = token_losses(frozen, prompt, collate([example._replace(conditions=())], frozen.pad_id))
            losses.append(whole)
            name = (*example.input_ids, None, *example.labels, None, *example.conditions)
            if name not in known:
                known.add(name)
                nats += float(whole.nats.detach().sum())
                tokens, units = tokens + len(whole.nats), units + example.units
        weights = [torch.ones_like(one.nats) if one.weights is None else one.weights for one in losses]
        total = sum((one.nats * weight).sum() for one, weight in zip(losses, weights, strict=True))
        adam.zero_grad()
        (total / sum(weight.sum() for weight in weights)).backward()
        nn.utils.clip_grad_norm_(prompt.parameters(), config.clip)
        adam.step()
    return Paid(nats, tokens, units, len(known))


class Made:
    """A run of the loop under check, and its states."""

    def __init__(self, frozen: FrozenModel, examples: Sequence[Example], **changes: Any) -> None:
        self.config, self.examples, self.states = replace(CONFIG, **changes), examples, list[State]()
        hooks = Hooks(self.keep, EventLog(None))
        self.fit = Fit(self.config, prompt_for(frozen, self.config), self.examples[:2], hooks)

    def keep(self, state: State) -> None:
        self.states.append(state._replace(tensors={name: it.clone() for name, it in state.tensors.items()}))

    def stream(self, position: Position | None) -> Iterator[tuple[Example, Position]]:
        for number in itertools.count(position["next"] if position else 0):
            yield self.examples[number % len(self.examples)], {"next": number + 1}

    @property
    def paid(self) -> Paid:
        progress = self.fit.progress
        assert progress.distinct_samples is not None
        facts = progress.first_pass_nats, progress.first_pass_tokens, progress.first_pass_units
        return Paid(*facts, progress.distinct_samples)


def go(frozen: FrozenModel, *made: Made, states: Sequence[State | None] = (), stop_after: int = 10**6) -> Made:
    asked = itertools.count(1)
    for one, state in itertools.zip_longest(made, states):
        one.fit.begin(one.stream, state)
    train(frozen, [one.fit for one in made], lambda: next(asked) > stop_after, lambda fits: None)
    return made[0]


def alike(one: Paid, other: Paid) -> bool:
    return one[1:] == other[1:] and one.nats == pytest.approx(other.nats, rel=1e-5)


def test_a_run_pays_what_a_plain_loop_pays(frozen: FrozenModel) -> None:
    expected = plain_loop(frozen, samples())
    assert expected.samples == 7
    assert expected.units == sum(example.units for example in {identity_of(one): one for one in samples()}.values())
    assert alike(go(frozen, Made(frozen, samples())).paid, expected)
    none_again = plain_loop(frozen, [example._replace(labels=[*example.labels[:-1], 9 + place])
                                     for place, example in enumerate(samples())])  # fmt: skip
    assert none_again.samples == 9  # the second sight did matter


@pytest.mark.parametrize("size", [1, 2, 3])
def test_micro_batches_pay_the_same(one_frozen: FrozenModel, size: int) -> None:
    assert alike(
        go(one_frozen, Made(one_frozen, samples(), micro_batch_size=size)).paid, plain_loop(one_frozen, samples())
    )


def test_weights_are_for_learning_and_not_for_paying(one_frozen: FrozenModel) -> None:
    weighted = [one._replace(weights=[0.1 + place % 3 for place in range(len(one.labels))]) for one in samples()]
    expected = plain_loop(one_frozen, weighted)
    assert alike(go(one_frozen, Made(one_frozen, weighted)).paid, expected)
    assert not alike(plain_loop(one_frozen, samples()), expected)  # they did change what was learnt


def test_together_each_pays_its_own(frozen: FrozenModel) -> None:
    others = [samples()[::-1], samples()[:2], draw_examples(20, seed=3, longest=8)]
    together = [Made(frozen, samples()), *(Made(frozen, some) for some in others), Made(frozen, samples(), steps=2)]
    go(frozen, *together)
    for one in together:
        assert alike(one.paid, plain_loop(frozen, one.examples, one.config))
    assert [one.paid.samples for one in together] == [7, 7, 2, 20, 6]


def one_by_one(frozen: FrozenModel, parts: Sequence[tuple[nn.Module, Batch]]) -> list[TokenLosses]:
    return [token_losses(frozen, prompt, batch) for prompt, batch in parts]


def test_together_to_the_bit_where_the_engine_takes_them_one_by_one(
    one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients_module, "token_losses_together", one_by_one)
    alone = go(one_frozen, Made(one_frozen, samples())).paid
    assert go(one_frozen, Made(one_frozen, samples()), Made(one_frozen, samples()[:2])).paid == alone


@pytest.mark.parametrize("steps", range(1, STEPS))
def test_a_resumed_run_pays_the_same_to_the_bit(one_frozen: FrozenModel, steps: int) -> None:
    """Stopped in the middle of a step too: its samples were not met."""
    whole = go(one_frozen, Made(one_frozen, samples()))
    for more in (0, 1):
        begun = Made(one_frozen, samples())
        with pytest.raises(Interrupted):
            go(one_frozen, begun, stop_after=2 * steps + more)
        assert begun.states[-1].step == steps
        resumed = go(one_frozen, Made(one_frozen, samples()), states=[begun.states[-1]])
        assert resumed.paid == whole.paid
        assert torch.equal(resumed.states[-1].tensors[SEEN], whole.states[-1].tensors[SEEN])


def test_a_step_that_is_not_taken_meets_nobody(one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step is skipped: its samples are met when they come again, and paid for then."""
    real, calls = gradients_module.batch_losses, itertools.count()

    def poisoned(frozen: FrozenModel, parts: Any) -> Any:
        bad = next(calls) == 0
        return [one._replace(nats=one.nats * math.nan) if bad else one for one in real(frozen, parts)]

    monkeypatch.setattr(gradients_module, "batch_losses", poisoned)
    four = samples()[:3] + samples()[4:5]
    skipped = go(one_frozen, Made(one_frozen, four, steps=3)).paid
    assert skipped.samples == 4
    assert alike(skipped, plain_loop(one_frozen, four, replace(CONFIG, steps=2)))


def test_a_state_of_an_older_version_goes_on_and_says_what_is_not_known(one_frozen: FrozenModel) -> None:
    whole, begun = go(one_frozen, Made(one_frozen, samples())), Made(one_frozen, samples())
    with pytest.raises(Interrupted):
        go(one_frozen, begun, stop_after=4)
    newer = {"distinct_samples", *(name for name in asdict(Progress()) if name.startswith("first_pass_"))}
    assert len(newer) == 4
    state = begun.states[-1]
    facts = {"progress": {name: it for name, it in state.facts["progress"].items() if name not in newer}}
    old = State(state.step, {name: it for name, it in state.tensors.items() if name != SEEN}, facts)
    resumed = go(one_frozen, Made(one_frozen, samples()), states=[old])
    assert same(resumed.fit.prompt, whole.fit.prompt)
    assert resumed.fit.progress.distinct_samples is None
    again = go(one_frozen, Made(one_frozen, samples()), states=[resumed.states[0]])  # and once more
    assert again.fit.progress.distinct_samples is None
    for one in (resumed, again):
        metrics = first_pass(one.fit.progress, "move")
        assert {(metric.value, metric.reason) for metric in metrics.values()} == {(None, UNKNOWN)}
        assert metrics.keys() == first_pass(whole.fit.progress, "move").keys() == newer
    known = first_pass(whole.fit.progress, "move")
    assert {name: metric.value for name, metric in known.items()} == {
        name: getattr(whole.fit.progress, name) for name in newer
    }
    assert {metric.unit for metric in known.values()} == {"samples", "nats", "tokens", "moves"}
    assert {metric.n for metric in known.values()} == {7}


def same(one: nn.Module, other: nn.Module) -> bool:
    theirs: dict[str, Tensor] = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def test_a_sample_is_known_by_its_tokens_labels_and_conditions_alone() -> None:
    one = Example([1, 2, 3], [1, 2, 3], (0.5,), insert_at=1, units=3, cluster=7)
    assert identity_of(one) == identity_of(one._replace(cluster=8)) == identity_of(one._replace(input_ids=(1, 2, 3)))
    others = [
        one._replace(input_ids=[1, 2, 4]),
        one._replace(labels=[1, 2, -100]),
        one._replace(conditions=(0.25,)),
        one._replace(conditions=()),
        one._replace(input_ids=[1, 2], labels=[3, 1, 2, 3]),
    ]
    assert len({identity_of(other) for other in [one, *others]}) == len(others) + 1
    seen = Seen()
    assert seen.draw([one, others[0], one]) == [True, True, False]
    assert seen.draw([one, one]) == [True, False]  # the step was not taken
    seen.keep()
    assert seen.draw([others[0], one]) == [True, False]
    assert len(seen) == 1


def test_conditions_that_the_run_changes_make_no_sample_new(one_frozen: FrozenModel) -> None:
    """Samples are known by what the data say: dealt conditions would make each a new one every time."""
    made = Made(one_frozen, samples())
    made.config = made.fit.config = replace(CONFIG, prompt="mlp", condition="shuffled")
    made.fit.stream = made.stream(None)
    share, _ = made.fit.draw()
    assert list(share.examples) == set_conditions(samples()[:BATCH], made.config) != samples()[:BATCH]
    made.fit.seen.keep()
    assert share.fresh == [True, True, True, False]
    share, _ = made.fit.draw()
    assert share.fresh == [True, True, True, False]
    assert made.fit.new_units == sum(example.units for example in samples()[4:7])
