"""Are pieces of a sweep given out so that whoever dies, every run is made or told of?"""

import os
import pickle
import stat
import sys
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from soft_prompts.common.errors import InputError, Interrupted
from soft_prompts.config import RunConfig
from soft_prompts.experiments.scale_out import run_sweep as scale_out
from soft_prompts.experiments.scale_out.file import Asked
from soft_prompts.experiments.scale_out.hands import Ended, Limits, SweepProgress, hand_out
from soft_prompts.experiments.scale_out.pieces import pieces_of, runs_of
from soft_prompts.experiments.scale_out.ray_tasks import RayHands, Share
from soft_prompts.experiments.scale_out.run_sweep import Way, run_sweep
from soft_prompts.experiments.scale_out.slurm_jobs import TIMEOUTS, Job, SlurmHands
from soft_prompts.experiments.scale_out.work import Parcel, Workplace, make
from soft_prompts.experiments.sweep import run_all
from soft_prompts.training.apparatus import run_paths
from tests.checks.made.disturbances import states

Settings = Callable[..., RunConfig]


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace("soft-prompts sweep x", str(tmp_path), [*sys.path], 1, "off")


class Mortal:
    """Workers in this process, some of which die over their piece."""

    def __init__(self, deaths: int) -> None:
        self.deaths, self.waiting, self.stopped = deaths, list[tuple[int, Parcel]](), 0
        self.count = 0

    def start(self, parcel: Parcel) -> Hashable:
        self.count += 1
        self.waiting.append((self.count, pickle.loads(pickle.dumps(parcel))))
        return self.count

    def ended(self) -> Iterable[Ended]:
        handle, parcel = self.waiting.pop(0)
        if self.deaths:
            self.deaths -= 1
            return [Ended(handle, died="a worker died")]
        return [Ended(handle, make(parcel))]

    def stop(self) -> None:
        self.stopped += 1


@pytest.mark.parametrize(("deaths", "finished"), [(0, 2), (2, 2), (4, 2), (5, 1), (6, 0)])
def test_a_piece_whose_worker_died_is_made_by_another(
    deaths: int, finished: int, settings: Settings, tmp_path: Path, workplace: Workplace, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    configs = [settings(tmp_path / "out", steps=1, tokens=1, seed=seed) for seed in (0, 1)]
    pieces, hands = pieces_of(runs_of([Asked(configs)]), 1), Mortal(deaths)
    missed = hand_out(pieces, hands, workplace, Limits(3))
    assert hands.stopped == 1
    assert sum(run_paths(config).result.is_file() for config in configs) == finished
    assert [(len(one.results), one.reason) for one in missed] == [(1, "a worker died, 3 times in a row")] * (
        2 - finished
    )
    again = deaths - (2 - finished)  # the third death of a piece is its last
    assert capsys.readouterr().err.count("its runs go on with another") == again


def test_results_that_nobody_could_look_at_are_missing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Two results are there; the workers that should check them die. One that was made meanwhile counts as made."""
    monkeypatch.chdir(tmp_path)
    there = [settings(tmp_path / "out", steps=1, tokens=1, seed=seed) for seed in (0, 1)]
    new = replace(there[0], tokens=2)
    run_all(there, together="off")

    class Blind(Mortal):
        def ended(self) -> Iterable[Ended]:
            handle, parcel = self.waiting.pop(0)
            new_one = len(pickle.loads(parcel.piece).runs) == 1
            return [Ended(handle, make(parcel)) if new_one else Ended(handle, died="a worker died")]

    monkeypatch.setattr(scale_out, "_hands", lambda way, folder: Blind(0))
    found = run_sweep([Asked([*there, new])], Way(on="ray", together="off"))
    assert (found.runs, found.finished, found.made, found.exit_code) == (3, 1, 1, 1)
    assert {why: len(runs) for why, runs in found.missing.items()} == {"a worker died, 3 times in a row": 2}


def test_a_worker_that_got_further_is_not_held_against_its_piece(
    settings: Settings, tmp_path: Path, workplace: Workplace, monkeypatch: Any
) -> None:
    """Five deaths, before each of which a run had a new state or result; then three without, which are too many."""
    monkeypatch.chdir(tmp_path)
    configs = [settings(tmp_path / "out", tokens=1, seed=seed) for seed in (0, 1)]

    class Slow(Mortal):
        def ended(self) -> Iterable[Ended]:
            handle, _ = self.waiting.pop(0)
            if handle <= 4:
                (states(configs[0]) / f"step-{handle}").mkdir(parents=True)
            elif handle == 5:
                run_paths(configs[1]).result.parent.mkdir(parents=True, exist_ok=True)
                run_paths(configs[1]).result.write_text("{}")
            return [Ended(handle, died="it was preempted")]

    hands = Slow(0)
    (missed,) = hand_out(pieces_of(runs_of([Asked(configs)])), hands, workplace, Limits(3))
    assert hands.count == 5 + 3
    assert missed.reason == "it was preempted, 3 times in a row"
    assert [*missed.results] == [run_paths(configs[0]).result]


def test_no_more_pieces_than_asked_for_are_under_way(
    settings: Settings, tmp_path: Path, workplace: Workplace, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    most = []

    class Counting(Mortal):
        def ended(self) -> Iterable[Ended]:
            most.append(len(self.waiting))
            return [Ended(self.waiting.pop(0)[0])]

    configs = [settings(tmp_path, tokens=1, seed=seed) for seed in range(7)]
    assert hand_out(pieces_of(runs_of([Asked(configs)]), 1), Counting(0), workplace, Limits(3, 3)) == []
    assert most == [3, 3, 3, 3, 3, 2, 1]


def test_progress_is_what_the_files_say(settings: Settings, tmp_path: Path, capsys: Any) -> None:
    configs, now = [settings(tmp_path, steps=1, seed=seed) for seed in range(4)], [1000.0]
    paths = [run_paths(config).result for config in configs]
    for path in paths[:2]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("an old failure")
    progress = SweepProgress(pieces_of(runs_of([Asked(configs)])), lambda: now[0])
    progress.look(1)
    now[0] += 20
    paths[2].write_text("new")
    progress.look(1)
    now[0] += 1
    progress.look(1)
    until = time.strftime("%H:%M", time.localtime(1000 + 20 + 60))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "sweep: 0 of 4 runs made, 1 piece to go",
        f"sweep: 1 of 4 runs made, 1 piece to go, about 60 s left, until {until}",
    ]


def test_a_stop_stops_the_workers(settings: Settings, tmp_path: Path, workplace: Workplace, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)

    class Told(Mortal):
        def ended(self) -> Iterable[Ended]:
            raise Interrupted("stopped")

    hands = Told(0)
    with pytest.raises(Interrupted):
        hand_out(pieces_of(runs_of([Asked([settings(tmp_path)])])), hands, workplace, Limits())
    assert hands.stopped == 1


class Executor:
    """In the place of submitit's, on a cluster that takes no job."""

    def __init__(self, folder: Path, cluster: str, slurm_max_num_timeout: int) -> None:
        self.folder, self.timeouts = folder, slurm_max_num_timeout

    def update_parameters(self, **parameters: Any) -> None:
        self.parameters = parameters

    def submit(self, function: Any) -> Any:
        print("sbatch: error: invalid partition: gpuu", file=sys.stderr)
        raise RuntimeError("sbatch: error: invalid partition\nspecified: gpuu")


def test_a_job_that_slurm_does_not_take_is_one_line(
    tmp_path: Path, workplace: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=Executor))
    hands = SlurmHands(tmp_path, Job(partition="gpuu"))
    with pytest.raises(InputError, match=r"takes no job .sbatch: error: invalid partition specified: gpuu") as refused:
        hands.start(Parcel(workplace, b""))
    assert "\n" not in str(refused.value)
    assert capsys.readouterr().err == ""
    assert (hands.executor.parameters["slurm_partition"], hands.executor.timeouts) == ("gpuu", TIMEOUTS)


def test_what_is_unpickled_lies_where_nobody_else_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=Executor))
    folder = tmp_path / "out" / "sweep-jobs"
    before = os.umask(0)  # by which everybody might write everywhere
    try:
        SlurmHands(tmp_path / "out", Job())
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for mode in (0o720, 0o702):
        folder.chmod(mode)
        with pytest.raises(InputError, match="others may write there"):
            SlurmHands(tmp_path / "out", Job())
    folder.chmod(0o755)
    SlurmHands(tmp_path / "out", Job())
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(InputError, match="is another's"):
        SlurmHands(tmp_path / "out", Job())
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=Executor))
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "sweep-jobs").symlink_to(folder)
    with pytest.raises(InputError, match="is another's"):
        SlurmHands(tmp_path / "linked", Job())


@pytest.mark.parametrize(("address", "joined"), [(None, "local"), ("auto", "auto"), ("10.0.0.1:6379", "10.0.0.1:6379")])
def test_ray_reports_nothing_and_joins_no_cluster_unasked(
    address: str | None, joined: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def init(**given: Any) -> None:
        seen.append((given["address"], os.environ["RAY_USAGE_STATS_ENABLED"]))
        raise ConnectionError("enough")

    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.9:6379")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")  # and is again as it was afterwards
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    with pytest.raises(InputError, match="no Ray cluster answers"):
        RayHands(address, Share())
    assert seen == [(joined, "0")]
