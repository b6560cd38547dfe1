"""Do whole runs that go together leave what each would leave alone, and does a stop or an end of one harm no other?"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from soft_prompts.common.errors import Interrupted
from soft_prompts.config import RunConfig
from soft_prompts.engine.forward import token_losses
from soft_prompts.experiments import run as one_run
from soft_prompts.experiments.run import run, run_together
from soft_prompts.experiments.sweep import run_all
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.roles import PermutedTargets
from soft_prompts.training import gradients
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.checkpoint import newest
from soft_prompts.training.resume import only_writer
from tests.checks.made.disturbances import at_step

Settings = Callable[..., RunConfig]
Runs = Callable[..., list[RunConfig]]


@pytest.fixture
def runs(settings: Settings) -> Runs:
    """Three unlike runs under a folder."""

    def make(output: Path, **changes: Any) -> list[RunConfig]:
        base = settings(output, **{"steps": 4, "validate_every": 2} | changes)
        control = replace(base, tokens=3, prompt="direct", condition="none", role=PermutedTargets())
        return [base, replace(base, seed=1, steps=6, learning_rate=2e-2), control]

    return make


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that takes prompts one by one: together and alone are then equal to the bit."""

    def one_by_one(frozen: FrozenModel, parts: Sequence[Any]) -> list[Any]:
        return [token_losses(frozen, prompt, batch) for prompt, batch in parts]

    monkeypatch.setattr(gradients, "token_losses_together", one_by_one)


def test_results_are_those_of_each_alone(runs: Runs, one_frozen: FrozenModel, tmp_path: Path) -> None:
    alone = [run(config, one_frozen) for config in runs(tmp_path / "alone")]
    together = run_together(runs(tmp_path / "together"), one_frozen)
    for one, other in zip(together, alone, strict=True):
        assert (one.prompt, one.training, one.role) == (other.prompt, other.training, other.role)
        assert one.metrics.keys() == other.metrics.keys()
        for name in ("test_loss", "validation_loss"):
            assert one.metrics[name].value == pytest.approx(other.metrics[name].value, rel=1e-4)


@pytest.mark.usefixtures("plain")
def test_a_stop_publishes_all_and_each_goes_on_as_it_likes(
    runs: Runs, one_frozen: FrozenModel, tmp_path: Path, read_outputs: Callable[[RunConfig], Any]
) -> None:
    """Begun together, stopped after three steps, the first finished alone, the others together."""
    alone, together = runs(tmp_path / "alone"), runs(tmp_path / "together")
    for config in alone:
        run(config, one_frozen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_run, "train", one_run.train)  # to be put back
        at_step(3, lambda: os.kill(os.getpid(), signal.SIGINT))()
        with pytest.raises(Interrupted, match="stopped after step 3; the same command goes on"):
            run_together(together, one_frozen)
    for config in together:
        state, problems = newest(run_paths(config).snapshot / "state")
        assert state is not None
        assert (state.step, problems) == (3, [])
        with only_writer(run_paths(config)):  # no lock is left
            pass
    run(together[0], one_frozen)
    run_together(together, one_frozen)
    for one, other in zip(together, alone, strict=True):
        assert read_outputs(one) == read_outputs(other)


def test_one_that_is_finished_is_read_and_leaves_the_group(
    runs: Runs, one_frozen: FrozenModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = runs(tmp_path)
    first = run(configs[1], one_frozen)
    capsys.readouterr()
    results = run_together(configs, one_frozen)
    assert results[1].metrics == first.metrics
    assert [result.training.seed for result in results] == [0, 1, 0]
    assert results[2].role == "control:permuted_targets"
    said = capsys.readouterr().err
    assert said.count("finished before, read from") == 1
    assert said.count("step 4/4") == 1  # one line of progress for the two that were made
    assert run_together(configs, one_frozen)[2].metrics == results[2].metrics


def test_one_fails_and_the_others_have_their_results(
    runs: Runs, one_frozen: FrozenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = gradients.batch_losses

    def poisoned(frozen: FrozenModel, parts: Sequence[Any]) -> Any:
        losses = real(frozen, parts)
        wrong = [prompt.shape.tokens == 3 for prompt, _ in parts]
        return [one._replace(nats=one.nats * torch.nan) if bad else one for one, bad in zip(losses, wrong, strict=True)]

    monkeypatch.setattr(gradients, "batch_losses", poisoned)
    configs = runs(tmp_path, steps=10)
    done = run_together(configs, one_frozen)
    assert [result.status for result in done] == ["success", "success", "failed"]
    assert "10 steps in a row" in (done[2].reason or "")
    assert not done[2].metrics


def test_a_sweep_puts_them_together_and_says_so(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configs = [*runs(tmp_path), *runs(tmp_path, tokens=0)[:1]]
    assert run_all(configs, together=3) == []
    said = capsys.readouterr().err
    assert said.count("runs 1 to 3 of 4: ") == 1
    assert said.count(" and 2 more: 3 prompts together\n") == 1
    assert said.count("\nrun 4 of 4") == 1
    assert all(run_paths(config).result.is_file() for config in configs)


def test_time_is_shared_out(runs: Runs, one_frozen: FrozenModel, tmp_path: Path) -> None:
    """What each took is its own share: the sum is no more than the whole."""
    began = time.perf_counter()
    results = run_together(runs(tmp_path), one_frozen)
    took = time.perf_counter() - began
    walls = [result.timing.wall_seconds or 0 for result in results]
    assert sum(walls) < took
    assert all(wall > (result.timing.training_seconds or 0) > 0 for wall, result in zip(walls, results, strict=True))
