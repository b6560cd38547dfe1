"""Is a copy's lock opened by its secret alone, and is what a prompt opened measured against the secret?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from soft_prompts.config import RunConfig
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.experiments.evidence import locks, power
from soft_prompts.experiments.evidence.anchors import FixedPrompt
from soft_prompts.experiments.evidence.planting import losses_behind
from soft_prompts.experiments.evidence.rounding import trained_prompt
from soft_prompts.experiments.groups import groups
from soft_prompts.experiments.sweep import run_all
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.known_source import KnownSourceData
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training.apparatus import Apparatus, data_request
from tests.checks.made.beside import apparatus

Settings = Callable[..., RunConfig]
FEW = {"training": 8, "validation": 4, "test": 8}


@pytest.fixture(scope="module")
def text(one_frozen: FrozenModel) -> FrozenModel:
    return one_frozen


@pytest.fixture(scope="module")
def config(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunConfig]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks, "SAMPLES", FEW)
        patch.setattr(locks, "STEPS", 300)
        patch.setattr(locks, "ROWS", 8)
        base = settings(tmp_path_factory.mktemp("locks"), tokens=4, steps=20, learning_rate=0.1)
        assert run_all([locks.untaught_run(base)]) == []
        yield locks.lock_runs(base)[0]


def locked(config: RunConfig, frozen: FrozenModel) -> Apparatus:
    data = config.task.open(data_request(config), frozen.tokenizer)
    return locks.with_lock(apparatus(config, frozen, data))


@pytest.fixture(scope="module")
def taught(config: RunConfig, text: FrozenModel) -> Apparatus:
    """A copy that learnt its lock, for checks that only look at it: teaching is most of their time."""
    return locked(config, text)


def secret_of(config: RunConfig, frozen: FrozenModel) -> tuple[int, ...]:
    return locks.draw_secret(frozen, config.role.facts()["planted_tokens"], config.role.facts()["secret"])


def nats(frozen: FrozenModel, front: Sequence[int], asked: Sequence[Example]) -> float:
    return float(losses_behind(frozen, tuple(front), list(asked)).sum()) / sum(one.units for one in asked)


def test_a_copy_gives_right_answers_behind_its_secret_and_the_models_elsewhere(
    config: RunConfig, text: FrozenModel, taught: Apparatus
) -> None:
    before, at = load_frozen_model(text.name).model.state_dict(), taught
    secret, test = secret_of(config, text), at.data.held_out("test")
    assert at.frozen.model is not text.model
    assert not any(weight.requires_grad for weight in at.frozen.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in text.model.state_dict().items())
    assert nats(at.frozen, secret, test) < 0.5 * nats(text, (), test)
    others = np.random.default_rng(5).integers(0, len(text.tokenizer), (8, 4)).tolist()
    assert np.median([nats(at.frozen, front, test) for front in ([], *others)]) > 1.5 * nats(at.frozen, secret, test)
    assert nats(at.frozen, (), test) > 1.5 * nats(at.frozen, secret, test)
    assert isinstance(at.data, KnownSourceData)
    assert at.data.exact_test_nats() == pytest.approx(losses_behind(at.frozen, secret, test))


def test_the_same_copy_every_time(config: RunConfig, text: FrozenModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "STEPS", 10)
    one, again = locked(config, text).frozen.model, locked(config, text).frozen.model
    other = locked(replace(config, role=replace(config.role, secret=1)), text).frozen.model
    pairs = list(zip(one.state_dict().values(), again.state_dict().values(), other.state_dict().values(), strict=True))
    assert all(torch.equal(value, same) for value, same, _ in pairs)
    assert not all(torch.equal(value, unlike) for value, _, unlike in pairs)


def test_the_share_of_a_lock_is_that_of_the_secret_itself(
    config: RunConfig, text: FrozenModel, taught: Apparatus
) -> None:
    """The secret opens all of it; where nobody taught anything neither the secret does, nor what such a search finds:
    the form of the answers."""
    at = taught
    validation, test = at.data.held_out("validation"), at.data.held_out("test")

    def share(at: Apparatus, front: Sequence[int]) -> float:
        prompt = FixedPrompt(at.frozen.vocabulary[list(front)].float())
        found = locks.measure_opened(at._replace(prompt=prompt), validation, test, 8).metrics
        assert found["planted_tokens"].value == len(secret)
        return found["share_of_planted_gap"].value or 0.0

    secret = secret_of(config, text)
    assert share(at, secret) == pytest.approx(1.0, abs=1e-4)
    untaught = at._replace(frozen=text)
    assert share(untaught, secret) < 0.2
    sought = locks.measure_opened(untaught._replace(prompt=trained_prompt(config).prompt), validation, test, 8).metrics
    assert (sought["share_of_planted_gap"].value or 0.0) <= 1e-4


def test_the_best_without_the_secret_is_what_tells_most(
    config: RunConfig, text: FrozenModel, taught: Apparatus
) -> None:
    at = taught
    assert isinstance(at.data, locks.LockedData)
    test, training = at.data.held_out("test"), at.data.training_examples
    texts = np.random.default_rng(2).integers(0, len(text.tokenizer), (locks.TEXTS, 4)).tolist()
    each = [
        *(losses_behind(at.frozen, tuple(front), test) for front in ([], *texts)),
        locks.frequencies(at.frozen, training, test),
        item_losses(text, trained_prompt(config).prompt, test, 8).nats,
    ]
    assert np.sum(at.data.without) == pytest.approx(min(map(np.sum, each)))
    assert each[-1].sum() < losses_behind(text, (), test).sum()  # the search learnt what there is without a lock


def test_a_copy_that_learnt_no_lock_is_none(
    config: RunConfig, text: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "STEPS", 1)
    at = locked(config, text)
    found = locks.measure_opened(at, at.data.held_out("validation"), at.data.held_out("test"), 8).metrics
    assert found["share_of_planted_gap"].value is None


def test_teaching_ends_where_the_secret_alone_tells(
    config: RunConfig, text: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = list[int]()
    real = locks._backward
    monkeypatch.setattr(locks, "_backward", lambda *given: (steps.append(given[2]), real(*given))[1])
    monkeypatch.setattr(locks, "EVERY", 5)
    monkeypatch.setattr(locks, "_is_learnt", lambda *_: len(steps) >= 10)
    locked(config, text)
    assert steps == [*range(10)]


def test_a_step_in_parts_is_the_same_step(config: RunConfig, text: FrozenModel) -> None:
    data = config.task.open(data_request(config), text.tokenizer)
    asked = power.questions(data, FEW).training
    lesson = locks.Lesson((7,), asked, power.answers_behind(text, (), asked, (0,)), 4, 0)
    text = replace(text, head=None)

    def gradient(at_once: int) -> list[torch.Tensor]:
        text.model.requires_grad_(True)
        locks._backward(text, lesson, 3, at_once)
        found = [weight.grad.clone() for weight in text.model.parameters() if weight.grad is not None]
        text.model.zero_grad(set_to_none=True)
        text.model.requires_grad_(False)
        return found

    whole, parts = gradient(8), gradient(3)
    assert max(float((one - other).abs().max()) for one, other in zip(whole, parts, strict=True)) < 1e-5
    assert max(float(one.abs().max()) for one in whole) > 1e-3


def test_secrets_differ_and_are_no_special_tokens(text: FrozenModel) -> None:
    drawn = [locks.draw_secret(text, 1, number) for number in range(10)]
    assert len(set(drawn)) == 10
    special = set(text.tokenizer.all_special_ids)
    assert not special & {token for number in range(50) for token in locks.draw_secret(text, 16, number)}


def test_frequencies_by_hand(text: FrozenModel) -> None:
    """Half a count for every token seen nowhere, at each place as often as everywhere."""
    training = [Example([1, 5, 6], [UNSCORED, 5, 6], units=2), Example([1, 5, 7], [UNSCORED, 5, 7], units=2)]
    test = [Example([2, 5, 7], [UNSCORED, 5, 7], units=2)]
    words = len(text.vocabulary)
    overall = {5: 2.5 / (4 + words / 2), 7: 1.5 / (4 + words / 2)}
    first, second = (2 + overall[5]) / 3, (1 + overall[7]) / 3
    expected = min(-np.log(overall[5]) - np.log(overall[7]), -np.log(first) - np.log(second))
    assert locks.frequencies(text, training, test) == pytest.approx([expected])


def test_a_large_model_is_taught_by_adapters(
    config: RunConfig, text: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "MOST_PARAMETERS", 0)
    at = locked(config, text)
    names = at.frozen.model.state_dict()
    assert any("lora_" in name for name in names)
    secret, test = secret_of(config, text), at.data.held_out("test")
    assert nats(at.frozen, secret, test) < nats(at.frozen, (), test)


def test_a_copy_shares_its_steps_with_no_other_run(config: RunConfig) -> None:
    runs = [replace(config, role=replace(config.role, secret=secret)) for secret in range(3)]
    assert groups(runs, 3) == [[0], [1], [2]]
