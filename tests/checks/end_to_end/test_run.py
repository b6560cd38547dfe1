"""A whole run, from settings to result, snapshot and tensorboard events; on a random model, in seconds."""

import itertools
import json
import shutil
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import jsonschema
import numpy as np
import pytest
import torch
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import soft_prompts.experiments.run as run_module
from soft_prompts.config import ConditionMode, RunConfig
from soft_prompts.engine.generation import generate
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.kinds import PROMPTS
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.files import read_items, read_result
from soft_prompts.results.metrics import loss_per_token, ratio
from soft_prompts.results.schema import Result
from soft_prompts.tasks.task import Query
from soft_prompts.training import gradients
from soft_prompts.training import loop as training
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.checkpoint import newest
from soft_prompts.training.loop import MOST_BAD_STEPS

Settings = Callable[..., RunConfig]
SCHEMA = json.loads(resources.files("soft_prompts.results").joinpath("result.schema.json").read_text())


class Done:
    """A finished run."""

    def __init__(self, config: RunConfig, result: Result) -> None:
        self.config, self.result, self.paths = config, result, run_paths(config)
        self.json = json.loads(self.paths.result.read_text())


@pytest.fixture(scope="module")
def done(settings: Settings, one_frozen: FrozenModel, tmp_path_factory: pytest.TempPathFactory) -> Done:
    config = settings(tmp_path_factory.mktemp("run"))
    return Done(config, run(config, one_frozen))


def test_the_result_is_valid_and_whole(done: Done) -> None:
    jsonschema.validate(done.json, SCHEMA)
    assert done.json["status"] == "success"
    assert read_result(done.paths.result).to_json() == done.json
    assert done.json["training"]["steps"] == 8
    assert done.json["training"]["best_step"] in (4, 8)
    assert done.json["prompt"]["conditions"] == ["white_elo", "black_elo"]
    assert done.json["data"]["train_samples"] == 64
    assert done.json["config"]["checkpoint_every"] == 2
    assert done.json["environment"]["device"] == "cpu"


def test_the_clock_tells_training_from_measuring(
    done: Done, stopped: RunConfig, settings: Settings, one_frozen: FrozenModel, tmp_path: Path
) -> None:
    """Training of all sittings; the whole holds both and what comes before them."""
    shutil.copytree(stopped.output_dir, tmp_path / "copy")
    config = settings(tmp_path / "copy")
    state, _ = newest(run_paths(config).snapshot / "state")
    assert state is not None
    before = state.facts["progress"]["seconds"]
    began = time.perf_counter()
    resumed = run(config, one_frozen).timing
    took = time.perf_counter() - began
    for timing in (done.result.timing, resumed):
        assert timing.training_seconds
        assert timing.measuring_seconds
        assert timing.wall_seconds
        assert timing.wall_seconds > timing.training_seconds + timing.measuring_seconds
    assert resumed.training_seconds
    assert resumed.wall_seconds
    assert before < resumed.training_seconds < before + took
    assert before < resumed.wall_seconds < before + took
    bare = run(settings(tmp_path / "bare", tokens=0), one_frozen).timing
    assert bare.training_seconds is None
    assert bare.measuring_seconds
    assert bare.wall_seconds
    assert bare.measuring_seconds < bare.wall_seconds


def test_metrics_follow_from_the_items(done: Done) -> None:
    items = read_items(done.paths.result)
    metrics = done.result.metrics
    assert metrics["test_loss"] == loss_per_token(items)
    assert metrics["loss_per_move"] == ratio(items, slice(None), "nats/move")
    assert metrics["loss_per_move"].value == pytest.approx(items.loss_nats.sum() / items.scored_units.sum())
    assert len(items.loss_nats) == done.json["data"]["test_samples"] == 8
    assert (items.scored_units == 5).all()  # six plies of which the first is not scored
    assert len(np.unique(items.cluster)) == 8


def test_every_metric_is_there_with_n_and_error(done: Done) -> None:
    metrics = done.result.metrics
    names = {"test_loss", "validation_loss", "loss_per_move", "condition_sensitivity", "move_accuracy", "move_legality"}
    assert names <= metrics.keys()
    for metric in (metrics[name] for name in names):
        assert metric.value is not None
        assert metric.stderr is not None
        assert metric.n
    assert all(metric.value is not None or metric.reason for metric in metrics.values())
    assert metrics["validation_loss"].n == 6
    assert 0 < len(done.result.generations) <= 8
    assert "white_elo=" in (done.result.generations[0].condition or "")


def test_the_snapshot_gives_the_result_again(done: Done, one_frozen: FrozenModel) -> None:
    """The prompt on disk, loaded afresh, writes what the run wrote."""
    snapshot = load_snapshot(done.paths.snapshot)
    assert snapshot.fingerprint == one_frozen.fingerprint
    shown = done.result.generations[0]
    named = dict(word.split("=") for word in (shown.condition or "").split())
    query = Query(shown.prompt, snapshot.conditions.from_named(named))
    text = generate(one_frozen, snapshot.prompt, [query], 24)[0]
    assert text.startswith(shown.text) or shown.text.startswith(text)
    assert text


def test_tensorboard_holds_curves_texts_and_hparams(done: Done, events_of: Callable[[Path], Any]) -> None:
    events = events_of(done.paths.events)
    tags = events.Tags()
    steps = {tag: [event.step for event in events.Scalars(tag)] for tag in tags["scalars"]}
    trained = ("train/loss", "train/gradient_norm", "train/learning_rate", "train/target_tokens")
    tested = {
        f"test/{name.removeprefix('test_')}" for name, metric in done.result.metrics.items() if metric.value is not None
    }
    assert steps == (
        {tag: list(range(1, 9)) for tag in trained} | {"validation/loss": [4, 8]} | {tag: [8] for tag in tested}
    )
    texts = [f"generation/{number}/text_summary" for number in range(len(done.result.generations))]
    assert sorted(tags["tensors"]) == sorted(texts)
    assert {event.step for tag in texts for event in events.Tensors(tag)} == {8}
    shown = events.Tensors(texts[0])[0].tensor_proto.string_val[0].decode()
    assert done.result.generations[0].prompt in shown
    rates = [event.value for event in events.Scalars("train/learning_rate")]
    assert rates[:2] == pytest.approx([5e-3, 1e-2])
    assert rates[-1] < 3e-3
    data = events.summary_metadata
    assert {"_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"} <= data.keys()
    started = data["_hparams_/session_start_info"].plugin_data
    assert started.plugin_name == "hparams"


def columns_of(folder: Path, events_of: Callable[[Path], Any]) -> tuple[list[str], list[str], dict[str, Any]]:
    """Of a run's row in the HPARAMS tab: names of settings and of metrics in their order, and the settings' values."""
    kept = {tag: data.plugin_data.content for tag, data in events_of(folder).summary_metadata.items()}
    plan = HParamsPluginData.FromString(kept["_hparams_/experiment"]).experiment
    given = HParamsPluginData.FromString(kept["_hparams_/session_start_info"]).session_start_info.hparams
    values = {name: getattr(value, value.WhichOneof("kind")) for name, value in given.items()}
    return [info.name for info in plan.hparam_infos], [info.name.tag for info in plan.metric_infos], values


def test_hparams_are_every_setting_tokens_first_for_bare_runs_too(
    done: Done, settings: Settings, one_frozen: FrozenModel, tmp_path: Path, events_of: Callable[[Path], Any]
) -> None:
    names, metrics, values = columns_of(done.paths.events, events_of)
    assert names[:2] == ["tokens", "model"]
    plain = {name for name in done.json["config"] if name != "task"}
    task = {f"task.{name}" for name in done.json["config"]["task"]}
    assert set(names) == plain | task | {"tokens", "model", "role"}
    assert set(values) == set(names)
    assert (values["tokens"], values["learning_rate"], values["task.max_plies"]) == (2, 1e-2, 6)
    assert (values["micro_batch_size"], values["test_data"], values["role"]) == ("None", "None", "run")
    assert values["output_dir"] == str(done.config.output_dir)
    assert {"test/loss_per_move", "test/loss", "test/validation_loss"} <= set(metrics)
    bare = settings(tmp_path, tokens=0)
    run(bare, one_frozen)
    bare_names, bare_metrics, bare_values = columns_of(run_paths(bare).events, events_of)
    assert bare_names == names
    assert set(bare_metrics) == set(metrics)
    assert (bare_values["tokens"], bare_values["learning_rate"]) == (0, 1e-2)
    shown = events_of(run_paths(bare).events).Tags()["scalars"]
    assert "test/loss_per_move" in shown
    assert "test/condition_sensitivity" not in shown  # it has no value


def test_a_success_leaves_no_state(done: Done, settings: Settings, one_frozen: FrozenModel, tmp_path: Path) -> None:
    assert not (done.paths.snapshot / "state").exists()
    config = settings(tmp_path, steps=2)
    run(config, one_frozen)
    left = run_paths(config).snapshot / "state" / "step-2"
    left.mkdir(parents=True)  # as if the writer had been killed before it could
    run(config, one_frozen)
    assert not left.parent.exists()


def test_a_finished_run_is_read_and_not_run(
    done: Done, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a finished run must not start")

    for name in ("load_for", "train", "maker_of", "restore"):
        monkeypatch.setattr(run_module, name, refuse)
    before = done.paths.result.read_bytes()
    assert run(done.config).to_json() == done.json
    assert done.paths.result.read_bytes() == before
    assert "finished before" in capsys.readouterr().err


def test_the_same_command_gives_the_same_bytes(
    done: Done, settings: Settings, tmp_path: Path, read_outputs: Callable[[RunConfig], Any], one_frozen: FrozenModel
) -> None:
    again = settings(tmp_path)
    run(again, one_frozen)
    assert read_outputs(again) == read_outputs(done.config)


def test_settings_that_change_no_number_change_no_number(
    done: Done, settings: Settings, tmp_path: Path, read_outputs: Callable[[RunConfig], Any], one_frozen: FrozenModel
) -> None:
    """A worker for the data, other checkpoints: the same bytes. Smaller micro-batches: the same to rounding."""
    other = settings(tmp_path, data_workers=1, checkpoint_every=3)
    run(other, one_frozen)
    mine, theirs = read_outputs(other), read_outputs(done.config)
    assert (mine.items, mine.prompt, mine.scalars) == (theirs.items, theirs.prompt, theirs.scalars)
    assert mine.result["metrics"] == theirs.result["metrics"]
    split = run(settings(tmp_path / "split", micro_batch_size=3), one_frozen)
    assert split.metrics["test_loss"].value == pytest.approx(done.result.metrics["test_loss"].value, abs=1e-5)


def test_the_best_prompt_is_kept_and_tested(
    settings: Settings,
    one_frozen: FrozenModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scalars_of: Callable[[Path], Any],
) -> None:
    """The prompt of the lowest validation loss is the result, not the last one."""
    real, calls = training.item_losses, itertools.count(1)

    def worse_after_three(*arguments: Any) -> Any:
        losses = real(*arguments)
        return losses._replace(nats=losses.nats + (100 if next(calls) > 3 else 0))

    monkeypatch.setattr(training, "item_losses", worse_after_three)
    config = settings(tmp_path, validate_every=1)
    result = run(config, one_frozen)
    losses = dict(scalars_of(run_paths(config).events)["validation/loss"])
    assert result.training.best_step == load_snapshot(run_paths(config).snapshot).step == 3
    assert result.metrics["validation_loss"].value == pytest.approx(losses[3], rel=1e-6)


def test_fresh_starts_over(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Result, snapshot and states of the earlier run are gone before the new one trains."""
    first = settings(tmp_path, steps=2)
    run(first, one_frozen)
    paths = run_paths(first)
    made = paths.result.stat().st_mtime_ns
    (paths.snapshot / "state" / "step-2").mkdir(parents=True)
    real, found = run_module.train, []

    def look(*arguments: Any) -> Any:
        found.extend(path for path in (paths.result, *paths.snapshot.iterdir()) if path.exists())
        return real(*arguments)

    monkeypatch.setattr(run_module, "train", look)
    run(settings(tmp_path, steps=2, fresh=True), one_frozen)
    assert {path.name for path in found} == {"lock", "lock.holder"}
    assert paths.result.stat().st_mtime_ns > made
    assert (paths.snapshot / "prompt.safetensors").is_file()


def test_the_bare_model_is_one_run_for_all_seeds_and_prompts(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path
) -> None:
    bare = settings(tmp_path, tokens=0)
    result = run(bare, one_frozen)
    assert result.metrics["condition_sensitivity"].value is None
    assert result.prompt.kind is None
    assert result.prompt.parameters == 0
    assert not (run_paths(bare).snapshot / "prompt.safetensors").exists()
    for other in ({"prompt": "resnet"}, {"steps": 99}, {"learning_rate": 1.0}, {"condition": "none"}):
        assert run_paths(settings(tmp_path, tokens=0, **other)) == run_paths(bare)
        assert run_paths(settings(tmp_path, tokens=2, **other)) != run_paths(settings(tmp_path, tokens=2))


KINDS, MODES = tuple(PROMPTS), get_args(ConditionMode)
ARRAY = [(kind, MODES[place % 3], 1 + place % 2) for place, kind in enumerate(KINDS)]  # each kind once, each mode
PRODUCT = [case for case in itertools.product(KINDS, MODES, (1, 2)) if case not in ARRAY]


@pytest.mark.parametrize(
    ("kind", "mode", "tokens"), [*ARRAY, *(pytest.param(*case, marks=pytest.mark.slow) for case in PRODUCT)]
)
def test_every_prompt_under_every_condition(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, kind: str, mode: str, tokens: int
) -> None:
    config = settings(tmp_path, prompt=kind, condition=mode, tokens=tokens, steps=2, hidden_layers=1, residual_width=4)
    result = run(config, one_frozen)
    assert result.status == "success"
    assert result.prompt.kind == ("direct" if mode == "none" else kind)
    assert result.prompt.condition_mode == mode
    assert result.prompt.conditions == (() if mode == "none" else ("white_elo", "black_elo"))
    assert (result.metrics["condition_sensitivity"].value is None) == (mode == "none")
    kept = "direct" if kind == "residual" else result.prompt.kind  # it is kept as what it emits
    assert load_snapshot(run_paths(config).snapshot).kind == kept


@pytest.mark.parametrize("bad_steps", [MOST_BAD_STEPS - 1, MOST_BAD_STEPS])
def test_a_run_without_finite_steps_fails_and_says_so(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad_steps: int
) -> None:
    """Nine bad steps in a row are skipped and counted; the tenth ends the run, and no number is in the result."""
    real, calls = gradients.batch_losses, itertools.count()

    def poisoned(*arguments: Any) -> Any:
        [loss] = real(*arguments)
        return [loss._replace(nats=loss.nats * torch.nan) if 1 <= next(calls) <= bad_steps else loss]

    monkeypatch.setattr(gradients, "batch_losses", poisoned)
    config = settings(tmp_path, steps=12)
    result = run(config, one_frozen)
    kept = json.loads(run_paths(config).result.read_text())
    jsonschema.validate(kept, SCHEMA)
    if bad_steps < MOST_BAD_STEPS:
        assert result.status == "success"
        assert result.training.skipped_steps == bad_steps
        return
    assert kept["status"] == "failed"
    assert "10 steps in a row" in kept["reason"]
    assert kept["metrics"] == {}
    assert kept["items"] is None
    assert not (run_paths(config).snapshot / "prompt.safetensors").exists()
    monkeypatch.setattr(gradients, "batch_losses", real)
    assert run(config, one_frozen).status == "success"  # a failed run is not a finished one
