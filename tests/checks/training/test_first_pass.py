"""Is what a run paid for samples that it met first counted right? Against a loop written by hand."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count

import pytest
import torch

from soft_prompts.config import RunConfig
from soft_prompts.engine.batch import collate
from soft_prompts.engine.forward import token_losses
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import Prompt, PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.task import Example, Position
from soft_prompts.training.checkpoint import State
from soft_prompts.training.events import EventLog
from soft_prompts.training.loop import Fit, Hooks, learning_rate, train
from soft_prompts.training.measures import first_pass
from soft_prompts.training.seen import identity_of

MakeExamples = Callable[..., list[Example]]
CONFIG = RunConfig(
    ChessTask(),
    "tiny",
    2,
    steps=5,
    batch_size=4,
    warmup_steps=1,
    learning_rate=0.05,
    validate_every=5,
    prompt="direct",
    condition="none",
)
SEEN_IN_ORDER = [0, 1, 2, 1, 3, 4, 0, 5, 5, 5, 2, 3, 6, 0, 1, 2, 3, 4, 5, 6]  # repeats within steps and between them


class Run:
    """A run on a stream that repeats itself, and its states."""

    def __init__(self, frozen: FrozenModel, examples: Sequence[Example], config: RunConfig = CONFIG) -> None:
        self.examples, self.states = examples, list[State]()
        self.prompt = new_prompt(frozen)
        self.fit = Fit(config, self.prompt, examples[:2], Hooks(self.keep, EventLog(None)))

    def keep(self, state: State) -> None:
        self.states.append(state._replace(tensors={name: one.clone() for name, one in state.tensors.items()}))

    def stream(self, position: Position | None) -> Iterator[tuple[Example, Position]]:
        for number in count(position["next"] if position else 0):
            yield self.examples[SEEN_IN_ORDER[number % len(SEEN_IN_ORDER)]], {"next": number + 1}

    def go(self, frozen: FrozenModel, state: State | None = None) -> "Run":
        train(frozen, [self.fit.begin(self.stream, state)], lambda: False, lambda fits: None)
        return self


def new_prompt(frozen: FrozenModel) -> Prompt:
    return build_prompt("direct", PromptShape(2, frozen.hidden_size, 0, 1, 16, 8), frozen.vocabulary, "vocabulary", 0)


@pytest.fixture
def examples(make_examples: MakeExamples) -> list[Example]:
    made = make_examples(7, longest=12)
    return [one._replace(units=number + 1) for number, one in enumerate(made)]


def by_hand(frozen: FrozenModel, examples: Sequence[Example]) -> tuple[float, int, int, int]:
    """Sums of nats, tokens and units over first sights, and how many: one sample after another, before each update."""
    prompt, met = new_prompt(frozen), set[int]()
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=1.0, betas=(0.9, 0.999), weight_decay=CONFIG.weight_decay)
    nats, tokens, units = 0.0, 0, 0
    for step in range(CONFIG.steps):
        places = SEEN_IN_ORDER[step * 4 : step * 4 + 4]
        bare = [examples[place]._replace(conditions=()) for place in places]
        for place, example in zip(places, bare, strict=True):
            if place not in met:
                met.add(place)
                with torch.no_grad():
                    losses = token_losses(frozen, prompt, collate([example], frozen.pad_id)).nats
                nats, tokens, units = nats + float(losses.double().sum()), tokens + len(losses), units + example.units
        optimizer.zero_grad()
        token_losses(frozen, prompt, collate(bare, frozen.pad_id)).nats.mean().backward()
        torch.nn.utils.clip_grad_norm_(prompt.parameters(), CONFIG.clip)
        optimizer.param_groups[0]["lr"] = learning_rate(CONFIG, step)
        optimizer.step()
    return nats, tokens, units, len(met)


@pytest.mark.parametrize("micro_batch_size", [4, 1, 3])
def test_first_sights_are_those_counted_by_hand(
    one_frozen: FrozenModel, examples: list[Example], micro_batch_size: int
) -> None:
    config = replace(CONFIG, micro_batch_size=micro_batch_size)
    progress = Run(one_frozen, examples, config).go(one_frozen).fit.progress
    nats, tokens, units, distinct = by_hand(one_frozen, examples)
    assert progress.first_pass_nats == pytest.approx(nats, rel=1e-5)
    assert (progress.first_pass_tokens, progress.first_pass_units) == (tokens, units)
    assert progress.distinct_samples == distinct == 7
    metrics = first_pass(progress, "move")
    assert metrics["first_pass_nats"][:3] == (progress.first_pass_nats, None, 7)
    assert metrics["first_pass_units"].unit == "moves"


def test_weights_of_training_do_not_count(one_frozen: FrozenModel, examples: list[Example]) -> None:
    """At a rate of nothing, so that the weights change no prompt either."""
    config = replace(CONFIG, learning_rate=1e-30)
    weighed = [one._replace(weights=[0.25] * len(one.labels)) for one in examples]
    runs = [Run(one_frozen, some, config).go(one_frozen).fit.progress for some in (examples, weighed)]
    assert runs[0].first_pass_nats == pytest.approx(runs[1].first_pass_nats, rel=1e-6)


def test_every_state_goes_on_to_the_same_bits(one_frozen: FrozenModel, examples: list[Example]) -> None:
    whole = Run(one_frozen, examples, replace(CONFIG, checkpoint_every=1)).go(one_frozen)
    assert len(whole.states) == CONFIG.steps
    for state in whole.states[:-1]:
        again = Run(one_frozen, examples).go(one_frozen, state).fit.progress
        for name in ("first_pass_nats", "first_pass_tokens", "first_pass_units", "distinct_samples"):
            assert getattr(again, name) == getattr(whole.fit.progress, name)


def test_a_state_that_counted_nothing_goes_on_and_says_so(one_frozen: FrozenModel, examples: list[Example]) -> None:
    whole = Run(one_frozen, examples, replace(CONFIG, checkpoint_every=1)).go(one_frozen)
    state = whole.states[1]
    counted = {"distinct_samples", "first_pass_nats", "first_pass_tokens", "first_pass_units"}
    facts = {"progress": {name: fact for name, fact in state.facts["progress"].items() if name not in counted}}
    tensors = {name: one for name, one in state.tensors.items() if name != "seen"}
    again = Run(one_frozen, examples).go(one_frozen, State(state.step, tensors, facts))
    assert torch.equal(again.prompt.rows, whole.prompt.rows)
    for metric in first_pass(again.fit.progress, "move").values():
        assert metric.value is None
        assert "did not count" in str(metric.reason)


def test_samples_are_told_apart_by_what_is_asked_and_told() -> None:
    one = Example([1, 2, 3], [-100, 2, 3], (0.5,), insert_at=1, units=2, cluster=9)
    others = [
        one._replace(input_ids=[1, 2, 4]),
        one._replace(labels=[-100, -100, 3]),
        one._replace(conditions=(0.25,)),
        one._replace(input_ids=[1, 2], labels=[3, -100, 2, 3]),
    ]
    assert len({identity_of(sample) for sample in [one, *others]}) == 5
    assert identity_of(one._replace(cluster=3, units=1)) == identity_of(one)
