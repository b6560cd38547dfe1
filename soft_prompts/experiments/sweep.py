"""How do many runs share one machine? In groups that go through the model together, one group after another, or side by
side in processes that take the next one when they are free."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from queue import Empty
from typing import Any, NamedTuple

from soft_prompts.common.console import each_line_once, say, say_at_once
from soft_prompts.common.errors import InputError, Interrupted, UsageError, goes_on
from soft_prompts.common.machine import keep_freed_memory, threads_for
from soft_prompts.common.signals import FINISHING
from soft_prompts.config import RunConfig
from soft_prompts.engine.workers import begin_worker
from soft_prompts.experiments.grid import Together
from soft_prompts.experiments.groups import fetch_results, free_first, groups
from soft_prompts.experiments.progress import GridProgress, Turn
from soft_prompts.experiments.run import run_together
from soft_prompts.prompts.kinds import PROMPTS
from soft_prompts.results.files import BrokenResult
from soft_prompts.results.schema import Result
from soft_prompts.training.apparatus import LoadedModel, refuse_long_prompts, run_paths

POLL_SECONDS = 0.5  # how soon a worker's death is noticed


class RunFailed(RuntimeError):
    """A run ended badly; carries its line and exit code from another process."""

    def __init__(self, message: str, exit_code: int, details: str = "") -> None:
        super().__init__(message)
        self.exit_code, self.details = exit_code, details


class Lost(NamedTuple):
    """Runs that ended without a result."""

    configs: Sequence[RunConfig]
    reason: str
    exit_code: int


def run_all(
    configs: Sequence[RunConfig], jobs: int = 1, together: Together = "auto", lost: list[Lost] | None = None
) -> list[str]:
    """Every run, to its result on disk; returns a line for each result that says `failed`.

    Stops at the first that ends without a result and raises what it raised; with a list for the `lost` the others go
    on, but for a signal.
    """
    paths = [run_paths(config) for config in configs]
    if len(set(paths)) < len(paths):
        raise ValueError("two runs of the grid have one path")  # settings_that_count forgot a setting
    fetch_results(configs)
    if lost is None:
        refuse_long_prompts([config for config in configs if _is_to_be_made(config)])
    else:
        configs = _those_that_fit(configs, lost)
    with each_line_once():
        if jobs > 1 and len(configs) > 1 and _may_share_out(configs):
            return _side_by_side(GridProgress(configs, jobs), groups(configs, together, jobs), lost)
        progress, loaded, failures = GridProgress(configs, 1), LoadedModel(), list[str]()  # which holds one model
        for places in free_first(groups(configs, together), lambda places: [configs[place] for place in places]):
            with progress.turn(places) as turn:
                some = [configs[place] for place in places]
                turn = turn._replace(load=partial(loaded.named_by, some[0]))
                for one in _outcomes(places, some, turn, lost is not None):
                    failures += one.failures
                    if lost is not None and one.error is not None:
                        lost.append(Lost([configs[place] for place in one.places], one.error, one.exit_code))
        return failures


def _is_to_be_made(config: RunConfig) -> bool:
    return config.fresh or not run_paths(config).result.is_file()


def _those_that_fit(configs: Sequence[RunConfig], lost: list[Lost]) -> list[RunConfig]:
    """All but the runs whose model is missing, or too short for prompt and text."""
    alike: dict[tuple[str, str | None, int], list[RunConfig]] = {}
    for config in filter(_is_to_be_made, configs):
        alike.setdefault((config.model, config.revision, config.tokens + config.sample_tokens), []).append(config)
    refused: set[int] = set()
    for some in alike.values():
        try:
            refuse_long_prompts(some[:1])
        except (UsageError, InputError) as error:
            lost.append(Lost(some, str(error), error.exit_code))
            refused |= set(map(id, some))
    return [config for config in configs if id(config) not in refused]


def _said(error: BaseException) -> str:
    """In one line; an error that nobody foresaw by its kind too."""
    text = " ".join(str(error).split())
    return text if text and hasattr(error, "exit_code") else f"{type(error).__name__}: {text}"


def _may_share_out(configs: Sequence[RunConfig]) -> bool:
    """Can runs go to processes of their own? Not where processes share each run, nor where no other one can import
    what a run is made of, which is said."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return False
    own = {type(config.task) for config in configs} | {kind for kind in PROMPTS.values() if isinstance(kind, type)}
    if here := sorted(kind.__name__ for kind in own if not _is_importable(kind)):
        say(f"{', '.join(here)}: no other process can import what is defined in a notebook or script; one job does all")
    return not here


def _is_importable(kind: type) -> bool:
    """Can another process import the class? Not what stands in a notebook, a script or a function."""
    if kind.__module__ == "__main__" or "<locals>" in kind.__qualname__:
        return False
    try:
        return find_spec(kind.__module__) is not None
    except (ImportError, ValueError):  # its package is not there; it was made by hand
        return False


def _failures(turn: Turn, results: Sequence[Result]) -> list[str]:
    return [
        f"{title} {result.status}: {result.reason}"
        for title, result in zip(turn.titles, results, strict=True)
        if result.status != "success"
    ]


class _Heard(NamedTuple):
    """What is heard of the runs at some places: that they begin, or how they ended."""

    places: Sequence[int]
    ended: bool = False
    failures: Sequence[str] = ()
    error: str | None = None
    exit_code: int = 0
    details: str = ""
    broke: bool = False
    """An error ended all of them at once."""


def _outcomes(places: Sequence[int], configs: Sequence[RunConfig], turn: Turn, spares: bool) -> Iterator[_Heard]:
    """How the runs of a group ended. Raises what one of them raised; where it `spares` the others, each run of a group
    that broke is made by itself, and nothing is raised but Interrupted."""
    try:
        ended = _Heard(places, True, _failures(turn, run_together(configs, turn=turn)))
    except BrokenResult as error:  # it stands in the way of its own run alone
        ended = _Heard(places, True, (str(error),), broke=True)
    except Exception as error:
        if not spares or isinstance(error, Interrupted):
            raise
        ended = _Heard(places, True, (), _said(error), getattr(error, "exit_code", 1), broke=True)
    if not (ended.broke and spares and len(places) > 1):
        yield ended
        return
    say(f"{turn.title} broke together; each is made by itself")  # here nothing holds the broken group's memory
    for place, config, title in zip(places, configs, turn.titles, strict=True):
        yield from _outcomes([place], [config], turn._replace(titles=[title]), spares)


def _side_by_side(
    progress: GridProgress, together: Sequence[Sequence[int]], lost: list[Lost] | None = None
) -> list[str]:
    """Workers are started afresh (no fork of a process that has threads); the largest prompts go first."""
    context = multiprocessing.get_context("spawn")
    todo: Any = context.Queue()
    todo.cancel_join_thread()  # after a failure nobody reads the rest, and leaving must not wait for a reader
    heard: Any = context.Queue()
    configs, jobs = progress.configs, min(progress.jobs, len(together))
    for places in sorted(together, key=lambda places: -max(configs[place].tokens for place in places)):
        todo.put((places, [configs[place] for place in places], [progress.titles[place] for place in places]))
    given = (todo, heard, threads_for(jobs), PROMPTS, lost is not None)
    workers = [context.Process(target=_work, args=given) for _ in range(jobs)]
    stopped: list[int] = []
    before = {
        number: signal.signal(number, lambda *_: _stop(workers, stopped)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        for worker in workers:
            todo.put(None)
            worker.start()
        return _wait(heard, progress, Workers(workers, stopped), lost)
    finally:
        for worker in workers:
            if worker.is_alive() and not stopped:  # told twice it would lose its step
                worker.terminate()  # its runs publish their last whole step
            worker.join()
        for number, handler in before.items():
            signal.signal(number, handler)


class Workers(NamedTuple):
    """The processes, and a mark for each signal that they were told of."""

    all: Sequence[Any]
    stopped: list[int]


def _wait(heard: Any, progress: GridProgress, workers: Workers, lost: list[Lost] | None) -> list[str]:
    """Until every run has ended; raises when a worker dies, and for the first run without a result unless the lost are
    listed."""
    failures: list[str] = []
    while len(progress.took) < len(progress.configs):
        try:
            news: _Heard = heard.get(timeout=POLL_SECONDS)
        except Empty:
            if workers.stopped:
                if any(worker.is_alive() for worker in workers.all):
                    continue
                raise Interrupted(f"stopped; {goes_on(progress.configs[0].fresh)}") from None
            if dead := [worker.exitcode for worker in workers.all if worker.exitcode]:
                raise RunFailed(
                    f"a run's process died with code {dead[0]}; the same command goes on from there", 1
                ) from None
            continue
        if news.error is not None:
            if lost is None or news.exit_code == Interrupted.exit_code:
                raise RunFailed(news.error, news.exit_code, news.details)
            lost.append(Lost([progress.configs[place] for place in news.places], news.error, news.exit_code))
        (progress.ends if news.ended else progress.begins)(news.places)
        failures += news.failures
    return failures


def _work(todo: Any, heard: Any, threads: int, prompts: Mapping[str, Any], spares: bool) -> None:
    """A worker's life: groups of runs from the queue, until there is none left or one ends badly; where it `spares` the
    others, they go on."""
    PROMPTS.update(prompts)  # architectures that were registered in the parent alone
    begin_worker(threads)
    keep_freed_memory()
    loaded = LoadedModel()
    with each_line_once():
        for places, configs, names in free_first(iter(todo.get, None), lambda task: task[1]):
            heard.put(_Heard(places))
            try:
                turn = Turn(names, load=partial(loaded.named_by, configs[0]))
                for one in _outcomes(places, configs, turn, spares):
                    heard.put(one)
            except BaseException as error:
                code, said = getattr(error, "exit_code", 1), str(error) or type(error).__name__
                heard.put(_Heard(places, True, (), said, code, traceback.format_exc()))
                return


def _stop(workers: Sequence[Any], stopped: list[int]) -> None:
    """Say it for all, and pass the signal on; the second one ends at once."""
    if not stopped:
        say_at_once(FINISHING)
    for worker in workers:
        if worker.is_alive():
            (worker.kill if stopped else worker.terminate)()
    stopped.append(1)
