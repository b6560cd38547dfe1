"""What if stdout is closed, full, or read by somebody who wants no more? One line on stderr, and an exit code that says
so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from soft_prompts.common.command_line import INTERNAL
from soft_prompts.common.errors import InputError, OutOfRoom, UsageError

ROOT = Path(__file__).parents[3]
CLOSED = "error: stdout is closed; lead it to a file, to a pipe or to /dev/null\n"
FULL = "error: the disk that this is written to is full; make room\n"
MUCH = 10**6  # letters: more than any pipe or buffer holds
COMMAND = """
import os, sys
from soft_prompts.common.command_line import guarded
from soft_prompts.common.errors import InputError
with guarded() as ending:
    print("." * int(sys.argv[1]))
    if sys.argv[2:] == ["error"]:
        raise InputError("no such model")
    if sys.argv[2:] == ["help"]:
        raise SystemExit(0)
    if os.open(os.devnull, os.O_RDONLY) < 3:
        os._exit(9)
sys.exit(ending.exit_code)
"""


def ended(how: str, *arguments: str, code: str = COMMAND) -> tuple[int, str]:
    """The exit code of a command whose streams a shell leads elsewhere, and what is left of stderr."""
    given = [sys.executable, "-c", code, *arguments]
    line = f'{{ {{ "$@"; echo $? >&3; }} {how}; }} 3>&1 >/dev/null'
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    shell = subprocess.run(
        ["sh", "-c", line, "sh", *given], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    return int(shell.stdout), shell.stderr


@pytest.mark.parametrize("letters", [1, MUCH])
@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        (">&-", UsageError.exit_code, CLOSED),
        (">&- 2>&-", UsageError.exit_code, ""),
        (">/dev/full", OutOfRoom.exit_code, FULL),
        ("| true", 0, ""),
        ("| head -c 1", 0, ""),
        ("2>&-", 0, ""),
    ],
)
def test_a_stdout_that_takes_nothing(how: str, letters: int, code: int, said: str) -> None:
    """The file that is opened next never gets a stream's number, nor stdout what is said on a closed stderr."""
    assert ended(how, str(letters)) == (code, said)


@pytest.mark.parametrize("how", [">/dev/full", "| true"])
def test_an_error_is_no_less_one_where_nothing_can_be_printed(how: str) -> None:
    assert ended(how, "1", "error") == (InputError.exit_code, "error: no such model\n")


@pytest.mark.parametrize("how", ["2>/dev/full", "2>&1 | true", ">/dev/full 2>/dev/full"])
def test_an_error_that_nobody_hears_keeps_its_code(how: str) -> None:
    assert ended(how, "1", "error") == (InputError.exit_code, "")


def test_a_pipe_that_is_not_stdout_is_an_error() -> None:
    code = COMMAND.replace('print("." * int(sys.argv[1]))', "raise BrokenPipeError(32, 'Broken pipe')")
    assert ended("", "1", code=code) == (
        INTERNAL,
        "error: BrokenPipeError: [Errno 32] Broken pipe (<module>; --debug shows more)\n",
    )


def test_work_goes_on_where_nobody_listens() -> None:
    """A run says where it is, and its results count whoever reads."""
    said = 'for _ in range(2000): say("." * 100)'
    code = COMMAND.replace('print("." * int(sys.argv[1]))', f"from soft_prompts.common.console import say\n    {said}")
    assert ended("2>&1 | true", "1", code=code) == (0, "")
    assert ended("2>/dev/full", "1", "error", code=code) == (InputError.exit_code, "")


def test_help_too() -> None:
    assert ended(">/dev/full", "1", "help") == (OutOfRoom.exit_code, FULL)
    assert ended("| true", "1", "help") == (0, "")


def test_the_command_itself() -> None:
    code = "from soft_prompts.commands.main import main; main()"
    assert ended(">&-", "list", code=code) == (UsageError.exit_code, CLOSED)
    assert ended(">/dev/full", "list", code=code) == (OutOfRoom.exit_code, FULL)
