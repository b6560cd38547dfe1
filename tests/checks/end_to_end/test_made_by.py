"""Does a result name the command that made it, and lie where it lay before it did?"""

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soft_prompts.common.command_line import COMMAND, command_line, made_by
from soft_prompts.config import RunConfig, settings_that_count
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.files import read_result
from soft_prompts.training.apparatus import run_paths

Settings = Callable[..., RunConfig]


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_run_of_a_command_names_it(settings: Settings, tmp_path: Path, jobs: int) -> None:
    """In processes of its own too; a folder with a space in its name is one word for a shell."""
    config = settings(tmp_path, steps=1, validate_every=1, test_samples=4, validation_samples=4)
    grid = Grid(models=(config.model,), tokens=(0, 1), data=(config.data,), settings=config, task=config.task)
    words = ["--output-dir", str(tmp_path / "a b"), "--jobs", str(jobs), "--together", "off", "--evidence", "none"]
    assert Experiment("mine", "?", {"default": grid}).main(words, "python -m mine") == 0
    found = [read_result(path) for path in (tmp_path / "a b" / "results").rglob("*.json")]
    assert len(found) == 2
    for result in found:
        assert result.environment.command is not None
        assert shlex.split(result.environment.command) == ["python", "-m", "mine", *words]
    assert command_line() is None
    assert COMMAND not in os.environ


def test_an_experiment_of_ours_is_named_as_it_is_typed(
    tmp_path: Path, tiny_folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from soft_prompts.experiments.catalogue.completion import EXPERIMENT

    small = ["--steps", "1", "--sample-tokens", "32", "--test-samples", "4", "--validation-samples", "4"]
    words = ["--models", str(tiny_folders["gpt_neox"]), "--tokens", "0", "1", "--output-dir", str(tmp_path), *small]
    assert EXPERIMENT.main([*words, "--evidence", "none"], "soft-prompts run completion") == 0, capsys.readouterr().err
    path = next((tmp_path / "results").rglob("*.json"))
    command = read_result(path).environment.command
    assert command is not None
    assert command.startswith("soft-prompts run completion --models ")


def test_from_python_there_is_no_command(settings: Settings, one_frozen: FrozenModel, tmp_path: Path) -> None:
    config = settings(tmp_path, tokens=0)
    assert run(config, one_frozen).environment.command is None
    assert "command" not in json.loads(run_paths(config).result.read_text())["environment"]


def test_neither_the_command_nor_the_reference_is_part_of_the_path(settings: Settings, tmp_path: Path) -> None:
    config = settings(tmp_path)
    told = replace(config, reference="another-model")
    plain = run_paths(config), settings_that_count(config)
    with made_by("soft-prompts run chess", ["--tokens", "2"]):
        assert command_line() == "soft-prompts run chess --tokens 2"
        assert (run_paths(config), settings_that_count(config)) == plain
    assert (run_paths(told), settings_that_count(told)) == plain
    assert run_paths(replace(config, steps=9)) != plain[0]  # what does count, counts


def test_a_command_that_fails_leaves_no_name_behind() -> None:
    with pytest.raises(ZeroDivisionError), made_by("mine", []):
        raise ZeroDivisionError
    assert command_line() is None
