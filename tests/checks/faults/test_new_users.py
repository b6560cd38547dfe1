"""What does somebody see who does it wrong the first time, or has no network, no home and no terminal? One line each,
and with --offline not one socket."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.commands import main as cli
from tests.checks.made.disturbances import Record, count_fault

ROOT = Path(__file__).parents[3]
WATCH = """
import os, sys
def watch(event, arguments):
    if event == "socket.__new__" and arguments[1] in (2, 10) or event == "socket.getaddrinfo":
        with open(os.environ["SOCKETS"], "a") as log:
            log.write(f"{event} {arguments}\\n")
        raise OSError("no network here")
sys.addaudithook(watch)
"""
QUICK = ("run", "completion", "--preset", "quick", "--steps", "2", "--tokens", "0", "1", "--test-samples", "8")
FEW = ("--validation-samples", "4", "--jobs", "1", "--output-dir", "out")


def bare_machine(folder: Path) -> dict[str, str]:
    """No home, no locale, no colours; a Python that notes every socket to the network and refuses it."""
    (folder / "sitecustomize.py").write_text(WATCH)
    kept = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "LC_ALL": "C", "SOCKETS": str(folder / "sockets")}
    return kept | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def said_by(folder: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "soft_prompts", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )


@pytest.mark.faults
def test_offline_opens_no_socket(tmp_path: Path, record_property: Record) -> None:
    """No home, no terminal, the C locale: a run, its table and its page; a hub's model is missing in one line."""
    machine, outcomes = bare_machine(tmp_path), list[bool]()
    asked = [
        (0, (*QUICK, *FEW, "--offline")),
        (0, ("compare", "out/results")),
        (0, ("report", "out/results", "--out", "page.html")),
        (0, ("models",)),
        (3, (*QUICK, *FEW, "--offline", "--models", "owner/name")),
    ]
    asked += [(3, (*QUICK, *FEW, "--models", "owner/name"))]
    for code, words in asked:
        known = {"HF_HUB_OFFLINE": "1"} if words[-1] == "owner/name" and "--offline" not in words else {}
        found = said_by(tmp_path, machine | known, *words)
        outcomes.append(found.returncode == code and "Traceback" not in found.stderr)
        assert outcomes[-1], (words, found.returncode, found.stderr)
        if code:
            assert sum(line.startswith("error: ") for line in found.stderr.splitlines()) == 1
    log = tmp_path / "sockets"
    assert not log.exists(), log.read_text()
    count_fault(record_property, "offline: no socket; no HOME, no terminal, C locale", outcomes)


def test_the_watch_sees_a_socket(tmp_path: Path) -> None:
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    machine = bare_machine(tmp_path)
    found = subprocess.run([sys.executable, "-c", code], env=machine, capture_output=True, text=True)
    assert "no network here" in found.stderr
    assert "getaddrinfo" in (tmp_path / "sockets").read_text()


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("rnu", "chess"), 2, "rnu is no command (did you mean run?)"),
        (("run", "ches"), 2, "did you mean 'chess'?"),
        (("run",), 2, "EXPERIMENT is missing"),
        (("run", "mine.py"), 3, "mine.py does not exist"),
        (("run", "chess", "--tokns", "1"), 2, "did you mean --tokens?"),
        (("run", "chess", "--tokens", "one"), 2, "--tokens is one"),
        (("run", "chess", "--preset", "fast"), 2, "give default, quick, paper"),
        (("run", "chess", "--models", "tiny-ches", "--offline"), 3, "tiny-chess"),
        (("run", "chess", "--models", "./nope"), 3, "does not exist"),
        (("run", "chess", "--data", "games.pgn"), 3, "does not exist"),
        (("run", "chess", "--output-dir", "/dev/null/out"), 3, "is no folder"),
        (("compare", "nowhere"), 3, "no results in nowhere"),
        (("compare", "--metric"), 2, "--metric lacks a value"),
        (("report", "--out", "page.txt"), 2, "ends in .html"),
        (("generate", "nowhere", "--text", "x"), 3, "nowhere"),
        (("export", "nowhere", "to", "--to", "peft"), 3, "nowhere"),
        (("import", "nowhere"), 3, "nowhere"),
        (("models", "tiny-ches"), 2, "tiny-chess"),
        (("sweep",), 2, "FILE is missing"),
        (("sweep", "nowhere.yaml"), 3, "No such file"),
        (("calibrate", "./nope"), 3, "nope"),
    ],
)
def test_a_first_mistake_is_one_line(
    words: tuple[str, ...], code: int, line: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(list(words))
    said = capsys.readouterr().err
    errors = [one for one in said.splitlines() if one.startswith("error: ")]
    assert (len(errors), stop.value.code) == (1, code), said
    assert line in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_a_python_that_is_too_old_says_so() -> None:
    code = "import sys; sys.version_info = (3, 9, 18); import {}"
    for module in ("soft_prompts", "soft_prompts.commands.main", "tests.chess_test"):
        ended = subprocess.run([sys.executable, "-c", code.format(module)], cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 1
        assert ended.stderr.startswith("error: soft_prompts needs Python 3.11 or later, and this is 3.")
        assert len(ended.stderr.splitlines()) == 1


def test_make_takes_this_python_and_says_which_it_needs() -> None:
    """The line before anything is installed, with this Python and with one that is too old."""
    lines = [line for line in (ROOT / "Makefile").read_text().splitlines() if "later is needed" in line]
    (code,) = (line.partition("-c '")[2].rstrip("'") for line in lines)
    for version, exit_code, said in (((3, 11), 0, ""), ((3, 10), 1, "Python 3.11 or later is needed: ")):
        asked = code.replace("sys.version_info", str(version))
        ended = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr.startswith(said)) == (exit_code, True)
