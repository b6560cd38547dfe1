"""Is every line said once, by whoever has it to say, and nothing on stdout?"""

import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from soft_prompts.common.console import StepProgress, duration, each_line_once, say, say_at_once
from soft_prompts.common.launch import is_main_process

ROOT = Path(__file__).parents[3]
SCRIPT = """
import logging, os, subprocess, sys, warnings
from soft_prompts.common.console import each_line_once, say
with each_line_once():
    for _ in range(2):
        say("few samples")
        logging.getLogger("some.library").warning("logits are %s", "odd")
        with warnings.catch_warnings():  # forgets which warnings were shown
            warnings.simplefilter("always")
            warnings.warn("deprecated", FutureWarning)
    if sys.argv[1:]:
        say("only the child says this")
    else:
        with each_line_once():  # inside, the same marks
            say("few samples")
        subprocess.run([sys.executable, __file__, "child"], check=True)
if not sys.argv[1:]:
    say("few samples")  # behind it
"""


def test_a_line_is_said_once_by_all_processes(tmp_path: Path) -> None:
    """Ours, Python's warnings and library loggers', here and in a process that is started from here."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ran = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == ""
    lines = ["few samples", "logits are odd", "FutureWarning: deprecated", "only the child says this"]
    assert [ran.stderr.count(line) for line in lines] == [2, 1, 1, 1], ran.stderr


def test_without_it_a_line_is_said_again(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        say("few samples")
    assert capsys.readouterr().err == "few samples\nfew samples\n"


def test_nothing_stays_behind() -> None:
    before = warnings.showwarning, logging.Logger.callHandlers
    with each_line_once():
        folder = Path(os.environ["SOFT_PROMPTS_SAID"])
        say("a line")
        assert len(list(folder.iterdir())) == 1
    assert not folder.exists()
    assert "SOFT_PROMPTS_SAID" not in os.environ
    assert (warnings.showwarning, logging.Logger.callHandlers) == before


@pytest.mark.parametrize("launcher", ["{}", "PMI_{}", "OMPI_COMM_WORLD_{}", "MV2_COMM_WORLD_{}"])
def test_the_first_process_of_a_launch_speaks(
    launcher: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    size = "WORLD_SIZE" if launcher == "{}" else launcher.format("SIZE")
    monkeypatch.setenv(size, "2")
    for rank in ("0", "1"):
        monkeypatch.setenv(launcher.format("RANK"), rank)
        say(f"of {rank}")
        say_at_once(f"at once of {rank}")
        assert is_main_process() == (rank == "0")
    assert capfd.readouterr().err == "of 0\nat once of 0\n"
    monkeypatch.setenv(size, "1")  # a rank that another launcher left behind
    say("alone")
    assert capfd.readouterr().err == "alone\n"


@pytest.mark.parametrize(
    ("steps", "shown"), [(8, [2, 4, 6, 8]), (12, [3, 6, 9, 12]), (3, [1, 2, 3]), (7, [2, 4, 6, 7])]
)
def test_steps_are_said_a_few_times_and_none_twice(
    steps: int, shown: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with StepProgress("a run", steps) as show:
        for step in range(1, steps + 1):
            show(step, 1.0, 2.0)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    estimate = [f"a run: about {2 * steps} s for {steps} steps"] if steps > 10 else []
    assert sorted(lines) == sorted([f"a run: step {step}/{steps}, loss 1.0000 nats/token" for step in shown] + estimate)
    assert out == ""


def test_a_duration_is_for_people() -> None:
    assert [duration(seconds) for seconds in (0.4, 89.0, 90.0, 360.0, 5399.0, 5400.0, 10800.0)] == [
        *("0 s", "89 s", "2 minutes", "6 minutes", "90 minutes", "2 hours", "3 hours")
    ]
