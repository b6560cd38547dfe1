"""Is a sweep's rate that of its results once every worker is at work?"""

import json
from pathlib import Path

import pytest

from soft_prompts.commands.experiments import experiment_of
from soft_prompts.experiments.scale_out.file import read_sweep
from tests.benchmarks.sweep_speed import Settings, rate, sweep, with_shares, words


def test_the_start_of_the_workers_is_no_part_of_the_rate() -> None:
    """Two workers that take 6 seconds a run and were there after half a minute and 33 seconds."""
    written = [30.0, 33.0, 36.0, 39.0, 42.0, 45.0]
    assert rate(written, 2) == 20.0
    assert rate([30.0, 36.0, 42.0], 1) == 10.0


def test_shares_are_of_so_many_times_the_fewest_workers() -> None:
    rows = [{"workers": workers, "runs_a_minute": made} for workers, made in ((2, 20.0), (1, 10.0), (4, 30.0))]
    assert [row["of_linear"] for row in with_shares(rows)] == [1.0, 1.0, 0.75]


@pytest.mark.parametrize("on", ["local", "ray"])
def test_the_sweep_is_one_that_the_command_reads(tmp_path: Path, on: str) -> None:
    settings = Settings(runs=6, steps=1, on=on)  # pyright: ignore[reportArgumentType]
    path = sweep(settings, tmp_path)
    [asked] = read_sweep(path, experiment_of, None)
    assert [(run.seed, run.steps, run.tokens) for run in asked.configs] == [(seed, 1, 4) for seed in range(6)]
    assert json.loads(path.read_text())[0]["output_dir"] == str(tmp_path / "out")
    assert words(settings, 3, path)[-1 if on == "local" else -3] == "3"
