"""Is what other libraries say kept to one line that is whole, and a path at home where a shell would have put it?"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from soft_prompts.common.command_line import parse
from soft_prompts.common.errors import first_line


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("one\ntwo", "one"),
        ("\n  one  way \ntwo", "one way"),
        ("None of: \n(1) a file, \n(2) a class", "None of: (1) a file"),
        ("None of:", "None of"),
        ("x" * 198 + " : y", "x" * 198),
        ("", "ValueError"),
        (" :\n", "ValueError"),
    ],
)
def test_the_first_line_of_an_error_does_not_break_off(said: str, line: str) -> None:
    assert first_line(ValueError(said)) == line


@dataclass(frozen=True)
class Places:
    """Of a command."""

    out: Path = Path("out")
    data: str = ""


def test_a_path_behind_a_sign_is_at_home_as_one_behind_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    read = parse(Places, ["--out=~/runs", "--data=~/rows.jsonl"], "x", "x")
    assert read == Places(Path("/home/me/runs"), "/home/me/rows.jsonl")
    kept = ["--out=runs/~", "--data=a ~/b"]
    assert parse(Places, kept, "x", "x") == Places(Path("runs/~"), "a ~/b")
