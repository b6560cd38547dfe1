"""Does the README tell the truth? Its example of a task runs, and the paths that it names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_custom_task_is_short_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = [block for block in BLOCKS if "class NextNumber" in block]
    assert len(code.strip().splitlines()) <= 25
    shortened = code.replace("steps=100", "steps=2, test_samples=20, validation_samples=8")
    assert shortened != code
    monkeypatch.chdir(tmp_path)
    exec(compile(shortened, "README.md", "exec"), {"__name__": "readme"})
    assert re.search(r"Metric\(value=\d+\.\d+, stderr=\d", capsys.readouterr().out)
    assert list(tmp_path.glob("results/next_number/*/tiny-text/direct-4t-*.json"))


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [block for block in BLOCKS if "import soft_prompts as sp" in block]
    shortened = code.replace("steps=20, test_samples=100", "steps=2, test_samples=12, validation_samples=8")
    assert shortened != code
    monkeypatch.chdir(tmp_path)
    exec(compile(shortened, "README.md", "exec"), {"__name__": "readme"})
    assert re.search(r"metric +loss_per_move +move_legality\ntokens[ ]*\n0 .*\n4 ", capsys.readouterr().out)
    assert (tmp_path / "chess.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.glob("results/chess/games/tiny-chess/*.json"))) == 2


def test_what_it_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_its_tree_names_every_module() -> None:
    tree = README[README.index("## Where things are") :]
    modules = {path.stem for path in (ROOT / "soft_prompts").glob("*.py")} - {"__init__", "__main__"}
    assert sorted(name for name in modules if not re.search(rf"\b{name}\b", tree)) == []
