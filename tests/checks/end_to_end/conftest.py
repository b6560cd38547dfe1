"""Small whole runs: random legal games in a PGN, settings of a run of eight steps, and runs in processes that can be
killed."""

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import chess
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from soft_prompts.common.errors import Interrupted
from soft_prompts.config import RunConfig
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.files import items_path
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.training import measures
from soft_prompts.training.apparatus import run_paths
from tests.checks.made.disturbances import at_call, at_step, count_calls

PLIES = 6
TIMES = ("timing", "environment", "config")  # of a result; config is compared apart from its output folder


def random_game(seed: int, plies: int = 10) -> str:
    """One game of random legal moves, as lichess writes it."""
    rng, board = random.Random(seed), chess.Board()
    words: list[str] = []
    while len(words) < plies and not board.is_game_over():
        move = rng.choice(list(board.legal_moves))
        words.append(board.san(move))
        board.push(move)
    elos = rng.randrange(800, 2600), rng.randrange(800, 2600)
    headers = f'[Event "Rated Blitz game"]\n[WhiteElo "{elos[0]}"]\n[BlackElo "{elos[1]}"]\n[Result "1-0"]\n'
    numbered = (f"{place // 2 + 1}. {word}" if place % 2 == 0 else word for place, word in enumerate(words))
    return f"{headers}\n{' '.join(numbered)} 1-0\n\n"


@pytest.fixture(scope="session")
def games(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some games, one in twenty of them not playable; small enough for training to wrap round."""
    path = tmp_path_factory.mktemp("games") / "games.pgn"
    bad = random_game(0).replace("1. ", "1. Qh7 ")
    path.write_text("".join(bad if number % 20 == 7 else random_game(number) for number in range(140)))
    return path


@pytest.fixture(scope="session")
def settings(games: Path, tiny_folders: dict[str, Path]) -> Callable[..., RunConfig]:
    """A run of eight steps; changes are named by their field."""
    task = ChessTask(max_plies=PLIES)
    small = {"batch_size": 8, "sample_tokens": 48, "validation_samples": 6, "test_samples": 8, "max_bad": 0.5}
    small |= {"steps": 8, "warmup_steps": 2, "learning_rate": 1e-2, "validate_every": 4, "checkpoint_every": 2}
    base = RunConfig(task, str(tiny_folders["gpt_neox"]), 2, data=str(games), data_workers=0, hidden_width=8, **small)
    return lambda output, **changes: replace(base, output_dir=output, **changes)


class Outputs(NamedTuple):
    """All that a run leaves, without what depends on the clock or the place."""

    result: dict[str, Any]
    items: bytes
    prompt: bytes
    snapshot: bytes
    scalars: dict[str, list[tuple[int, float]]]
    other_events: dict[str, list[int]]


def outputs_of(config: RunConfig) -> Outputs:
    paths = run_paths(config)
    result = json.loads(paths.result.read_text())
    settings = {name: value for name, value in result["config"].items() if name != "output_dir"}
    kept = {name: value for name, value in result.items() if name not in TIMES} | {"config": settings}
    prompt = paths.snapshot / "prompt.safetensors"
    return Outputs(
        result=kept,
        items=items_path(paths.result).read_bytes(),
        prompt=prompt.read_bytes() if config.tokens else b"",
        snapshot=(paths.snapshot / "prompt.json").read_bytes() if config.tokens else b"",
        scalars=read_scalars(paths.events),
        other_events=read_other_events(paths.events),
    )


def read_events(folder: Path) -> EventAccumulator:
    everything = {"scalars": 0, "tensors": 0}  # 0: keep all
    return EventAccumulator(str(folder), everything).Reload()


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = read_events(folder)
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def read_other_events(folder: Path) -> dict[str, list[int]]:
    events = read_events(folder)
    return {tag: [e.step for e in events.Tensors(tag)] for tag in events.Tags()["tensors"]}


class Ended(NamedTuple):
    """How a run in another process ended."""

    code: int
    """Its exit code; minus the signal that ended it."""
    text: str
    """What it wrote to stderr."""


class Harness:
    """Runs in forked processes: everything is imported once, and a child can be killed at any moment."""

    def __init__(self, frozen: FrozenModel, logs: Path) -> None:
        self.frozen, self.logs, self.count = frozen, logs, 0

    def start(self, config: RunConfig, before: Callable[[], object] = lambda: None) -> tuple[int, Path]:
        """Process id of a child that calls `before` and runs, and the file of what it says."""
        self.count += 1
        log = self.logs / f"{self.count}.log"
        if child := os.fork():
            return child, log
        code = 1
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stderr = os.fdopen(2, "w", closefd=False)
            before()
            run(config, self.frozen)
            code = 0
        except KeyboardInterrupt:  # before the run listens; the command line has the same code for it
            code = Interrupted.exit_code
        except BaseException as error:
            code = getattr(error, "exit_code", 1)
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(code)

    def finish(self, child: int, log: Path, limit: float = 90) -> Ended:
        """Wait for a child's end; one that hangs is killed and fails the check."""
        until = time.monotonic() + limit
        while time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return Ended(os.waitstatus_to_exitcode(status), log.read_text() if log.exists() else "")
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise AssertionError(f"a run did not end within {limit} s: {log.read_text()}")

    def run(self, config: RunConfig, before: Callable[[], object] = lambda: None) -> Ended:
        """A run to its end."""
        return self.finish(*self.start(config, before))

    def kill(self, config: RunConfig, call: int, number: int = signal.SIGKILL) -> Ended:
        """A run that gets a signal at its `call`-th call of a function, Python's or C's, unless it ended before."""
        return self.run(config, before=lambda: at_call(call, lambda: os.kill(os.getpid(), number)))


@pytest.fixture(scope="module")
def few_training_items() -> Iterator[None]:
    """The loss of 256 training samples is most of the time of a run of three steps; test_training_facts.py has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "TRAINING_ITEMS", 16)
        yield


@pytest.fixture(scope="session")
def harness(one_frozen: FrozenModel, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    return Harness(one_frozen, tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="session")
def read_outputs() -> Callable[[RunConfig], Outputs]:
    return outputs_of


@pytest.fixture(scope="session")
def scalars_of() -> Callable[[Path], dict[str, list[tuple[int, float]]]]:
    return read_scalars


@pytest.fixture(scope="session")
def events_of() -> Callable[[Path], EventAccumulator]:
    return read_events


class Whole(NamedTuple):
    """A run that nothing disturbed."""

    config: RunConfig
    outputs: Outputs
    calls: int
    """Functions that it called: moments at which it could have been killed, on any machine the same."""


@pytest.fixture(scope="session")
def whole(harness: Harness, settings: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """What every killed and resumed run is compared with."""
    config = settings(tmp_path_factory.mktemp("whole"))
    calls = multiprocessing.RawValue("q")  # shared with the forked run
    ended = harness.run(config, before=lambda: count_calls(calls))
    assert ended.code == 0, ended.text
    return Whole(config, outputs_of(config), calls.value)


@pytest.fixture
def refused() -> Callable[..., Any]:
    """A context that wants an error of one line with the given words in it."""

    @contextmanager
    def expecting(kind: type[Exception], *words: str) -> Iterator[None]:
        with pytest.raises(kind) as caught:
            yield
        line = str(caught.value)
        assert "\n" not in line
        assert all(word in line for word in words), line

    return expecting


@pytest.fixture(scope="session")
def stopped(
    settings: Callable[..., RunConfig], harness: Harness, tmp_path_factory: pytest.TempPathFactory
) -> RunConfig:
    """A run that was stopped after five of eight steps; states 4 and 5 are there. Copy it, do not run it."""
    config = settings(tmp_path_factory.mktemp("stopped"))
    assert harness.run(config, before=at_step(5, lambda: os.kill(os.getpid(), signal.SIGTERM))).code == 4
    return config
