"""Does `soft-prompts run` start what `python -m tests.<name>_test` starts, and an experiment of one's own?"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from soft_prompts.commands.main import main
from soft_prompts.common.command_line import parse
from soft_prompts.experiments.catalogue.chess import EXPERIMENT
from soft_prompts.results.files import find_results

ROOT = Path(__file__).parents[3]
WORDS = (
    ("--help",),
    ("--tokns", "3"),
    ("--preset", "quick", "--print-config"),
    ("--steps", "0"),
    ("--data", "/nowhere/games.pgn"),
    ("--models", "./nowhere"),
    ("--reference", "tiny-tex"),
)
OWN = """
from dataclasses import dataclass, replace
from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.tasks.chess import ChessTask


@dataclass(frozen=True)
class MyTask(ChessTask):
    "A task that is defined here alone."


TASK = MyTask(max_plies=6)
SETTINGS = RunConfig(TASK, "tiny-text", 0, steps=2, batch_size=2, sample_tokens=64, validation_samples=4,
                     test_samples=4, data_workers=0, warmup_steps=0)
EXPERIMENT = Experiment("mine", "What is mine?", {"default": Grid(("tiny-text",), (0, 1), ("games",), SETTINGS, TASK)})
"""


def ends(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0), *capsys.readouterr()


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_run_is_the_door(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The same help, errors and exit codes, in the words of who asked."""
    code, out, err = ends(("run", "chess", *words), capsys)
    try:
        wanted = EXPERIMENT.main(words, "soft-prompts run chess")
    except SystemExit as stop:
        wanted = int(stop.code or 0)
    assert (code, out, err) == (wanted, *capsys.readouterr())


def test_help_says_how_it_was_started() -> None:
    for started, said in (
        (("-m", "tests.chess_test"), "usage: python -m tests.chess_test "),
        (("-m", "soft_prompts", "run", "chess"), "usage: soft-prompts run chess "),
    ):
        command = [sys.executable, *started, "--help"]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert shown.stdout.startswith(said)


def test_a_wrong_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ends(("run", "ches"), capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: ches is no experiment; (did you mean 'chess'?) give chess, ")
    assert err.count("\n") == 1
    code, _, err = ends(("run",), capsys)
    assert (code, err) == (2, "error: EXPERIMENT is missing; see soft-prompts run --help\n")


@pytest.mark.parametrize(
    ("source", "code", "says"),
    [
        (None, 3, "own_one.py does not exist; give a .py file"),
        ("ANSWER = 42", 2, "own_one.py holds no EXPERIMENT"),
        ("EXPERIMENT = 42", 2, "own_one.py holds no EXPERIMENT"),
        ("\nEXPERIMENT = (", 2, "own_one.py, line 2: '(' was never closed"),
        ("import os\nos.nothing()", 2, "own_one.py, line 2: AttributeError: module 'os' has no attribute 'nothing'"),
        (OWN.replace("steps=2", "steps=0"), 2, "steps is 0; give 1 or more"),
    ],
)
def test_a_file_that_is_no_experiment(
    source: str | None, code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "own_one.py"
    if source is not None:
        path.write_text(source)
    sys.modules.pop("own_one", None)
    found, out, err = ends(("run", str(path)), capsys)
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["json.py", "with.dot.py", "soft-er.py"])
def test_a_file_that_would_hide_a_module_is_refused(name: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / name
    path.write_text(OWN)
    before = list(sys.path)
    code, _, err = ends(("run", str(path)), capsys)
    assert code == 2
    assert f"{name} cannot be imported under this name" in err
    assert sys.path == before


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_experiment_of_ones_own_runs_from_its_file(jobs: int, tmp_path: Path) -> None:
    """In another folder, and in processes that import its task."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine.py").write_text(OWN)
    command = [sys.executable, "-m", "soft_prompts", "run", "../mine.py", "--jobs", str(jobs)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        command, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found = find_results([tmp_path / "elsewhere" / "results"])
    assert not found.problems
    assert {result.prompt.tokens for _, result in found.results} == {0, 1}
    assert "chess" in ended.stdout


def test_print_config_of_a_file_is_that_of_its_experiment(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_printed.py").write_text(OWN)
    code, out, _ = ends(("run", str(tmp_path / "own_printed.py"), "--print-config", "--tokens", "1"), capsys)
    assert code == 0
    assert [(one["tokens"], one["steps"], one["task"]["max_plies"]) for one in json.loads(out)] == [(1, 2, 6)]


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        *((name, "--help") for name in ("calibrate", "compare", "generate", "guidance-data", "guidance-eval")),
        *((name, "--help") for name in ("list", "models", "report", "run")),
        *(("run", name, "--help") for name in ("chess", "guidance_softprompt", "calibration")),
    ],
    ids=" ".join,
)
def test_help_fits_eighty_columns_and_a_narrower_terminal(
    words: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, _ = ends(words, capsys)
    assert code == 0
    assert max(map(len, out.splitlines())) <= min(columns, 80)
    assert os.environ["COLUMNS"] == str(columns)


def test_only_help_is_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    """What a shell reads stays as it is."""
    with pytest.raises(SystemExit):
        parse(int, ["--tyro-print-completion", "bash"], "a-command", "What is asked?")
    assert max(map(len, capsys.readouterr().out.splitlines())) > 80
