"""How does a run meet what is there already: an earlier result, an unfinished state, another process or node?"""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from accelerate import PartialState
from filelock import FileLock, Timeout

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.common.files import refuse_link, writing_to
from soft_prompts.common.signals import stop_signals
from soft_prompts.config import RunConfig, settings_that_count
from soft_prompts.engine.processes import told_by_first
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.models.frozen import dtype_for
from soft_prompts.prompts.snapshot import forget_snapshot
from soft_prompts.results.files import items_path, read_result
from soft_prompts.results.schema import Result
from soft_prompts.results.shared import Shared, shared_of
from soft_prompts.training.apparatus import Apparatus, Paths, data_request, find_device
from soft_prompts.training.checkpoint import State, forget, newest, publish, sweep
from soft_prompts.training.environment import Versions, versions, versions_of
from soft_prompts.training.loop import Progress, is_over
from soft_prompts.training.sources import SOURCE_PRINT, has_other_source, source_folder

POLL_SECONDS = 0.2  # how soon a waiting run notices that the other one has ended
CLAIM_POLL_SECONDS = 2.0  # the same of another node, which a store has to be asked about
SITTINGS = "versions"  # among a state's facts


def finished_result(config: RunConfig, paths: Paths, title: str) -> Result | None:
    """The result of an earlier, successful run of the same settings, made from the same prompt if from any; with
    --fresh whatever is there is forgotten. The first process looks for all."""
    return told_by_first(lambda: _finished_result(config, paths, title))


def _finished_result(config: RunConfig, paths: Paths, title: str) -> Result | None:
    is_there, shared = paths.result.is_file(), shared_of(paths.result)
    found = None if config.fresh or not is_there else _read_finished(config, paths, title)
    if found is None:
        if shared is not None and is_there:  # what is made now takes its place, and would come second
            shared.forget(paths.result, items_path(paths.result))
        for target in (paths.result, items_path(paths.result)):
            refuse_link(target)  # at once, not when the work is done
    if config.fresh:
        _forget(paths)
    return found


def _read_finished(config: RunConfig, paths: Paths, title: str) -> Result | None:
    """A whole result may be a link to where it is kept."""
    try:
        result = read_result(paths.result)
    except InputError:
        refuse_link(paths.result)  # who mends what is behind it would write through it
        raise
    if result.status != "success":
        return None
    _refuse_changes(config, paths, result)
    if has_other_source(config, result):
        say(f"{title}: made again, for the prompt that it was made from is another one now ({source_folder(config)})")
        return None
    forget_states(paths)  # of a writer that was killed before it could
    said = _said_of_versions(versions_of(result.environment), versions())
    say(f"{title}: finished before, read from {paths.result}{said}")
    return result


def _forget(paths: Paths) -> None:
    """Result, snapshot and states of an earlier run."""
    with writing_to(paths.snapshot):
        paths.result.unlink(missing_ok=True)
        forget_snapshot(paths.snapshot)
    if (shared := shared_of(paths.snapshot)) is not None:
        shared.forget(paths.result, items_path(paths.result), paths.snapshot)
    forget(paths.snapshot / "state")


def forget_states(paths: Paths) -> None:
    """Of a finished run, here and where it is shared."""
    if (shared := shared_of(paths.snapshot)) is not None:
        shared.forget(paths.snapshot / "state")
    forget(paths.snapshot / "state")


def _refuse_changes(config: RunConfig, paths: Paths, result: Result) -> None:
    """Raise UsageError where data or model are not what the result was made with."""
    prints = {
        "data": (result.data.fingerprint, config.task.fingerprint(data_request(config))),
        "model": (
            result.model.fingerprint,
            find_fingerprint(
                config.model,
                revision=config.revision,
                offline=config.offline,
                trust_remote_code=config.trust_remote_code,
                like=result.model.fingerprint,
            ),
        ),
    }
    prints["dtype"] = (result.model.dtype, dtype_for(config.model, config.dtype, find_device(config.device)))
    for what, (then, now) in prints.items():
        if then != now:
            raise UsageError(
                f"the {what} changed since {paths.result} was made ({then}, now {now}); --fresh starts over"
            )


def identity(at: Apparatus) -> dict[str, Any]:
    """What a state belongs to: it is resumed by the same settings, model and data only."""
    prints = {"model_fingerprint": at.frozen.fingerprint, "data_fingerprint": at.data.fingerprint}
    prints["dtype"] = at.frozen.dtype  # auto is another precision on another device
    return settings_that_count(at.config) | prints | dict(at.source)


def publish_state(at: Apparatus, state: State) -> None:
    """Keep a resumable state; the first process writes for all."""
    if PartialState().is_main_process:
        whose = {"identity": identity(at), SITTINGS: sittings_with_this(at)}
        folder = at.paths.snapshot / "state"
        publish(folder, state._replace(facts={**state.facts, **whose}))
        if (shared := shared_of(folder)) is not None:
            try:
                shared.publish_state(folder / f"step-{state.step}")
            except InputError as error:  # it stands here; the work is worth more than its copy
                say(f"step {state.step} is kept on this machine alone: {error}")
    PartialState().wait_for_everyone()


def restore(at: Apparatus) -> State | None:
    """The newest whole state of this run, which the first process reads for all; raises UsageError if it belongs to
    other settings, model or data."""
    return told_by_first(lambda: _restore(at))


def _restore(at: Apparatus) -> State | None:
    state, problems = newest(at.paths.snapshot / "state")
    for problem in problems:
        say(problem)
    if state is None:
        return None
    there = state.facts["identity"]
    here = identity(at) | {"model_fingerprint": at.frozen.fingerprint_like(there.get("model_fingerprint"))}
    if SOURCE_PRINT in here:  # a state without it is of a version that kept none
        there = {SOURCE_PRINT: here[SOURCE_PRINT]} | there
    if here | {SOURCE_PRINT: None} == there | {SOURCE_PRINT: None} and here != there:
        say(f"{at.title}: starts over, for the prompt that it grows from is another one now")
        forget_states(at.paths)
        return None
    changed = [
        f"{name} was {there.get(name)}, is {here.get(name)}"
        for name in here | there
        if here.get(name) != there.get(name)
    ]
    if changed:
        raise UsageError(f"{at.paths.snapshot} was left by other settings: {'; '.join(changed)}; --fresh starts over")
    if not is_over(at.config, Progress(**state.facts["progress"])):
        sittings = earlier_sittings(state)
        said = _said_of_versions(sittings[-1], versions()) if sittings else ""
        say(f"{at.title}: goes on after step {state.step}{said}")
    return state


def earlier_sittings(state: State | None) -> list[Versions]:
    """The versions under which a run trained up to a state."""
    return [] if state is None else state.facts.get(SITTINGS, [])


def sittings_with_this(at: Apparatus) -> list[Versions]:
    """The versions of every sitting, first to last, those of one after another with the same once."""
    now = versions()
    return [*at.sittings, *([] if at.sittings and at.sittings[-1] == now else [now])]


def _said_of_versions(there: Versions, here: Versions) -> str:
    changed = [f"{name} {there[name]}, now {here[name]}" for name in here if there.get(name, here[name]) != here[name]]
    return f"; made under {', '.join(changed)}: not the same to the last bit" if changed else ""


@contextmanager
def only_writer(paths: Paths) -> Iterator[None]:
    """Hold the run's lock, having waited for another process that has it; raises Interrupted when told to stop. Of what
    is shared by a URL, hold the claim too, and have what is there.

    The first process holds it for all of a launch, however long the others wait with it.
    """
    lock, holder = FileLock(paths.snapshot / "lock"), paths.snapshot / "lock.holder"
    told_by_first(lambda: _acquire(paths, lock, holder))
    try:
        yield
    finally:
        if PartialState().is_main_process:
            if (shared := shared_of(paths.snapshot)) is not None:
                shared.claims.release(shared.name(paths.snapshot))
            holder.unlink(missing_ok=True)
            lock.release()


@contextmanager
def only_writers(runs: Sequence[Paths]) -> Iterator[None]:
    """Hold the locks of several runs; always taken in one order, so that no two commands wait for each other."""
    with ExitStack() as locks:
        for paths in sorted(runs):
            locks.enter_context(only_writer(paths))
        yield


def _acquire(paths: Paths, lock: FileLock, holder: Path) -> None:
    """The lock, once the folders stand; what cannot be written is said at once."""
    for folder in (paths.snapshot, paths.events, paths.result.parent):
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
    with writing_to(paths.snapshot):
        _wait_for(lock, holder)
        try:
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
            sweep(paths.snapshot / "state")
            if (shared := shared_of(paths.snapshot)) is not None:
                _claim(shared, paths)
        except BaseException:
            lock.release()
            raise


def _claim(shared: Shared, paths: Paths) -> None:
    """The run is ours among all nodes, and what it has come to anywhere is here."""
    run = shared.name(paths.snapshot)
    if (who := shared.claims.take(run)) is not None:
        with stop_signals(line=f"stopped waiting for {who}; the same command waits again, or goes on from there"):
            say(f"waiting for {who}, which is at this very run ({shared.store.url}/{run}); Ctrl-C stops the waiting")
            while shared.claims.take(run) is not None:
                time.sleep(CLAIM_POLL_SECONDS)
    try:
        shared.fetch_run(paths.result, items_path(paths.result), paths.snapshot)
    except BaseException:
        shared.claims.release(run)
        raise


def is_elsewhere(paths: Paths) -> bool:
    """Is another node at the run now, of those that share it by a URL?"""
    shared = shared_of(paths.snapshot)
    return shared is not None and shared.claims.is_others(shared.name(paths.snapshot))


def _wait_for(lock: FileLock, holder: Path) -> None:
    """The system frees the lock of a process that dies: its holder's name is for people alone."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = _name_of(holder)
        with stop_signals(line=f"stopped waiting for {who}; the same command waits again, or goes on from there"):
            say(f"waiting for {who}, which is at this very run ({holder.parent}); Ctrl-C stops the waiting")
            lock.acquire(poll_interval=POLL_SECONDS)


def _name_of(holder: Path) -> str:
    try:
        return holder.read_text() or "another process"
    except OSError:  # not written yet, or just gone
        return "another process"
