"""Does a grid say which run of how many it is at, the time left, and where its files are?"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.config import RunConfig
from soft_prompts.experiments.progress import GridProgress, say_evidence, say_where
from soft_prompts.results.files import write_result
from soft_prompts.results.roles import Lora
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.texts.skip_tokens import SkipTokensTask
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.titles import flat_settings, titles
from tests.checks.made.results import build_result


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def base(tmp_path: Path) -> RunConfig:
    return RunConfig(ChessTask(), "tiny-chess", 2, steps=10, output_dir=tmp_path)


def test_one_after_another(base: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    """By hand: the runs take 100, 200 and 20 s; what is most alike says what the next ones take."""
    runs = [base, replace(base, tokens=4), replace(base, tokens=0), replace(base, seed=1), replace(base, steps=30)]
    clock = Clock()
    progress = GridProgress(runs, 1, clock)
    for place, seconds in enumerate((100, 200, 20)):
        with progress.turn([place]):
            clock.now += seconds
    with progress.turn([3]) as turn:
        assert turn.grid is not None
        assert turn.grid() == "run 4 of 5, about 7 minutes left"  # 100, and three times the steps: 300
        clock.now += 40
        assert turn.grid() == "run 4 of 5, about 6 minutes left"  # 60 and 300
    lines = [line.split(": ")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "run 1 of 5",
        "run 2 of 5, about 10 minutes left",  # 100 for each of three, and 300
        "run 3 of 5, about 8 minutes left",  # 2 tokens are nearer to 0 than 4 are
        "run 4 of 5, about 7 minutes left",
    ]


def test_the_time_left_is_shared_by_jobs(base: RunConfig) -> None:
    clock = Clock()
    runs = [replace(base, tokens=tokens) for tokens in (1, 2, 3, 4, 5)]
    progress = GridProgress(runs, 2, clock)
    progress.begins([0])
    progress.begins([1])
    assert progress.line() == "run 2 of 5"
    clock.now += 60
    progress.ends([0])
    progress.begins([2])
    assert progress.seconds_left() == pytest.approx((0 + 3 * 60) / 2)  # the second has had its 60 s
    for place in (1, 2):
        progress.ends([place])
    progress.begins([3])
    progress.ends([3])
    progress.took[3] = 50.0
    assert progress.seconds_left() == pytest.approx(50.0)  # one run cannot be shared; 4 tokens are nearest to 5
    progress.begins([4])
    progress.ends([4])
    assert progress.line() == "run 5 of 5, about 0 s left"


def test_results_that_are_there_take_no_time(base: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [base, replace(base, tokens=4), replace(base, tokens=8)]
    for config in runs[:2]:
        write_result(run_paths(config).result, build_result(), None)
    clock = Clock()
    progress = GridProgress(runs, 1, clock)
    for place in (0, 1):
        with progress.turn([place]):
            clock.now += 5
    assert progress.seconds_left() is None
    with progress.turn([2]):
        clock.now += 50
    assert progress.seconds_left() == 0
    assert capsys.readouterr().err == "run 3 of 3: chess tiny-chess mlp 8 tokens seed 0\n"
    assert GridProgress([replace(base, fresh=True)], 1).known == [False]


def test_titles_tell_runs_apart(base: RunConfig) -> None:
    assert titles([base, replace(base, tokens=0)]) == [
        "chess tiny-chess mlp 2 tokens seed 0",
        "chess tiny-chess 0 tokens seed 0",
    ]
    rates = [replace(base, tokens=1, learning_rate=rate, role=Lora()) for rate in (5e-4, 2e-3)]
    assert titles([base, *rates]) == [
        "chess tiny-chess mlp 2 tokens seed 0",
        "anchor:lora of chess tiny-chess mlp 1 tokens seed 0, learning-rate 0.0005",
        "anchor:lora of chess tiny-chess mlp 1 tokens seed 0, learning-rate 0.002",
    ]
    cases: list[dict[str, Any]] = [{}, {"init": "zeros"}, {"init": "zeros", "weight_decay": 0.5}, {"clip": 2.0}]
    cases += [{"test_data": "other/games"}, {"data": "a/games.pgn"}, {"data": "b/games.pgn"}]
    cases += [{"task": ChessTask(max_plies=9)}, {"condition": "shuffled"}, {"revision": "main"}]
    made = titles([replace(base, **case) for case in cases])
    assert len(set(made)) == len(cases)
    assert [" on games " in text for text in made] == [place != 4 for place in range(len(cases))]
    skip = RunConfig(SkipTokensTask(skip=(3,)), "m", 1, prompt="direct")
    assert titles([skip]) == ["skip_tokens-skip-3 m direct 1 tokens seed 0"]


def test_settings_are_flat_tokens_first(base: RunConfig) -> None:
    flat = flat_settings(replace(base, tokens=0))
    assert list(flat)[:2] == ["tokens", "model"]
    assert (flat["role"], flat["task.name"], flat["revision"]) == ("run", "chess", "None")
    assert flat["output_dir"] == str(base.output_dir)
    assert {f"task.{name}" for name in vars(base.task)} <= flat.keys()
    assert flat.keys() == flat_settings(base).keys()
    assert all(type(value) in (bool, int, float, str) for value in flat.values())


def test_the_places_are_said(base: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    say_where([base, replace(base, tokens=0)])
    out, err = capsys.readouterr()
    where = base.output_dir
    assert out == ""
    assert err.splitlines() == [
        f"results:   {where}/results/chess",
        f"snapshots: {where}/snapshots/chess",
        f"curves:    tensorboard --logdir {where}/runs/chess",
        f"next:      soft-prompts report {where}/results/chess --out report.html",
    ]
    say_where([replace(base, task=SkipTokensTask(skip=(skip,)), prompt="direct") for skip in (1, 2)])
    assert f"{where}/results --out" in capsys.readouterr().err


def test_the_command_that_gives_evidence_is_the_same_with_one_flag_more(capsys: pytest.CaptureFixture[str]) -> None:
    say_evidence("soft-prompts run chess", ["--tokens", "1", "--event", "Rated Blitz", "--fresh", "--evidence", "none"])
    assert "soft-prompts run chess --tokens 1 --event 'Rated Blitz' --evidence standard\n" in capsys.readouterr().err
    say_evidence("python mine.py", ["--evidence=none"])
    assert "python mine.py --evidence standard\n" in capsys.readouterr().err
