"""How is a run disturbed in a check? Killed, stopped or starved of disk, at a step or at a change of the disk."""

import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.config import RunConfig
from soft_prompts.experiments import run as one_run
from soft_prompts.prompts import snapshot
from soft_prompts.training import checkpoint, events
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.checkpoint import FILES

Settings = Callable[..., RunConfig]
Record = Callable[[str, object], None]
Disturbed = Callable[[], object]
faults = pytest.mark.faults
WRITES = ("fsync", "rename", "replace", "mkdir", "open", "rmdir", "unlink")  # of os: what a crash can fall between


def count_fault(record_property: Record, fault: str, outcomes: list[bool]) -> None:
    record_property("fault", {"fault": fault, "trials": len(outcomes), "passed": sum(outcomes)})
    assert all(outcomes), f"{fault}: {outcomes.count(False)} of {len(outcomes)} failed"


def ends_like(harness: Any, whole: Any, config: RunConfig, read_outputs: Callable[[RunConfig], Any]) -> bool:
    """Does the same command, started again, end with the bytes of the undisturbed run?"""
    ended = harness.run(config)
    return ended.code == 0 and read_outputs(config) == whole.outputs


def states(config: RunConfig) -> Path:
    return run_paths(config).snapshot / "state"


def at_step(step: int, act: Disturbed) -> Disturbed:
    """Calls `act` in a forked run when so many steps are done."""

    def install() -> None:
        real = one_run.train

        def train(frozen: Any, fits: Any, stop_asked: Any, report: Any) -> Any:
            def tell(going: Any) -> None:
                report(going)
                if going[0].progress.step == step:
                    act()

            return real(frozen, fits, stop_asked, tell)

        one_run.train = train

    return install


def count_calls(calls: Any) -> None:
    """Counts in `calls.value` every function that this thread calls from now on, Python's or C's."""

    def count(frame: object, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            calls.value += 1

    sys.setprofile(count)


def at_call(number: int, act: Disturbed) -> None:
    """Calls `act` once, at the `number`-th function that this thread calls from now on: before its first line."""
    left = number

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal left
        left -= event in ("call", "c_call")
        if left <= 0:
            sys.setprofile(None)
            act()

    sys.setprofile(count)


def fail_at(number: int, act: Disturbed, growing: bool = False) -> list[str]:
    """Calls `act` instead of the `number`-th change of the disk: each fsync, rename, opening, record, file of tensors.

    For good, so only in a forked process. `growing` leaves out what takes no room. Returns the changes as they come.
    """
    seen: list[str] = []

    def watch(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            seen.append(name)
            if len(seen) == number:
                if name == "save_file":  # torn in the middle of its bytes
                    real(*arguments, **options)
                    os.truncate(arguments[1], os.path.getsize(arguments[1]) // 2)
                act()
            return real(*arguments, **options)

        setattr(owner, name, watched)

    for name in WRITES[: -2 if growing else None]:
        watch(os, name)
    for owner in (checkpoint, snapshot):
        watch(owner, "save_file")
    watch(Path, "write_text")
    watch(events.RecordWriter, "write")
    return seen


def in_a_child(action: Callable[[], object]) -> int:
    """Exit code of a forked process that does it; 9 where it crashed at the wanted moment."""
    if not (child := os.fork()):
        try:
            action()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def no_room() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def rewrite(state: Path, **changes: Any) -> None:
    """Change facts of a state and make its manifest fit again."""
    facts = json.loads((state / "state.json").read_text())
    facts["identity"] |= changes
    (state / "state.json").write_text(json.dumps(facts))
    manifest = {name: hashlib.sha256((state / name).read_bytes()).hexdigest() for name in FILES}
    (state / "manifest.json").write_text(json.dumps(manifest))
