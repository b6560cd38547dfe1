"""Does a result keep what was written item by item, what its samples cost, and which command made it?"""

import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from soft_prompts.common.command_line import command_line, made_by
from soft_prompts.config import RunConfig
from soft_prompts.data.known_samples import Facts, KnownSamples, write_known_samples
from soft_prompts.engine.evaluation import evaluate
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.files import read_items, read_result
from soft_prompts.results.roles import NoSkill, PermutedTargets, Placebo
from soft_prompts.results.schema import Result
from soft_prompts.stats.items import Items
from soft_prompts.tasks.known_source import KnownSourceTask
from soft_prompts.tasks.task import DataRequest
from soft_prompts.training.apparatus import data_request, run_paths

Settings = Callable[..., RunConfig]


def made(config: RunConfig, frozen: FrozenModel) -> tuple[Result, Items]:
    result = run(config, frozen)
    return result, read_items(run_paths(config).result)


def test_the_mean_outcome_is_the_metric(settings: Settings, one_frozen: FrozenModel, tmp_path: Path) -> None:
    roles = {"run": {}, "placebo": {"role": Placebo(), "steps": 8}, "no_skill": {"role": NoSkill(), "tokens": 0}}
    for name, changes in roles.items():
        result, items = made(settings(tmp_path / name, **changes), one_frozen)
        assert (result.outcome, result.data.determined) == ("move_accuracy", False)
        assert items.outcome is not None
        assert np.nanmean(items.outcome) == pytest.approx(result.metrics["move_accuracy"].value), name
        assert set(items.outcome[~np.isnan(items.outcome)].tolist()) <= {0.0, 1.0}


def test_the_constant_move_is_the_most_frequent_one_at_its_ply(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path
) -> None:
    config = settings(tmp_path, test_samples=20)
    data = config.task.open(data_request(config), one_frozen.tokenizer)
    texts = {one_frozen.tokenizer.decode(example.input_ids) for example in islice(data.training_items(), 400)}
    right = []
    for example in data.held_out("test"):
        moves = one_frozen.tokenizer.decode(example.input_ids).split(" ")
        seen = [[text.split(" ")[ply] for text in texts if len(text.split(" ")) > ply] for ply in range(len(moves))]
        right.append({float(max(s, key=s.count) == move) for s, move in zip(seen, moves, strict=True) if s})
    outcome = data.constant_outcome()
    assert outcome is not None
    asked = [(one, may) for one, may in zip(outcome, right, strict=True) if not np.isnan(one)]
    assert asked
    assert all(one in may for one, may in asked)


def test_a_control_keeps_whole_matches(settings: Settings, one_frozen: FrozenModel, tmp_path: Path) -> None:
    result, items = made(settings(tmp_path, role=PermutedTargets(), steps=2), one_frozen)
    assert result.outcome == "whole_match"
    assert items.outcome is not None
    assert items.outcome.mean() == result.metrics["whole_match"].value


@pytest.mark.parametrize("steps", [2, 30])
def test_the_training_loss_is_that_of_the_samples_that_came_first(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, steps: int
) -> None:
    """2 steps see 16 games; 30 steps see all there are, again and again."""
    config = settings(tmp_path, steps=steps)
    result, _ = made(config, one_frozen)
    data = config.task.open(data_request(config), one_frozen.tokenizer)
    passed = steps * config.batch_size
    games = {tuple(example.input_ids): None for example, _ in islice(data.training(None), passed)}
    first = {tuple(example.input_ids): example for example in islice(data.training_items(), passed)}
    assert result.metrics["distinct_samples"].value == len(games) == len(first)
    assert len(games) == (16 if steps == 2 else len({tuple(e.input_ids) for e, _ in islice(data.training(None), 999)}))
    prompt = load_snapshot(run_paths(config).snapshot).prompt
    items = evaluate(one_frozen, prompt, list(first.values()), 5).items
    expected = items.loss_nats.sum() / items.scored_units.sum()
    assert result.metrics["training_loss"].value == pytest.approx(expected, rel=1e-6)
    assert result.metrics["training_loss"].unit == "nats/move"
    units = sum({tuple(e.input_ids): e.units for e, _ in islice(data.training(None), passed)}.values())
    assert result.metrics["first_pass_units"].value == units


def test_the_bare_model_has_a_training_loss_and_no_first_pass(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path
) -> None:
    result, _ = made(settings(tmp_path, tokens=0), one_frozen)
    assert result.metrics["training_loss"].value
    assert not {"distinct_samples", "first_pass_nats"} & result.metrics.keys()


def test_a_certain_source_has_an_outcome_and_an_uncertain_one_none(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    ids, first = generator.integers(1, 200, (40, 5)), np.full(40, 3)
    ids[:, 3:] = [7, 9]
    ids[::4, 4] = 8
    split = np.repeat([0, 1, 2], [20, 8, 12])
    for name, nats in (("certain", 0.0), ("uncertain", 1.0)):
        path = tmp_path / f"{name}.safetensors"
        facts = Facts("a rule", 200)
        write_known_samples(path, KnownSamples(ids, first, np.full(40, nats), split, facts))
        data = KnownSourceTask().open(DataRequest(str(path), None, 5, 8, 12), one_frozen.tokenizer)
        assert data.is_determined() is (name == "certain")
        constant = data.constant_outcome()
        expected = [float(row % 4 != 0) for row in range(28, 40)]
        assert (constant is None) if nats else (constant is not None and constant.tolist() == expected)
        changes = {"task": KnownSourceTask(), "data": str(path), "sample_tokens": 5, "condition": "none"}
        result, items = made(settings(tmp_path / name, prompt="direct", **changes), one_frozen)
        assert (items.outcome is None) is (name == "uncertain")
        assert (result.outcome is None) is (name == "uncertain")
        if items.outcome is not None:
            assert items.outcome.mean() == result.metrics["exact_match"].value


def test_a_result_says_which_command_made_it(settings: Settings, one_frozen: FrozenModel, tmp_path: Path) -> None:
    from soft_prompts.experiments.catalogue.chess import EXPERIMENT

    by_python, _ = made(settings(tmp_path / "python", tokens=0), one_frozen)
    assert by_python.environment.command is None
    config = settings(tmp_path / "a folder", steps=1)
    flags = [
        "--output-dir",
        str(config.output_dir),
        "--models",
        config.model,
        "--data",
        config.data,
        "--tokens",
        "0",
        "1",
    ]
    flags += ["--sample-tokens", "48", "--test-samples", "8", "--validation-samples", "6", "--max-plies", "8"]
    flags += ["--max-bad", "0.5", "--steps", "1", "--evidence", "none"]
    assert EXPERIMENT.main(flags) == 0
    bare, prompted = (config.output_dir / "results").rglob("*.json")
    command = read_result(bare).environment.command
    assert read_result(prompted).environment.command == command
    assert command is not None
    assert command.startswith("soft-prompts run chess --output-dir '")
    assert command.endswith("--evidence none")
    grid = Grid(models=(config.model,), tokens=(0, 1), data=(config.data,), settings=config, task=config.task)
    mine = Experiment("chess", "?", {"default": grid})
    assert mine.main(["--output-dir", str(tmp_path / "mine"), "--evidence", "none"], "soft-prompts run mine.py") == 0
    path = next((tmp_path / "mine" / "results").rglob("*.json"))
    assert str(read_result(path).environment.command).startswith("soft-prompts run mine.py --output-dir ")
    assert command_line() is None


def test_processes_that_a_command_starts_know_it() -> None:
    told = "from soft_prompts.common.command_line import command_line; print(command_line())"
    with made_by("soft-prompts run chess", ["--models", "a b"]):
        asked = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert asked.stdout == "soft-prompts run chess --models 'a b'\n"
