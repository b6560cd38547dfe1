"""Do the runs of a sweep file end as they would alone, wherever they are made and whoever dies?"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import soft_prompts as sp
from soft_prompts.commands import main as cli
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig, as_json
from soft_prompts.experiments import beside, sweep
from soft_prompts.experiments.beside import Made, Sharing
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.scale_out import run_sweep as scale_out
from soft_prompts.experiments.scale_out.file import Asked
from soft_prompts.experiments.scale_out.hands import Ended
from soft_prompts.experiments.scale_out.pieces import pieces_of, runs_of
from soft_prompts.experiments.scale_out.run_sweep import Way, run_sweep
from soft_prompts.experiments.scale_out.slurm_jobs import Job, SlurmHands
from soft_prompts.experiments.sweep import Lost, run_all
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.checkpoint import newest
from tests.checks.made.disturbances import states

Settings = Callable[..., RunConfig]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A sweep of these runs, as --print-config prints them."""

    def written(*configs: RunConfig) -> Path:
        path = tmp_path / "sweep.json"
        path.write_text(json.dumps([as_json(config) for config in configs]))
        return path

    return written


def test_a_sweep_ends_as_its_runs_alone(
    settings: Settings, write: Write, tmp_path: Path, read_outputs: Callable[[RunConfig], Any], capsys: Any
) -> None:
    """A model that is missing, or too short, is in the account, and the others go on; again nothing is made."""
    alone = [settings(tmp_path / "alone", steps=2, tokens=tokens) for tokens in (0, 1)]
    swept = [replace(config, output_dir=tmp_path / "swept") for config in alone]
    bad = [replace(swept[1], model=str(tmp_path / "nope")), replace(swept[1], tokens=999)]
    assert run_all(alone, together="off") == []
    path = write(*bad, *swept)
    with pytest.raises(SystemExit) as stop:
        cli.main(["sweep", str(path), "--together", "off", "--json"])
    out, err = capsys.readouterr()
    found = json.loads(out)
    schema = resources.files("soft_prompts.experiments.scale_out").joinpath("account.schema.json").read_text()
    Draft202012Validator(json.loads(schema)).validate(found)
    assert (found["runs"], found["finished"], found["made"], stop.value.code) == (4, 2, 2, 1)
    reasons = sorted(one["reason"] for one in found["missing"] if len(one["runs"]) == 1)
    assert len(reasons) == 2
    assert "tokens 999 + sample-tokens 48 = 1047 positions" in reasons[1]
    assert "sweep: 2 of 4 runs have a result, 2 of them new" in err
    assert [read_outputs(config) for config in swept] == [read_outputs(config) for config in alone]
    stamps = [run_paths(config).result.stat().st_mtime_ns for config in swept]
    again = sp.sweep(write(*swept), together="off")
    assert (again.runs, again.finished, again.made, again.exit_code) == (2, 2, 0, 0)
    assert [run_paths(config).result.stat().st_mtime_ns for config in swept] == stamps


def test_changed_data_are_no_result(settings: Settings, write: Write, games: Path, tmp_path: Path) -> None:
    """What stands under the run's path was made of other games: the account does not count it."""
    data = tmp_path / "games.pgn"
    data.write_bytes(games.read_bytes())
    config = settings(tmp_path / "out", steps=1, tokens=1, data=str(data))
    assert sp.sweep(write(config)).exit_code == 0
    data.write_bytes(games.read_bytes()[:-200])
    found = sp.sweep(write(config))
    assert (found.finished, found.exit_code) == (0, 2)
    assert "the data changed since" in next(iter(found.missing))


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.faults)])
def test_the_lost_are_listed_and_the_others_go_on(settings: Settings, tmp_path: Path, jobs: int) -> None:
    good = [settings(tmp_path, steps=1, tokens=tokens) for tokens in (1, 2)]
    bad = [settings(tmp_path, data=str(tmp_path / "nope.pgn"), tokens=tokens) for tokens in (1, 2)]
    lost = list[Lost]()
    assert run_all([bad[0], good[0], bad[1], good[1]], jobs, "off", lost) == []
    assert {config for one in lost for config in one.configs} == set(bad)
    assert {one.exit_code for one in lost} == {InputError.exit_code}
    assert all("does not exist" in one.reason for one in lost)
    assert all(run_paths(config).result.is_file() for config in good)


def test_an_error_that_nobody_foresaw_is_one_line(
    settings: Settings, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = settings(tmp_path, steps=1), settings(tmp_path, steps=1, tokens=1)
    real = sweep.run_together

    def breaks(some: Any, turn: Any) -> Any:
        if [config.tokens for config in some] == [1]:
            raise RuntimeError("a cable\nwas pulled")
        return real(some, turn=turn)

    monkeypatch.setattr(sweep, "run_together", breaks)
    found = sp.sweep(write(good, bad), together="off")
    assert list(found.missing) == ["RuntimeError: a cable was pulled"]
    assert (found.finished, found.exit_code) == (1, 1)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.faults)])
def test_a_run_that_breaks_takes_none_of_its_group_along(
    settings: Settings, tmp_path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file lies where one run's folder belongs: the others of its group have their results, and only it is lost."""
    configs = [settings(tmp_path, steps=1, tokens=1, seed=seed) for seed in range(4)]
    for place in (0, 3):
        blocked = run_paths(configs[place]).snapshot
        blocked.parent.mkdir(parents=True, exist_ok=True)
        blocked.write_text("in the way")
    lost, sizes, real = list[Lost](), list[int](), sweep.run_together
    monkeypatch.setattr(sweep, "run_together", lambda some, turn: sizes.append(len(some)) or real(some, turn=turn))
    assert run_all(configs, jobs, 2, lost) == []
    assert sorted(config.seed for one in lost for config in one.configs) == [0, 3]
    assert sizes == ([2, 1, 1, 2, 1, 1] if jobs == 1 else [])
    assert [run_paths(config).result.is_file() for config in configs] == [False, True, True, False]


def test_runs_of_one_model_go_to_one_worker(settings: Settings, tiny_folders: dict[str, Path], tmp_path: Path) -> None:
    configs = [
        settings(tmp_path, model=str(tiny_folders[name]), seed=seed, tokens=2)
        for seed in range(5)
        for name in ("gpt2", "llama")
    ]
    pieces = pieces_of(runs_of([Asked(configs), Asked(configs[:3])]), 3)
    assert [len(piece.runs) for piece in pieces] == [3, 2, 3, 2]
    assert all(len({run.made.model for run in piece.runs}) == 1 for piece in pieces)
    grown = [replace(configs[0], init="grown", tokens=4)]
    assert [len(piece.runs) for piece in pieces_of(runs_of([Asked([*configs, *grown])]), 3)] == [6, 3, 2]


def test_evidence_is_made_as_the_command_says_and_of_whole_runs_alone(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = settings(tmp_path, steps=1, tokens=1), settings(tmp_path, model=str(tmp_path / "nope"), tokens=1)
    given, grid = (
        list[tuple[int, Sharing]](),
        Grid((good.model,), (1,), (good.data,), good, good.task, evidence="standard"),
    )

    def made(configs: Any, grid: Any, sharing: Sharing) -> Made:
        given.append((len(configs), sharing))
        return Made([], ["a control failed: of course"])

    monkeypatch.setattr(beside, "make_beside", made)
    found = run_sweep([Asked([good], grid), Asked([bad], grid)], Way(jobs=2, together=3))
    assert given == [(1, Sharing(2, 3))]
    assert found.missing.pop("a control failed: of course") == ["evidence"]
    assert found.missing.pop("runs are missing") == ["evidence"]
    assert [len(runs) for runs in found.missing.values()] == [1]


@pytest.mark.faults
def test_submitit_goes_on_where_it_was_preempted(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_outputs: Callable[[RunConfig], Any]
) -> None:
    """Told to go in the middle, a job publishes its last whole step and begins again there; the bytes are the same."""
    pytest.importorskip("submitit")
    alone = settings(tmp_path / "alone", steps=60, tokens=1, checkpoint_every=1000)
    swept, asked = replace(alone, output_dir=tmp_path / "swept"), []

    class Preempting(SlurmHands):
        def ended(self) -> Iterable[Ended]:
            log = next(iter((tmp_path / "swept" / "sweep-jobs").glob("*_log.err")), None)
            if not asked and log is not None and "step 12/60" in log.read_text():
                (job,) = self.jobs.values()
                children = subprocess.run(["pgrep", "-P", str(job._process.pid)], capture_output=True, text=True).stdout
                asked.extend(os.kill(int(child), signal.SIGUSR2) for child in children.split())
            time.sleep(0.05)
            return super().ended() if asked else []

    monkeypatch.setattr("soft_prompts.experiments.scale_out.slurm_jobs.WAIT_SECONDS", 0.1)
    monkeypatch.setattr(scale_out, "_hands", lambda way, folder: Preempting(folder, Job(minutes=60), "local"))
    found = run_sweep([Asked([swept])], Way(on="slurm", together="off"))
    assert (found.finished, found.exit_code, len(asked)) == (1, 0, 1)
    log = next((tmp_path / "swept" / "sweep-jobs").glob("*_log.err")).read_text()
    assert "goes on after step" in log
    assert newest(states(swept))[0] is None
    run_all([alone], together="off")
    assert read_outputs(swept) == read_outputs(alone)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--on", "ray", "--jobs", "2"), "--jobs is 2"),
        (("--address", "auto"), "--address is auto"),
        (("--on", "slurm", "--gpus", "0.5"), "--gpus is 0.5"),
        (("--on", "moon"), "--on is moon"),
    ],
)
def test_flags_that_do_not_go_together(words: tuple[str, ...], line: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["sweep", "x.yaml", *words])
    assert stop.value.code == 2
    assert line in capsys.readouterr().err


def test_what_is_not_installed_is_said(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for on in ("ray", "slurm"):
        monkeypatch.setitem(sys.modules, "ray" if on == "ray" else "submitit", None)
        with pytest.raises(UsageError, match=rf"pip install 'soft_prompts\[{on}\]'"):
            run_sweep([Asked([settings(tmp_path)])], Way(on=on))


def test_a_task_for_skypilot_is_printed(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        cli.main(["sweep", "my sweep.yaml", "--skypilot", "--gpus", "1", "--memory", "60"])
    task = yaml.safe_load(capsys.readouterr().out)
    assert task["run"] == "soft-prompts sweep 'my sweep.yaml' --gpus 1 --memory 60 --output-dir /sweep"
    assert task["resources"]["accelerators"].endswith(":1")
