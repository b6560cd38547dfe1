"""What does a result say of the training samples: how many, what they cost when met first, and at the end?"""

import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from soft_prompts.config import RunConfig
from soft_prompts.engine.evaluation import evaluate
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import Prompt
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.files import read_items
from soft_prompts.results.schema import Result
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training import measures
from soft_prompts.training.apparatus import data_request, prompt_for, run_paths
from soft_prompts.training.checkpoint import newest, publish
from soft_prompts.training.loop import set_conditions
from soft_prompts.training.seen import SEEN, UNKNOWN

Settings = Callable[..., RunConfig]
Long = tuple[RunConfig, Result]
COUNTED = ("distinct_samples", "first_pass_nats", "first_pass_tokens", "first_pass_units")


def drawn(config: RunConfig, frozen: FrozenModel, count: int) -> list[Example]:
    """The first samples of the run's stream."""
    data = config.task.open(data_request(config), frozen.tokenizer)
    return [example for example, _ in islice(data.training(None), count)]


def first_games(config: RunConfig, frozen: FrozenModel, count: int) -> list[Example]:
    """So many different games that the stream brings first, scored as held-out ones are."""
    data = config.task.open(data_request(config), frozen.tokenizer)
    found = dict[int, Example]()
    for example in islice(data.training_items(), 1000):
        if len(found) < count:
            found.setdefault(example.cluster, example)
    return list(found.values())


def loss_of(frozen: FrozenModel, prompt: Prompt, examples: list[Example]) -> float:
    items = evaluate(frozen, prompt, examples, 3).items
    return float(items.loss_nats.sum() / items.scored_units.sum())


@pytest.fixture(scope="module")
def long(settings: Settings, one_frozen: FrozenModel, tmp_path_factory: pytest.TempPathFactory) -> Long:
    """A run that meets every game of its file more than once."""
    config = settings(tmp_path_factory.mktemp("long"), steps=40, learning_rate=0.1, validate_every=20)
    return config, run(config, one_frozen)


def test_samples_are_counted_once(long: Long, one_frozen: FrozenModel) -> None:
    config, result = long
    met = drawn(config, one_frozen, 40 * 8)
    different = {example.cluster: example for example in met}
    assert len(different) < len(met) / 2
    assert result.metrics["distinct_samples"].value == len(different)
    assert result.metrics["first_pass_units"].value == sum(example.units for example in different.values())
    scored = sum(label != UNSCORED for example in different.values() for label in example.labels)
    assert result.metrics["first_pass_tokens"].value == scored
    nats = result.metrics["first_pass_nats"].value
    assert nats is not None
    assert result.metrics["training_loss"].unit == "nats/move"
    assert {result.metrics[name].n for name in COUNTED} == {len(different)}


def test_the_first_step_is_paid_under_the_prompt_as_built(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path
) -> None:
    config = settings(tmp_path, steps=1)
    result = run(config, one_frozen)
    examples = set_conditions(drawn(config, one_frozen, 8), config)
    items = evaluate(one_frozen, prompt_for(config, one_frozen), examples, 8).items
    assert result.metrics["first_pass_nats"].value == pytest.approx(items.loss_nats.sum(), rel=1e-5)
    assert result.metrics["first_pass_tokens"].value == items.scored_tokens.sum()


def test_the_training_loss_is_that_of_the_samples_that_came_first(
    long: Long,
    one_frozen: FrozenModel,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    tmp_path: Path,
) -> None:
    config, result = long
    prompt = load_snapshot(run_paths(config).snapshot).prompt
    count = int(result.metrics["distinct_samples"].value or 0)
    assert 10 < count < 256
    expected = loss_of(one_frozen, prompt, first_games(config, one_frozen, count))
    metric = result.metrics["training_loss"]
    assert (metric.value, metric.n) == (pytest.approx(expected, rel=1e-5), count)
    assert metric.value != pytest.approx(result.metrics["loss_per_move"].value, rel=1e-3)
    few = settings(tmp_path, steps=2)  # which has seen 16 alone
    of_few, known = run(few, one_frozen), load_snapshot(run_paths(few).snapshot).prompt
    expected = loss_of(one_frozen, known, first_games(few, one_frozen, 16))
    assert of_few.metrics["training_loss"].value == pytest.approx(expected, rel=1e-5)
    assert of_few.metrics["training_loss"].n == 16
    monkeypatch.setattr(measures, "TRAINING_ITEMS", 7)
    bare = settings(tmp_path / "bare", tokens=0)
    of_bare = run(bare, one_frozen)
    expected = loss_of(one_frozen, prompt_for(bare, one_frozen), _without_conditions(first_games(bare, one_frozen, 7)))
    assert of_bare.metrics["training_loss"].value == pytest.approx(expected, rel=1e-5)
    assert not set(COUNTED) & of_bare.metrics.keys()  # it was not trained


def _without_conditions(examples: list[Example]) -> list[Example]:
    return [example._replace(conditions=()) for example in examples]


def test_a_state_of_an_older_version_goes_on_and_its_result_says_what_is_not_known(
    stopped: RunConfig, settings: Settings, one_frozen: FrozenModel, tmp_path: Path
) -> None:
    whole = run(settings(tmp_path / "whole"), one_frozen)
    results = []
    for old in (False, True):
        shutil.copytree(stopped.output_dir, tmp_path / str(old))
        config = settings(tmp_path / str(old))
        folder = run_paths(config).snapshot / "state"
        state, _ = newest(folder)
        assert state is not None
        assert SEEN in state.tensors
        if old:
            known = {name: it for name, it in state.facts["progress"].items() if name not in COUNTED}
            tensors = {name: it for name, it in state.tensors.items() if name != SEEN}
            shutil.rmtree(folder)
            publish(folder, state._replace(tensors=tensors, facts=state.facts | {"progress": known}))
        results.append(run(config, one_frozen))
    resumed, older = results
    for name in (*COUNTED, "training_loss"):
        assert resumed.metrics[name] == whole.metrics[name]  # to the bit
        assert (older.metrics[name].value, older.metrics[name].reason) == (None, UNKNOWN)
    for name in ("test_loss", "validation_loss", "move_accuracy"):
        assert older.metrics[name] == whole.metrics[name]


def test_items_keep_the_outcome_of_which_the_metric_is_the_mean(long: Long) -> None:
    config, result = long
    outcome = read_items(run_paths(config).result).outcome
    assert result.outcome == "move_accuracy"
    assert outcome is not None
    assert result.metrics["move_accuracy"].value == pytest.approx(np.nanmean(outcome))
    assert result.data.determined is False
