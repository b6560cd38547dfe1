"""Do two processes give the numbers of one, write once, and end together?"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.config import RunConfig
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.files import read_items, read_result
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.resume import only_writer
from tests.checks.made.disturbances import count_fault, rewrite

ROOT = Path(__file__).parents[3]
TIMEOUT = 240  # a machine that is busy with other work takes a minute to import torch twice
COMMAND = """
import atexit, os, sys, time
from datetime import timedelta
from pathlib import Path
import torch
from accelerate import PartialState
torch.set_num_threads(1)
from soft_prompts.config import RunConfig
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.experiments.run import run
from soft_prompts.training import gradients
settings = {settings!r}
names = Path("/proc/self/task").glob("*/comm")
at_end = Path("threads-" + os.environ["RANK"])
atexit.register(lambda: at_end.write_text(" ".join(path.read_text() for path in names)))
task = ChessTask(max_plies=settings.pop("plies"))
settings["output_dir"] = Path(settings.pop("output_dirs")[int(os.environ["RANK"])])
if (patience := settings.pop("patience", None)):
    PartialState(cpu=True, timeout=timedelta(seconds=patience))
if (pause := settings.pop("pause", 0)):
    real = gradients.batch_losses
    gradients.batch_losses = lambda *arguments: (time.sleep(pause), real(*arguments))[1]
result = run(RunConfig(task, **settings))
told = Path(f"process-{{PartialState().process_index}}-of-{{PartialState().num_processes}}")
told.write_text(repr(result.metrics["test_loss"].value))
"""
CHANGED = ("steps", "batch_size", "sample_tokens", "validation_samples", "test_samples", "max_bad", "data")
CHANGED += ("warmup_steps", "learning_rate", "validate_every", "checkpoint_every", "data_workers", "hidden_width")
CHANGED += ("parallel",)


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Two processes that run these settings, over the machine's own loop.

    With torch's launcher: `accelerate launch` hands several processes on a CPU to MPI.
    """

    def start(config: RunConfig, other: Path | None = None, **around: float) -> subprocess.Popen[str]:
        """`other`: where the second process puts its outputs, and finds none."""
        settings = {name: getattr(config, name) for name in (*CHANGED, "model", "tokens", "condition")}
        settings |= {"plies": config.task.max_plies, **around}
        settings["output_dirs"] = [str(config.output_dir), str(other or config.output_dir)]
        script = tmp_path / "command.py"
        script.write_text(COMMAND.format(settings=settings))
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
        return subprocess.Popen(
            [*launcher, str(script)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    return start


def test_two_processes_give_the_numbers_of_one(
    launch: Callable[..., subprocess.Popen[str]],
    settings: Callable[..., RunConfig],
    one_frozen: FrozenModel,
    tmp_path: Path,
    scalars_of: Callable[[Path], dict[str, list[tuple[int, float]]]],
) -> None:
    """A batch of five splits unevenly over them; one process writes for both."""
    one, two = (settings(tmp_path / name, steps=4, batch_size=5) for name in ("one", "two"))
    launched = launch(two)
    run(one, one_frozen)
    text, _ = launched.communicate(timeout=TIMEOUT)
    assert launched.returncode == 0, text
    assert sorted(path.name for path in tmp_path.glob("process-*")) == ["process-0-of-2", "process-1-of-2"]
    mine, theirs = (read_result(run_paths(config).result) for config in (one, two))
    assert run_paths(one).result.relative_to(tmp_path / "one") == run_paths(two).result.relative_to(tmp_path / "two")
    assert theirs.training.target_tokens == mine.training.target_tokens
    assert theirs.generations == mine.generations
    assert mine.metrics.keys() == theirs.metrics.keys()
    for name, metric in mine.metrics.items():
        if metric.value is None:  # of Elos that no test game has
            assert theirs.metrics[name] == metric
            continue
        assert theirs.metrics[name].value == pytest.approx(metric.value, abs=1e-5, rel=1e-6), name  # some are sums
    items = [read_items(run_paths(config).result) for config in (one, two)]
    assert items[1].loss_nats == pytest.approx(items[0].loss_nats, abs=1e-4)  # sums over some twenty tokens
    curves = [scalars_of(run_paths(config).events) for config in (one, two)]
    assert curves[0].keys() == curves[1].keys()
    for tag, points in curves[0].items():
        assert [step for step, _ in curves[1][tag]] == [step for step, _ in points]
        assert [value for _, value in curves[1][tag]] == pytest.approx(
            [value for _, value in points], abs=1e-4, rel=1e-6
        ), tag
    losses = [[value for _, value in curve["train/loss"]] for curve in curves]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert len(list(run_paths(two).events.iterdir())) == 1
    assert text.count("step 4/4") == 1


def test_no_process_ends_among_the_others(
    launch: Callable[..., subprocess.Popen[str]], settings: Callable[..., RunConfig], tmp_path: Path
) -> None:
    """A thread of the group that outlives Python may hold a tensor, and ends the process by SIGABRT."""
    text, _ = (launched := launch(settings(tmp_path / "out", steps=1))).communicate(timeout=TIMEOUT)
    assert launched.returncode == 0, text
    threads = [path.read_text() for path in sorted(tmp_path.glob("threads-*"))]
    assert ["python" in names for names in threads] == [True, True]
    assert not any("gloo" in names for names in threads)


def test_what_the_first_process_finds_the_others_are_told(
    launch: Callable[..., subprocess.Popen[str]],
    stopped: RunConfig,
    whole: Any,
    settings: Callable[..., RunConfig],
    tmp_path: Path,
) -> None:
    """On nodes without a shared disk: the second process has neither the state nor, later, the result."""
    shutil.copytree(stopped.output_dir, tmp_path / "first")
    config, other = settings(tmp_path / "first"), tmp_path / "second"
    for words in ("goes on after step 5", "finished before, read from"):
        launched = launch(config, other)
        text, _ = launched.communicate(timeout=TIMEOUT)
        assert launched.returncode == 0, text
        assert text.count(words) == 1
        told = [float(path.read_text()) for path in sorted(tmp_path.glob("process-*-of-2"))]
        assert told == pytest.approx([whole.outputs.result["metrics"]["test_loss"]["value"]] * 2, abs=1e-5)
        assert not other.exists()
    assert read_items(run_paths(config).result).loss_nats == pytest.approx(
        read_items(run_paths(whole.config).result).loss_nats, abs=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["state", "result"])
def test_what_the_first_process_refuses_ends_the_others_too(
    launch: Callable[..., subprocess.Popen[str]],
    stopped: RunConfig,
    settings: Callable[..., RunConfig],
    one_frozen: FrozenModel,
    tmp_path: Path,
    wrong: str,
) -> None:
    shutil.copytree(stopped.output_dir, tmp_path / "first")
    config = settings(tmp_path / "first")
    if wrong == "state":
        for state in (run_paths(config).snapshot / "state").glob("step-*"):
            rewrite(state, model_fingerprint="another")
    else:
        run(config, one_frozen)
        result = run_paths(config).result
        result.write_text(result.read_text().replace(one_frozen.fingerprint, f"{one_frozen.fingerprint[:-1]}-"))
    launched = launch(config, tmp_path / "second")
    text, _ = launched.communicate(timeout=TIMEOUT)
    assert launched.returncode != 0
    assert text.count("UsageError: ") >= 1, text
    assert "--fresh starts over" in text


@pytest.mark.slow
def test_processes_wait_for_another_run_longer_than_for_each_other(
    launch: Callable[..., subprocess.Popen[str]], settings: Callable[..., RunConfig], tmp_path: Path
) -> None:
    """The second process gives up on the first after ten seconds, but not where that waits for the run's lock."""
    config, patience = settings(tmp_path / "out", steps=2), 10
    with only_writer(run_paths(config)):
        launched = launch(config, patience=patience)
        assert launched.stdout is not None
        said = next(line for line in launched.stdout if "waiting for" in line)
        time.sleep(1.5 * patience)
        assert launched.poll() is None, said
    text, _ = launched.communicate(timeout=TIMEOUT)
    assert launched.returncode == 0, text
    assert len(list(tmp_path.glob("process-*-of-2"))) == 2


def children_of(process: int) -> list[int]:
    """Of a launcher, and of what it launched."""
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    found = [int(word) for word in told.stdout.split()]
    return [*found, *(grandchild for child in found for grandchild in children_of(child))]


def is_there(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.faults
@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_processes_dies(
    launch: Callable[..., subprocess.Popen[str]],
    settings: Callable[..., RunConfig],
    one_frozen: FrozenModel,
    tmp_path: Path,
    record_property: Any,
    victim: int,
) -> None:
    """The other ends too, within the timeout; a single process goes on from the last state, to stated tolerance."""
    whole = run(settings(tmp_path / "whole", steps=40, checkpoint_every=40, validate_every=40), one_frozen)
    outcomes = []
    for trial, parallel in enumerate(("none", "none", "none", "fsdp", "tensor")):
        config = settings(tmp_path / str(trial), steps=40, checkpoint_every=1, validate_every=40, parallel=parallel)
        harm_one(launch, config, victim, signal.SIGKILL)
        result = run(replace(config, parallel="none"), one_frozen)
        expected = pytest.approx(whole.metrics["test_loss"].value, abs=1e-3)
        outcomes.append(result.metrics["test_loss"].value == expected)
    count_fault(record_property, f"process {victim} of two dies", outcomes)


@pytest.mark.faults
@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_processes_hangs(
    launch: Callable[..., subprocess.Popen[str]],
    settings: Callable[..., RunConfig],
    one_frozen: FrozenModel,
    tmp_path: Path,
    record_property: Any,
    victim: int,
) -> None:
    """For good: the other ends in a line when its patience does, and the launcher ends the one that hangs."""
    whole = run(settings(tmp_path / "whole", steps=40, checkpoint_every=40, validate_every=40), one_frozen)
    outcomes = []
    for trial, parallel in enumerate(("none", "fsdp")):
        config = settings(tmp_path / str(trial), steps=40, checkpoint_every=1, validate_every=40, parallel=parallel)
        text = harm_one(launch, config, victim, signal.SIGSTOP, patience=20)
        result = run(replace(config, parallel="none"), one_frozen)
        expected = pytest.approx(whole.metrics["test_loss"].value, abs=1e-3)
        said = f"process {1 - victim} of 2 hears nothing of the others" in text
        outcomes.append(said and result.metrics["test_loss"].value == expected)
    count_fault(record_property, f"process {victim} of two hangs", outcomes)


BEFORE_A_RUN = """
import os, sys
from soft_prompts.common.command_line import guarded
from soft_prompts.engine.processes import meet, told_by_first
victim, met = sys.argv[1] == os.environ["RANK"], sys.argv[2] == "met"
with guarded() as ending:
    meet(cpu=True)
    if victim and met:
        os._exit(9)
    told_by_first(lambda: 1)
    if victim:
        os._exit(9)
    for _ in range(2):  # what the first one tells first may still be sent
        told_by_first(lambda: 1)
sys.exit(ending.exit_code)
"""


@pytest.mark.faults
@pytest.mark.parametrize("when", ["met", "told"])
@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_processes_dies_before_a_run_begins(victim: int, when: str) -> None:
    """Without a launcher, which would end the other one: it ends by itself, in the same line and code."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    around = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **around, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    words = [sys.executable, "-c", BEFORE_A_RUN, str(victim), when]
    two = [
        subprocess.Popen(
            words, env={**environment, "RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE, text=True
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=TIMEOUT)[1] for process in two]
    assert [process.returncode for process in two] == [9 if rank == victim else 4 for rank in (0, 1)]
    assert f"error: process {1 - victim} of 2 hears nothing of the others" in said[1 - victim].splitlines()[-1]


def harm_one(
    launch: Callable[..., subprocess.Popen[str]], config: RunConfig, victim: int, harm: signal.Signals, **around: float
) -> str:
    """Start two processes, harm one in the middle, and see both gone; what the launch said."""
    states = run_paths(config).snapshot / "state"
    launched = launch(config, pause=0.2, **around)
    until = time.monotonic() + TIMEOUT
    while len(list(states.glob("step-*"))) < 2 and time.monotonic() < until and launched.poll() is None:
        time.sleep(0.1)
    workers = [process for process in children_of(launched.pid) if "command.py" in _words(process)]
    assert len(workers) == 2, workers
    os.kill(sorted(workers)[victim], harm)
    began = time.monotonic()
    text, _ = launched.communicate(timeout=TIMEOUT)
    ended = time.monotonic() - began
    assert launched.returncode != 0
    assert not any(is_there(process) for process in workers)
    assert ended < 120 + around.get("patience", 0)
    return text


def _words(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""
