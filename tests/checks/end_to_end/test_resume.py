"""Does a run that is killed, stopped, or met by others end as if nothing had happened?"""

import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.common.errors import Interrupted, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.experiments import run as one_run
from soft_prompts.experiments.run import run
from soft_prompts.models.frozen import FrozenModel
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.checkpoint import FILES, newest
from soft_prompts.training.resume import only_writer, stop_signals
from tests.checks.made.disturbances import (
    Record,
    Settings,
    at_step,
    count_fault,
    ends_like,
    faults,
    states,
)


@pytest.mark.parametrize(
    ("trials", "chain"), [(10, 1), (1, 5), pytest.param(50, 1, marks=faults), pytest.param(20, 5, marks=faults)]
)
def test_killed_at_random_moments(
    harness: Any,
    whole: Any,
    settings: Settings,
    tmp_path: Path,
    read_outputs: Callable[[RunConfig], Any],
    record_property: Record,
    trials: int,
    chain: int,
) -> None:
    rng = random.Random(chain)
    outcomes, killed = [], 0
    for trial in range(trials):
        config = settings(tmp_path / str(trial))
        for _ in range(chain):
            ended = harness.kill(config, rng.randrange(1, int(whole.calls / chain**0.5)))
            assert ended.code in (0, -signal.SIGKILL), ended.text
            killed += ended.code != 0
        outcomes.append(ends_like(harness, whole, config, read_outputs))
        leftovers = [path for path in (tmp_path / str(trial)).rglob(".*") if path.name != ".tmp-events"]
        assert not leftovers, leftovers
    assert killed > trials * chain / 3, "most kills came after the end: this showed nothing"
    count_fault(record_property, f"SIGKILL at a random moment, {chain} in a row", outcomes)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop(
    harness: Any,
    whole: Any,
    settings: Settings,
    tmp_path: Path,
    read_outputs: Callable[[RunConfig], Any],
    record_property: Record,
    number: signal.Signals,
) -> None:
    """Exit code 4, the last whole step on disk however long ago the last checkpoint was, and equal bytes at the end."""
    outcomes = []
    for step in (1, 3, 4):
        config = settings(tmp_path / str(step), checkpoint_every=4)
        ended = harness.run(config, before=at_step(step, lambda: os.kill(os.getpid(), number)))
        state, problems = newest(run_paths(config).snapshot / "state")
        right = ended.code == Interrupted.exit_code and state is not None and state.step == step and not problems
        assert f"stopped after step {step}" in ended.text
        assert not run_paths(config).result.exists()
        assert harness.run(config).code == 0
        mine = read_outputs(config)
        theirs = whole.outputs
        same = (mine.prompt, mine.items, mine.scalars) == (theirs.prompt, theirs.items, theirs.scalars)
        outcomes.append(right and same)
    count_fault(record_property, f"{number.name}", outcomes)


def test_a_second_signal_ends_at_once(harness: Any, settings: Settings, tmp_path: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    ended = harness.run(settings(tmp_path, checkpoint_every=4), before=at_step(3, twice))
    assert ended.code == 128 + signal.SIGTERM
    assert newest(run_paths(settings(tmp_path, checkpoint_every=4)).snapshot / "state")[0] is None


@pytest.mark.parametrize("trials", [4, pytest.param(50, marks=faults)])
def test_asked_to_stop_at_random_moments(
    harness: Any,
    whole: Any,
    settings: Settings,
    tmp_path: Path,
    read_outputs: Callable[[RunConfig], Any],
    record_property: Record,
    trials: int,
) -> None:
    """In training, before it and after it: exit code 4 and one line, and the same end as if nobody had asked."""
    rng = random.Random(trials)
    outcomes, stopped = [], 0
    for trial in range(trials):
        config = settings(tmp_path / str(trial))
        number = rng.choice([signal.SIGTERM, signal.SIGINT])
        ended = harness.kill(config, rng.randrange(1, whole.calls), number)
        stopped += ended.code == Interrupted.exit_code
        right = ended.code in (0, Interrupted.exit_code, -number) and "Traceback" not in ended.text
        assert right, ended
        outcomes.append(right and ends_like(harness, whole, config, read_outputs))
    assert stopped > trials / 2
    count_fault(record_property, "SIGTERM, SIGINT at a random moment", outcomes)


def test_a_stop_outside_of_training(
    harness: Any, whole: Any, settings: Settings, tmp_path: Path, read_outputs: Callable[[RunConfig], Any]
) -> None:
    """While the last measures are taken there is nothing to wait for."""

    def install() -> None:
        one_run.measure = lambda *_: (signal.raise_signal(signal.SIGTERM), time.sleep(60))

    config = settings(tmp_path)
    ended = harness.run(config, before=install)
    assert ended.code == Interrupted.exit_code, ended.text
    assert "stopped; the same command goes on" in ended.text
    assert ends_like(harness, whole, config, read_outputs)


def test_signals_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def hear_one() -> None:
        with stop_signals() as stop, stop.after_whole_steps():
            assert not stop.asked()
            signal.raise_signal(signal.SIGTERM)
            assert stop.asked()

    with pytest.raises(Interrupted):
        hear_one()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("trials", [3, pytest.param(100, marks=faults)])
def test_two_runs_on_one_path(
    harness: Any, settings: Settings, tmp_path: Path, record_property: Record, trials: int
) -> None:
    """One winner; the other is told who has it, and exits with 2."""
    outcomes = []
    for trial in range(trials):
        config = settings(tmp_path / str(trial), steps=2, checkpoint_every=2, validate_every=2)
        paths = run_paths(config)
        with only_writer(paths):
            other = harness.run(config)
        refused = other.code == UsageError.exit_code and f"process {os.getpid()} on" in other.text
        outcomes.append(refused and not (paths.snapshot / "lock.holder").exists())
    assert harness.run(settings(tmp_path / "0", steps=2, checkpoint_every=2, validate_every=2)).code == 0
    count_fault(record_property, "two runs, one path", outcomes)


def rewrite(state: Path, **changes: Any) -> None:
    """Change facts of a state and make its manifest fit again."""
    facts = json.loads((state / "state.json").read_text())
    facts["identity"] |= changes
    (state / "state.json").write_text(json.dumps(facts))
    manifest = {name: hashlib.sha256((state / name).read_bytes()).hexdigest() for name in FILES}
    (state / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def copied(stopped: RunConfig, settings: Settings, tmp_path: Path) -> RunConfig:
    shutil.copytree(stopped.output_dir, tmp_path / "copy")
    return settings(tmp_path / "copy")


def test_other_settings_on_the_same_path_are_refused(
    copied: RunConfig, one_frozen: FrozenModel, refused: Any, record_property: Record
) -> None:
    """Every setting that counts, the model and the data: named, with what it was and what it is."""
    state = states(copied) / "step-5"
    real = (state / "state.json").read_text()
    names = list(json.loads(real)["identity"])
    assert {"learning_rate", "batch_size", "task", "model_fingerprint", "data_fingerprint", "dtype"} <= set(names)
    for name in names:
        rewrite(state, **{name: "something else"})
        with refused(UsageError, f"{name} was something else, is ", "--fresh starts over"):
            run(copied, one_frozen)
        (state / "state.json").write_text(real)
    count_fault(record_property, "configuration changed on resume", [True] * len(names))


def test_data_changed_under_a_run(
    settings: Settings, games: Path, tmp_path: Path, one_frozen: FrozenModel, refused: Any, harness: Any
) -> None:
    data = tmp_path / "games.pgn"
    shutil.copy(games, data)
    unfinished, finished = settings(tmp_path / "a", data=str(data)), settings(tmp_path / "b", data=str(data), steps=2)
    assert harness.run(unfinished, before=at_step(3, lambda: os.kill(os.getpid(), signal.SIGTERM))).code == 4
    assert harness.run(finished).code == 0
    data.write_text(games.read_text() + "\n")
    with refused(UsageError, "data_fingerprint was", "--fresh"):
        run(unfinished, one_frozen)
    with refused(UsageError, "the data changed since", "--fresh"):
        run(finished, one_frozen)
    assert run(settings(tmp_path / "a", data=str(data), fresh=True), one_frozen).training.steps == 8


def test_a_run_with_a_broken_state_goes_on_from_the_one_before(
    copied: RunConfig, harness: Any, whole: Any, read_outputs: Callable[[RunConfig], Any]
) -> None:
    os.truncate(states(copied) / "step-5" / "state.safetensors", 100)
    ended = harness.run(copied)
    assert ended.code == 0
    assert "step-5 is damaged" in ended.text
    assert "goes on after step 4" in ended.text
    assert read_outputs(copied) == whole.outputs
