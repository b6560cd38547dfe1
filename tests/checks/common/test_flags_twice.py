"""Is a flag that stands twice refused, of which the second would hide the first?"""

import pytest

from soft_prompts.commands import main as cli
from soft_prompts.common.wrong_flags import given_twice


@pytest.mark.parametrize(
    ("typed", "flag"),
    [
        ("--models a b --tokens 0 4", None),
        ("--models a --tokens 0 --models b", "--models"),
        ("--tokens=0 --tokens 4", "--tokens"),
        ("--learning-rate .1 --learning_rate .2", "--learning_rate"),
        ("--shift -1 -1 --scale -.5", None),
        ("run chess -- -", None),
    ],
)
def test_the_first_flag_that_stands_again_is_named(typed: str, flag: str | None) -> None:
    assert given_twice(typed.split()) == flag


@pytest.mark.parametrize(
    "typed",
    [
        "run completion --tokens 0 --tokens 4",
        "behaviour labels --documents d.jsonl --base a --target b --controls c --controls d",
        "generate snapshot --text one --text two",
        "compare --metric a results --metric b",
    ],
)
def test_a_command_refuses_it_in_one_line(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(typed.split())
    assert stop.value.code == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: --")
    assert line.endswith("is given twice; give it once, with all its values behind it")
