"""How do many runs share one machine? One after another, or side by side in processes that take the next run when
they are free."""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Sequence
from queue import Empty
from typing import Any, NamedTuple

import torch

from soft_prompts.common.errors import Interrupted
from soft_prompts.config import RunConfig
from soft_prompts.experiments.run import run
from soft_prompts.models.frozen import FrozenModel
from soft_prompts.results.files import BrokenResult, Result
from soft_prompts.training.apparatus import load_for, run_paths, title

POLL_SECONDS = 0.5  # how soon a worker's death is noticed


class RunFailed(RuntimeError):
    """A run ended badly; carries its line and exit code from another process."""

    def __init__(self, message: str, exit_code: int, details: str = "") -> None:
        super().__init__(message)
        self.exit_code, self.details = exit_code, details


def run_all(configs: Sequence[RunConfig], jobs: int = 1) -> list[str]:
    """Every run, to its result on disk; returns a line for each result that says `failed`.

    Stops at the first that ends without a result and raises what it raised.
    """
    paths = [run_paths(config) for config in configs]
    if len(set(paths)) < len(paths):
        raise ValueError("two runs of the grid have one path")  # settings_that_count forgot a setting
    if jobs == 1 or len(configs) == 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1:  # processes share each run
        return _one_after_another(configs)
    return _side_by_side(configs, jobs)


def _failure(config: RunConfig, result: Result) -> list[str]:
    return [] if result.status == "success" else [f"{title(config)} {result.status}: {result.reason}"]


def _ended(config: RunConfig, frozen: FrozenModel | None = None) -> list[str]:
    """A line for a run without a success; a broken result stands in the way of its own run alone."""
    try:
        return _failure(config, run(config, frozen))
    except BrokenResult as error:
        return [str(error)]


def _one_after_another(configs: Sequence[RunConfig]) -> list[str]:
    frozen, failures = None, []
    for config in configs:
        if frozen is not None and frozen.name != config.model:
            frozen = None  # let the old model go before the next one comes
        if frozen is None and not run_paths(config).result.is_file():  # a finished run needs no model
            frozen = load_for(config)
        failures += _ended(config, frozen)
    return failures


class _Ending(NamedTuple):
    """What a worker says of a run."""

    failures: Sequence[str] = ()
    error: str | None = None
    exit_code: int = 0
    details: str = ""


def _side_by_side(configs: Sequence[RunConfig], jobs: int) -> list[str]:
    """Workers are started afresh (no fork of a process that has threads); the largest prompts go first."""
    context = multiprocessing.get_context("spawn")
    todo: Any = context.Queue()
    todo.cancel_join_thread()  # after a failure nobody reads the rest, and leaving must not wait for a reader
    endings: Any = context.Queue()
    for config in sorted(configs, key=lambda config: -config.tokens):
        todo.put(config)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    workers = [context.Process(target=_work, args=(todo, endings, threads)) for _ in range(min(jobs, len(configs)))]
    stopped: list[int] = []
    before = {
        number: signal.signal(number, lambda *_: _stop(workers, stopped)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        for worker in workers:
            todo.put(None)
            worker.start()
        return _wait(endings, len(configs), workers, stopped)
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()  # its run publishes its last whole step
            worker.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(endings: Any, count: int, workers: Sequence[Any], stopped: list[int]) -> list[str]:
    """Until every run has a result; raises for the first that has none, or when a worker dies."""
    ended, failures = 0, []
    while ended < count:
        try:
            ending: _Ending = endings.get(timeout=POLL_SECONDS)
        except Empty:
            if stopped:
                if any(worker.is_alive() for worker in workers):
                    continue
                raise Interrupted("stopped; the same command goes on from there") from None
            if dead := [worker.exitcode for worker in workers if worker.exitcode]:
                raise RunFailed(
                    f"a run's process died with code {dead[0]}; the same command goes on from there", 1
                ) from None
            continue
        ended += 1
        if ending.error is not None:
            raise RunFailed(ending.error, ending.exit_code, ending.details)
        failures += ending.failures
    return failures


def _work(todo: Any, endings: Any, threads: int) -> None:
    """A worker's life: runs from the queue, until there is none left or one ends badly."""
    os.setpgrp()  # Ctrl-C goes to every process of a terminal; this one hears of it from its parent, once
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    while (config := todo.get()) is not None:
        try:
            endings.put(_Ending(_ended(config)))
        except BaseException as error:
            code = getattr(error, "exit_code", 1)
            endings.put(_Ending((), str(error) or type(error).__name__, code, traceback.format_exc()))
            return


def _end_with_parent() -> None:
    """A parent that is killed takes its workers along, each after its last whole step."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _stop(workers: Sequence[Any], stopped: list[int]) -> None:
    """Pass a signal on; the second one ends at once."""
    for worker in workers:
        if worker.is_alive():
            (worker.kill if stopped else worker.terminate)()
    stopped.append(1)
