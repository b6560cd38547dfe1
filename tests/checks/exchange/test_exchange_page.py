"""Does docs/exchange.md tell the truth? Its code runs in one session and prints what stands behind it; its commands are
those of the program."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from soft_prompts.commands.main import main
from soft_prompts.engine.generation import generate
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.tasks.task import Query

TEXT = (Path(__file__).parents[3] / "docs" / "exchange.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def start(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def test_its_code_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {"__name__": "page"}
    for block in BLOCKS:
        shortened = block.replace("steps=20, test_samples=100", "steps=2, test_samples=12").replace(
            '"test_samples": 100', '"test_samples": 12'
        )
        capsys.readouterr()
        exec(compile(shortened, "exchange.md", "exec"), session)
        said = re.findall(r"print\(.*\)  # (.*)", block)
        assert said
        assert capsys.readouterr().out.split() == said
    frozen, snapshot = load_frozen_model("tiny-text"), load_snapshot("snapshots/imported/adapter")
    ours = generate(frozen, snapshot.prompt, [Query("12 + 7 =", (), 0)], 16)[0]
    assert frozen.tokenizer.decode(session["fast"][0], skip_special_tokens=True) == ours  # pyright: ignore


def test_its_commands_and_flags_exist(capsys: pytest.CaptureFixture[str]) -> None:
    known = ""
    for command in ("export", "import", "run"):
        assert start(command, *(["chess"] if command == "run" else []), "--help") == 0
        known += capsys.readouterr().out
    assert start("run", "pathfinding", "--help") == 0
    known += capsys.readouterr().out
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", TEXT))
    assert len(flags) >= 8
    assert sorted(flags - set(re.findall(r"--[a-z-]+", known))) == []


def test_a_person_gets_the_files_the_recipe_and_how_far_it_is_from_ours(
    save: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = save(load_frozen_model("tiny-text"), "mlp").relative_to(tmp_path)
    words = ["export", str(folder), "out", "--to", "peft"]
    assert start(*words) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: condition white_elo, black_elo is missing; give --condition white_elo=NUMBER black_elo=NUMBER "
        "(white_elo mostly 1000 to 3000, black_elo mostly 1000 to 3000)"
    )
    assert start(*words, "--condition", "white_elo=1500", "out") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: --condition is out; give NAME=VALUE, behind DIR"
    assert start(*words, "--condition", "white_elo=1500", "white_elo=1600", "black_elo=1600") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: condition white_elo is given twice; give one value"
    assert start(*words, "--condition", "white_elo=1500", "black_elo=1600") == 0
    said = capsys.readouterr()
    names = ("adapter_model.safetensors", "adapter_config.json", "recipe.py", "origin.json")
    assert said.err.splitlines()[:4] == [f"wrote out/{name}" for name in names]
    assert "logits differ from ours by at most 0 (float32)" in said.err
    assert said.out == (tmp_path / "out" / "recipe.py").read_text()
    assert start(*words, "--condition", "white_elo=1500", "black_elo=1600") == 3
    assert capsys.readouterr().err == "error: out is not empty; give a new folder\n"
    assert start("import", "out") == 0
    assert capsys.readouterr().err.splitlines() == [
        "a prompt of 4 tokens for tiny-text: snapshots/imported/out",
        "write:   soft-prompts generate snapshots/imported/out --text ...",
        "measure: soft-prompts run completion --models tiny-text --prompt direct --tokens 0 4 --snapshot "
        "snapshots/imported/out --steps 0 --data ...",
    ]
    assert start("generate", "snapshots/imported/out", "--text", "The", "--max-new-tokens", "4") == 0
    assert capsys.readouterr().out.startswith("The|")
