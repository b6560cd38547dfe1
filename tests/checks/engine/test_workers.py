"""Is work done side by side what it is one after another, and how does it end where one of it fails or dies?"""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from soft_prompts.common.errors import InputError, Interrupted
from soft_prompts.engine.workers import side_by_side


def place(number: int) -> tuple[int, int, int]:
    time.sleep(0.2 * (2 - number))  # the first ends last
    return number, os.getpid(), torch.get_num_threads()


def fail(*_: object) -> None:
    raise InputError("x is no file")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait(path: Path) -> None:
    path.touch()
    time.sleep(600)


def test_the_order_is_that_of_the_work_whoever_ends_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    work = [partial(place, number) for number in range(3)]
    beside = side_by_side(work, 2)
    assert [number for number, *_ in beside] == [0, 1, 2]
    assert len({process for _, process, _ in beside}) == 2
    assert {threads for *_, threads in beside} == {1}
    assert {process for _, process, _ in side_by_side(work, 1)} == {os.getpid()}
    assert side_by_side([], 2) == []


def test_an_error_ends_the_others(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match="x is no file"):
        side_by_side([fail, partial(wait, tmp_path / "a")], 2)
    with pytest.raises(InputError, match="x is no file"):
        side_by_side([partial(wait, tmp_path / "d"), fail, *[partial(wait, tmp_path / "e")] * 3], 2)
    assert not (tmp_path / "e").exists()  # nothing more was begun
    with pytest.raises(Interrupted, match="a process died; the same command goes on from there"):
        side_by_side([die, partial(wait, tmp_path / "b")], 2)
    with pytest.raises(Interrupted, match="a process died"):  # whichever process it was
        side_by_side([partial(wait, tmp_path / "c"), die], 2)
    assert time.monotonic() - began < 120


def test_a_signal_to_the_parent_ends_them_all(tmp_path: Path) -> None:
    """The worker has a group of its own: it hears of Ctrl-C from its parent alone."""
    begun = tmp_path / "begun"
    with pytest.raises(Interrupted, match="stopped"):
        side_by_side([partial(wait, begun), partial(tell_parent, begun)], 2)


def tell_parent(begun: Path) -> None:
    while not begun.exists():
        time.sleep(0.05)
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(600)
