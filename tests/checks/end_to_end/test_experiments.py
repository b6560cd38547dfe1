"""Are the experiments what the house style says, and does each of them run?"""

import ast
import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from soft_prompts.config import Grid
from soft_prompts.experiment import Experiment
from soft_prompts.results import find_results

ROOT = Path(__file__).parents[3]
FILES = sorted([*(ROOT / "tests").glob("*_test.py"), *(ROOT / "exploratory_tests").glob("*_test.py")])
MOST_LINES = 60
TINY = {
    "steps": 3,
    "batch_size": 2,
    "sample_tokens": 48,
    "validation_samples": 4,
    "test_samples": 4,
    "data_workers": 0,
    "warmup_steps": 0,
}
TINY_TASKS = {"chess": {"max_plies": 6}}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_experiment_reads_like_one(path: Path) -> None:
    """A docstring with a question, sixty lines at most, a main of two lines, and no pytest test."""
    source = path.read_text()
    tree = ast.parse(source)
    docstring = ast.get_docstring(tree) or ""
    assert docstring.splitlines()[0].endswith("?")
    assert "Source: " in docstring
    assert len(source.splitlines()) <= MOST_LINES
    assert "pytest" not in source
    assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and "test" in node.name]
    assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name.startswith("Test")]
    assert source.rstrip().endswith('if __name__ == "__main__":\n    sys.exit(EXPERIMENT.main())')


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_experiment_takes_three_steps(
    path: Path, tiny_folders: dict[str, Path], games: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every preset is whole; the default one runs on a tiny random model, through the experiment's own main."""
    experiment = importlib.import_module(f"{path.parent.name}.{path.stem}").EXPERIMENT
    assert isinstance(experiment, Experiment)
    assert f"{experiment.name}_test" == path.stem
    assert {"default", "quick", "paper"} <= experiment.presets.keys()
    for grid in experiment.presets.values():
        assert list(grid.runs())
    small = replace(
        experiment,
        presets={name: _small(experiment.name, grid, games, tmp_path) for name, grid in experiment.presets.items()},
    )
    assert small.main(["--models", str(tiny_folders["gpt2"]), "--tokens", "0", "1", "--jobs", "1"]) == 0
    found = find_results([tmp_path / "results"])
    assert not found.problems
    assert {result.prompt.tokens for _, result in found.results} == {0, 1}
    assert {result.training.steps for _, result in found.results} == {0, 3}
    assert {result.experiment for _, result in found.results} == {experiment.name}
    assert capsys.readouterr().out


def _small(name: str, grid: Grid, games: Path, output: Path) -> Grid:
    settings = replace(grid.settings, **TINY, max_bad=0.5, output_dir=output)
    return replace(grid, data=(str(games),), settings=settings, task=replace(grid.task, **TINY_TASKS.get(name, {})))


def test_pytest_collects_no_experiment(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getini("python_files") == ["test_*.py"]
    assert pytestconfig.getini("testpaths") == ["tests/checks"]
    assert not list((ROOT / "tests" / "checks").rglob("*_test.py"))
