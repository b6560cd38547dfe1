"""Does a run that is killed, stopped, or met by others end as if nothing had happened?"""

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
from soft_prompts.common.signals import stop_signals
from soft_prompts.config import RunConfig
from soft_prompts.experiments import run as one_run
from soft_prompts.experiments.evidence.makers import Maker
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.checkpoint import newest
from soft_prompts.training.resume import only_writer
from tests.checks.made.disturbances import (
    Record,
    Settings,
    at_step,
    count_fault,
    ends_like,
    faults,
    rewrite,
    states,
)


@pytest.mark.parametrize(
    ("trials", "chain"), [(10, 1), (1, 5), pytest.param(200, 1, marks=faults), pytest.param(20, 5, marks=faults)]
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
        assert ended.text.count("finishing this step; again to lose it\n") == 1
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
        one_run.maker_of = lambda _: Maker(measure=lambda *_: (signal.raise_signal(signal.SIGTERM), time.sleep(60)))

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


def until_it_says(log: Path, words: str) -> str:
    """What a process in the background has said, once these words are in it."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        text = log.read_text() if log.exists() else ""
        if words in text:
            return text
        time.sleep(0.01)
    raise AssertionError(f"{words!r} is not in {text!r}")


@pytest.mark.parametrize("trials", [2, pytest.param(100, marks=faults)])
def test_a_second_run_waits_and_reads_the_result(
    harness: Any, settings: Settings, tmp_path: Path, record_property: Record, trials: int
) -> None:
    """It says once for whom; of the two, one made the result and the other read it."""
    outcomes = []
    for trial in range(trials):
        config = settings(tmp_path / str(trial), steps=2, checkpoint_every=2, validate_every=2)
        paths, gate = run_paths(config), tmp_path / f"go-{trial}"

        def hold(gate: Path = gate) -> None:
            while not gate.exists():
                time.sleep(0.01)

        first, first_log = harness.start(config, before=at_step(1, hold))
        until_it_says(first_log, "step 1/2")
        second, second_log = harness.start(config)
        said = until_it_says(second_log, "waiting for")
        assert f"waiting for process {first} on" in said
        assert "Ctrl-C stops the waiting" in said
        gate.touch()
        ended = [harness.finish(first, first_log), harness.finish(second, second_log)]
        made = paths.result.stat().st_mtime_ns
        right = [one.code for one in ended] == [0, 0] and ended[1].text.count("waiting for") == 1
        right &= "finished before, read from" in ended[1].text and "step 2/2" not in ended[1].text
        outcomes.append(right and not (paths.snapshot / "lock.holder").exists())
        assert harness.run(config).code == 0
        assert paths.result.stat().st_mtime_ns == made
    count_fault(record_property, "two runs, one path", outcomes)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_waiting_can_be_stopped(harness: Any, settings: Settings, tmp_path: Path, number: signal.Signals) -> None:
    config = settings(tmp_path, steps=2)
    with only_writer(run_paths(config)):
        other, log = harness.start(config)
        until_it_says(log, "waiting for")
        os.kill(other, number)
        ended = harness.finish(other, log)
    assert ended.code == Interrupted.exit_code
    waiting, stopped = ended.text.splitlines()
    assert waiting.startswith(f"waiting for process {os.getpid()} on ")
    assert stopped.startswith(f"Interrupted: stopped waiting for process {os.getpid()} on ")
    assert harness.run(config).code == 0


def test_a_second_run_goes_on_where_the_first_was_killed(
    harness: Any, whole: Any, settings: Settings, tmp_path: Path, read_outputs: Callable[[RunConfig], Any]
) -> None:
    """The lock is free at once, whatever its holder's file says; the second goes on from the state."""
    config = settings(tmp_path)

    def die_when_told() -> None:
        while not (tmp_path / "die").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

    first, first_log = harness.start(config, before=at_step(5, die_when_told))
    until_it_says(first_log, "step 4/8")
    second, second_log = harness.start(config)
    until_it_says(second_log, f"waiting for process {first} on")
    (tmp_path / "die").touch()
    assert harness.finish(first, first_log).code == -signal.SIGKILL
    ended = harness.finish(second, second_log)
    assert ended.code == 0, ended.text
    assert "goes on after step 4" in ended.text
    assert read_outputs(config) == whole.outputs


def test_a_holder_that_is_gone_is_no_hindrance(harness: Any, settings: Settings, tmp_path: Path) -> None:
    config = settings(tmp_path, steps=2)
    holder = run_paths(config).snapshot / "lock.holder"
    holder.parent.mkdir(parents=True)
    holder.write_text("process 1 on elsewhere")
    (holder.parent / "lock").touch()
    ended = harness.run(config)
    assert ended.code == 0
    assert "waiting" not in ended.text
    assert not holder.exists()


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
