"""Is what was made from a prompt made again when that prompt is another one, and only then?"""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from soft_prompts.config import RunConfig
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.files import read_result
from soft_prompts.results.roles import HardPrompt, Placebo, Rounded
from soft_prompts.results.schema import Result
from soft_prompts.training.apparatus import run_paths, snapshot_name
from soft_prompts.training.checkpoint import newest
from tests.checks.made.disturbances import at_step, states

Settings = Callable[..., RunConfig]
KINDS = ("code:8", "anchor:hard_prompt", "grown")


@pytest.fixture
def source(settings: Settings, one_frozen: FrozenModel, tmp_path: Path) -> RunConfig:
    config = settings(tmp_path, steps=2, condition="none", validation_samples=2, test_samples=4)
    run(config, one_frozen)
    return config


def derived(source: RunConfig, kind: str) -> RunConfig:
    """A run that is made from the source's prompt."""
    folder = snapshot_name(source)
    if kind == "grown":
        return replace(source, tokens=2 * source.tokens, init="grown")
    return replace(source, role=HardPrompt("projection", folder) if kind == HardPrompt.kind else Rounded(8, folder))


def tamper(source: RunConfig) -> None:
    """Another prompt in the place of the trained one."""
    file = run_paths(source).snapshot / "prompt.safetensors"
    save_file({name: tensor.flip(0) * 3 + 1 for name, tensor in load_file(file).items()}, file)


def loss(result: Result) -> float | None:
    return result.metrics["test_loss"].value


@pytest.mark.parametrize("kind", KINDS)
def test_another_source_is_noticed(
    source: RunConfig, one_frozen: FrozenModel, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = derived(source, kind)
    first = run(config, one_frozen)
    place = run_paths(config)
    assert run(config, one_frozen) == read_result(place.result)
    assert "finished before" in capsys.readouterr().err
    tamper(source)
    again = run(config, one_frozen)
    assert "made again, for the prompt that it was made from is another one now" in capsys.readouterr().err
    assert run_paths(config) == place
    assert again.config["source_sha256"] != first.config["source_sha256"]
    assert loss(again) != loss(first)
    assert loss(run(config, one_frozen)) == loss(again) == loss(read_result(place.result))
    assert "finished before" in capsys.readouterr().err


def test_a_run_that_is_made_from_nothing_has_no_source(source: RunConfig) -> None:
    assert "source_sha256" not in read_result(run_paths(source).result).config


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_that_is_gone_leaves_the_result(
    source: RunConfig, one_frozen: FrozenModel, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = derived(source, kind)
    first = run(config, one_frozen)
    (run_paths(source).snapshot / "prompt.safetensors").unlink()
    assert loss(run(config, one_frozen)) == loss(first)
    assert "finished before" in capsys.readouterr().err


def rewrite(config: RunConfig, change: Callable[[dict[str, Any]], object]) -> None:
    path = run_paths(config).result
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_an_old_result_without_a_source_goes_by_the_times_of_the_results(
    source: RunConfig, one_frozen: FrozenModel, capsys: pytest.CaptureFixture[str]
) -> None:
    config = derived(source, "code:8")
    run(config, one_frozen)
    rewrite(config, lambda values: values["config"].pop("source_sha256"))
    tamper(source)  # nothing that is kept says so
    run(config, one_frozen)
    assert "finished before" in capsys.readouterr().err
    rewrite(source, lambda values: values["environment"].update(finished="2999-01-01T00:00:00+00:00"))
    assert "source_sha256" in run(config, one_frozen).config
    assert "made again" in capsys.readouterr().err


def test_a_state_of_another_source_is_not_gone_on_from(
    source: RunConfig, one_frozen: FrozenModel, harness: Any
) -> None:
    config = replace(derived(source, "grown"), steps=4)
    run(replace(source, steps=4), one_frozen)
    assert harness.run(config, before=at_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM))).code == 4
    stopped, _ = newest(states(config))
    assert stopped is not None
    assert "source_sha256" in stopped.facts["identity"]
    tamper(replace(source, steps=4))
    ended = harness.run(config)
    assert ended.code == 0, ended.text
    assert "starts over, for the prompt that it grows from is another one now" in ended.text
    assert "goes on after step" not in ended.text


@pytest.mark.parametrize("init", ["search", "grown"])
def test_what_is_not_trained_has_no_start(
    source: RunConfig, one_frozen: FrozenModel, init: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A placebo beside runs that begin with a search is of random tokens all the same."""
    placebo = replace(source, role=Placebo())
    plain = run(placebo, one_frozen)
    assert loss(run(replace(placebo, init=init), one_frozen)) == loss(plain)
    assert "searching" not in capsys.readouterr().err
