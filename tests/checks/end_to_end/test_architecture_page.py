"""Does docs/architecture.md tell the truth? Its tree is the package, its links exist, and all its code runs."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from soft_prompts.commands.main import main
from soft_prompts.prompts.kinds import PROMPTS
from soft_prompts.results.files import read_results
from tests.checks.test_floors import FLOORS, HOUSE

PAGE = HOUSE.parent / "docs" / "architecture.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)
SMALL = ["--preset", "quick", "--test-samples", "12", "--validation-samples", "8", "--steps", "3", "--jobs", "1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; what the page registers is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(PROMPTS)
    yield tmp_path
    PROMPTS.clear()
    PROMPTS.update(before)
    for name in ("count_on", "low_rank"):
        sys.modules.pop(name, None)


def block(words: str) -> str:
    """The one piece of code that holds these words."""
    (code,) = [code for code in BLOCKS if words in code]
    return code


def start(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0


def execute(code: str) -> None:
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})


def test_the_shortest_task_is_short_and_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = block("class NextNumber")
    assert len(code.strip().splitlines()) <= 25
    shortened = code.replace("steps=100", "steps=2, test_samples=20, validation_samples=8")
    assert shortened != code
    execute(shortened)
    assert re.search(r"Metric\(value=\d+\.\d+, stderr=\d", capsys.readouterr().out)
    assert list(folder.glob("results/next_number/*/tiny-text/direct-4t-*.json"))


def test_its_tree_is_the_package() -> None:
    tree = TEXT[TEXT.index("## The house") :].split("```")[1]
    rows = re.findall(r"^( ?\d+|  )  (\w+) +\S", tree, re.M)
    assert len(rows) == len(tree.strip().splitlines())
    floors: list[tuple[int, list[str]]] = []
    for number, room in rows:
        floors += [(int(number), [])] if number.strip() else []
        floors[-1][1].append(room)
    assert floors == [(len(FLOORS) - 1 - place, list(rooms)) for place, rooms in enumerate(FLOORS)]


def test_what_it_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXT)
    assert len(links) > 10
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_what_it_names_in_a_table_is_there() -> None:
    """A path in backquotes is a file or folder, of the package or beside it; a name before it is defined there."""
    named = re.findall(r"`([\w.]+)`(?:, `[\w.]+`)? \(`([\w/]+\.py)`\)", TEXT)
    assert len(named) >= 8
    frames = re.findall(r"^([\w.]+) +([\w/]+\.py)  ", TEXT, re.M)
    assert [name for name, _ in frames] == [
        "Experiment.main",
        "run_all",
        "run_together",
        "train",
    ]  # what test_frames.py counts
    for name, path in named + frames:
        defined = {vars(node).get("name") for node in ast.walk(ast.parse((HOUSE / path).read_text()))}
        assert name.split(".")[-1] in defined, (name, path)
    paths = re.findall(r"`([\w/]+/(?:\w+\.py)?)`", TEXT)
    assert [path for path in paths if not (HOUSE / path).exists() and not (HOUSE.parent / path).exists()] == []


def test_a_run_starts_as_it_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = block('model="tiny-text"')
    shortened = code.replace("steps=20", "steps=2, validation_samples=8")
    assert shortened != code
    execute(shortened)
    assert re.search(r"Metric\(value=\d+\.\d+, stderr=\d", capsys.readouterr().out)


def test_its_task_runs(folder: Path) -> None:
    (folder / "count_on.py").write_text(block("class CountOnTask"))
    start("run", "count_on.py", "--below", "60", *SMALL)
    results = read_results("results/count_on")
    assert sorted(result.prompt.tokens for result in results) == [0, 1]
    assert all({"loss_per_answer", "exact_match"} <= set(result.metrics) for result in results)


def test_its_prompt_architecture_is_short_and_runs(folder: Path) -> None:
    code = block("class LowRankPrompt")
    assert len(code[code.index("class LowRankPrompt") :].strip().splitlines()) < 30
    (folder / "low_rank.py").write_text(code)
    start("run", "low_rank.py", "--prompt", "low_rank", *SMALL)
    assert list(folder.glob("snapshots/completion/sums/tiny-text/low_rank-4t-*/prompt.json"))


def test_its_model_is_loaded_and_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = block("load_frozen_model")
    shortened = code.replace("steps=20, test_samples=100", "steps=2, validation_samples=8, test_samples=12")
    assert shortened != code
    execute(shortened)
    assert "'causality': 'passed'" in capsys.readouterr().out
    results = read_results("results/completion")
    assert sorted((result.model.name, result.prompt.tokens) for result in results) == [("my-model", 0), ("my-model", 4)]
