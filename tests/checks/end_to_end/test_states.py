"""Is a state there whole or not at all, whatever is killed, torn or flipped?"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from soft_prompts.training import events
from soft_prompts.training.checkpoint import FILES, State, newest, publish, sweep
from tests.checks.made.disturbances import (
    Record,
    count_fault,
    fail_at,
    faults,
    in_a_child,
)


def a_state(step: int) -> State:
    generator = torch.Generator().manual_seed(step)
    return State(step, {"prompt.matrix": torch.randn(2, 3, generator=generator)}, {"identity": {"seed": 0}, "n": step})


def same_state(one: State | None, other: State | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.step, one.facts) == (other.step, other.facts) and all(
        torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors | other.tensors
    )


def test_killed_while_publishing(tmp_path: Path, record_property: Record) -> None:
    """A crash at every step of every publication: the state before or the new one, whole; the rest is swept."""
    outcomes = []
    for old, new in ((None, 2), (2, 4), (6, 8), (8, 8)):
        for number in range(1, 200):
            folder = tmp_path / f"{old}-{new}-{number}"
            for step in (4, 6, 8) if old and old > 4 else (2,) if old else ():
                if step <= old:
                    publish(folder, a_state(step))

            def crash(folder: Path = folder, number: int = number, new: int = new) -> None:
                fail_at(number, lambda: os._exit(9))
                publish(folder, a_state(new))

            code = in_a_child(crash)
            found, problems = newest(folder)
            before = a_state(old) if old else None
            right = same_state(found, a_state(new)) or (code == 9 and same_state(found, before))
            sweep(folder)
            left = [path.name for path in folder.glob("*") if path.name.startswith(".")]
            publish(folder, a_state(new))  # the same step again
            outcomes.append(right and not problems and not left and same_state(newest(folder)[0], a_state(new)))
            if code == 0:
                break
        else:
            raise AssertionError("publishing never came to its end")
    assert len(outcomes) > 20
    count_fault(record_property, "SIGKILL while publishing a state", outcomes)


@pytest.mark.parametrize("flips", [50, pytest.param(1000, marks=faults)])
def test_flipped_bits_are_noticed(tmp_path: Path, record_property: Record, flips: int) -> None:
    publish(tmp_path, a_state(2))
    publish(tmp_path, a_state(4))
    files = [tmp_path / "step-4" / name for name in (*FILES, "manifest.json")]
    rng = random.Random(0)
    outcomes = []
    for _ in range(flips):
        file = rng.choice(files)
        real = file.read_bytes()
        broken = bytearray(real)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        file.write_bytes(broken)
        found, problems = newest(tmp_path)
        outcomes.append(same_state(found, a_state(2)) and len(problems) == 1 and "step-4 is damaged" in problems[0])
        file.write_bytes(real)
    assert same_state(newest(tmp_path)[0], a_state(4))
    count_fault(record_property, "corrupt state: bit flip", outcomes)


def test_torn_missing_and_empty_states_are_noticed(tmp_path: Path, record_property: Record) -> None:
    publish(tmp_path, a_state(2))
    publish(tmp_path, a_state(4))
    state, good = tmp_path / "step-4", tmp_path / "good"
    shutil.copytree(state, good)
    outcomes = []

    def judge(name: str) -> None:
        found, problems = newest(tmp_path)
        outcomes.append(same_state(found, a_state(2)) and len(problems) == 1 and name in problems[0])
        shutil.rmtree(state)
        shutil.copytree(good, state)

    for name in (*FILES, "manifest.json"):
        size = (state / name).stat().st_size
        for length in (0, 1, size // 2, size - 1):
            os.truncate(state / name, length)
            judge("step-4 is damaged")
        (state / name).unlink()
        judge(f"{name} is missing")
        for content in ("null", "7", "[]", '["state.safetensors", "state.json"]', "[" * 100_000, "\ud800"):
            (state / name).write_bytes(content.encode("utf-8", "surrogatepass"))
            judge("step-4 is damaged")
    shutil.rmtree(state)
    state.mkdir()
    judge("manifest.json is missing")
    shutil.rmtree(tmp_path / "step-2")
    shutil.rmtree(state)
    assert newest(tmp_path) == (None, [])
    (tmp_path / "step-x").mkdir()
    (tmp_path / "step-9").write_text("a file")
    assert newest(tmp_path)[0] is None
    count_fault(record_property, "corrupt state: truncation, missing file, empty folder", outcomes)


def test_torn_events_and_a_killed_rewriting(tmp_path: Path, scalars_of: Callable[[Path], Any]) -> None:
    """Events beyond the restored step go, however often and wherever the rewriting is killed; none is doubled."""

    def curves(folder: Path, until: int) -> None:
        log = events.EventLog(folder)
        for step in range(1, until + 1):
            log.scalars({"train/loss": step / 2}, step)
        log.settings({"tokens": 1}, {"test/loss": 1.0}, until)
        log.close()

    for number in range(1, 50):
        folder = tmp_path / str(number)
        curves(folder, 6)
        (event_file,) = folder.glob("events*")
        with event_file.open("ab") as stream:
            stream.write(b"\x10\0\0\0torn")

        def crash(folder: Path = folder, number: int = number) -> None:
            fail_at(number, lambda: os._exit(9))
            events.keep_events_until(folder, 4)

        code = in_a_child(crash)
        log = events.EventLog(folder, 4)
        log.scalars({"train/loss": 9.0}, 5)
        log.close()
        assert scalars_of(folder) == {"train/loss": [(1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0), (5, 9.0)]}
        if code == 0:
            break
    assert number > 3
