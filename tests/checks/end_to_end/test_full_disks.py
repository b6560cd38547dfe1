"""What if the disk has no room, or a process dies, while the outputs of a run are written?"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.common.errors import InputError, OutOfRoom
from soft_prompts.config import RunConfig
from soft_prompts.experiments import run as one_run
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.training.checkpoint import newest
from tests.checks.made.disturbances import (
    Disturbed,
    Record,
    Settings,
    count_fault,
    ends_like,
    fail_at,
    faults,
    no_room,
    states,
)


@pytest.mark.parametrize("every", [9, pytest.param(2, marks=faults)])
def test_killed_while_the_result_is_written(
    harness: Any,
    whole: Any,
    settings: Settings,
    tmp_path: Path,
    read_outputs: Callable[[RunConfig], Any],
    record_property: Record,
    every: int,
) -> None:
    """Events, snapshot, items and result: killed between any two of their writes, the run ends the same."""
    outcomes = []

    def before(number: int, act: Disturbed) -> Disturbed:
        def install() -> None:
            real = one_run.record

            def record(*arguments: Any) -> None:
                fail_at(number, act)
                real(*arguments)

            one_run.record = record

        return install

    first = tmp_path / "trained"
    assert harness.run(settings(first), before=before(1, lambda: os._exit(9))).code == 9
    for number in range(1, 400, every):
        shutil.copytree(first, tmp_path / str(number))
        config = settings(tmp_path / str(number))
        ended = harness.run(config, before=before(number, lambda: os._exit(9)))
        if ended.code == 0:
            break
        outcomes.append(ends_like(harness, whole, config, read_outputs))
    assert len(outcomes) >= 36 / every
    count_fault(record_property, "SIGKILL while the result is written", outcomes)


@pytest.mark.parametrize("every", [17, pytest.param(2, marks=faults)])
def test_disk_full(
    stopped: RunConfig,
    harness: Any,
    whole: Any,
    settings: Settings,
    tmp_path: Path,
    read_outputs: Callable[[RunConfig], Any],
    record_property: Record,
    every: int,
) -> None:
    """No room at one change of the disk after another, state, events, snapshot and result: exit 75, then as if not."""
    counted = tmp_path / "changes"

    def count() -> None:
        seen = fail_at(0, no_room, growing=True)
        real = one_run.record
        one_run.record = lambda *arguments: (real(*arguments), counted.write_bytes(b"." * len(seen)))

    shutil.copytree(stopped.output_dir, tmp_path / "0")
    assert harness.run(settings(tmp_path / "0"), before=count).code == 0
    changes = counted.stat().st_size
    assert changes > 60
    outcomes = []
    for number in range(1, changes + 1, every):
        shutil.copytree(stopped.output_dir, tmp_path / str(number))
        config = settings(tmp_path / str(number))
        ended = harness.run(config, before=lambda number=number: fail_at(number, no_room, growing=True))
        if ended.code:  # what was to be removed may stay, and the run goes on
            said = ended.code == OutOfRoom.exit_code and ended.text.count("full; make room") == 1
            intact, problems = newest(states(config))
            assert said, f"{number}: {ended.text}"
            assert intact is not None
            assert intact.step >= 5
            assert not problems
        outcomes.append(ends_like(harness, whole, config, read_outputs))
    count_fault(record_property, "disk full", outcomes)


@faults
def test_a_really_full_disk(
    harness: Any, whole: Any, settings: Settings, tmp_path: Path, read_outputs: Callable[[RunConfig], Any]
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        for free_kb in (1, 8, 24, 64, 128):
            config = settings(small / "out")
            left = shutil.disk_usage(small).free - free_kb * 1024
            (small / "filler").write_bytes(b"\0" * max(0, left))
            ended = harness.run(config)
            assert ended.code in (0, OutOfRoom.exit_code), ended.text
            (small / "filler").unlink()
        assert ends_like(harness, whole, config, read_outputs)
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize("blocked", ["", "runs", "results", "snapshots"])
def test_outputs_that_cannot_be_written(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, refused: Any, blocked: str
) -> None:
    """A file in the place of a folder; permissions would not stop the superuser."""
    output = tmp_path / "out"
    if blocked:
        output.mkdir()
        (output / blocked).write_text("in the way")
    else:
        output.write_text("in the way")
    with refused(InputError, "cannot be written", "give another"):
        run(settings(output, steps=1), one_frozen)
