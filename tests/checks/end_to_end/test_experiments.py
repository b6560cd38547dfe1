"""Are the experiments what the house style says, and does each of them run?"""

import ast
import importlib
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from soft_prompts.commands.experiments import EXPERIMENTS, question_of
from soft_prompts.experiments.catalogue import chess
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.prompts.kinds import PROMPTS
from soft_prompts.results.files import find_results

ROOT = Path(__file__).parents[3]
CATALOGUE = ROOT / "soft_prompts" / "experiments" / "catalogue"
OWN = sorted(path for path in CATALOGUE.glob("*.py") if path.stem != "__init__")
EXPLORATORY = sorted((ROOT / "exploratory_tests").glob("*_test.py"))
FILES = [*OWN, *EXPLORATORY]  # calibration has no grid of one task: test_calibrate.py
MOST_LINES = 60
MOST_DATA = 2
DOOR = '''"""{question}"""

import sys

from {module} import EXPERIMENT

if __name__ == "__main__":
    sys.exit(EXPERIMENT.main())
'''
TINY = {
    "steps": 3,
    "batch_size": 2,
    "sample_tokens": 160,
    "validation_samples": 4,
    "test_samples": 4,
    "data_workers": 0,
    "warmup_steps": 0,
    "max_bad": 0.5,
}
TINY_TASKS = {
    "chess": {"max_plies": 6},
    "guidance_softprompt": {"experiment": ("G2", "G3"), "realized": 6, "unrealized": 4, "epochs": 1},
    "pathfinding": {"board": "4x4"},
}
ARCHITECTURES = ("gpt_neox", "llama", "gpt2")
KINDS = tuple(PROMPTS)
SHAPES = list(itertools.product(ARCHITECTURES, KINDS))
pytestmark = pytest.mark.usefixtures("few_training_items")


def experiment_of(path: Path) -> Experiment:
    return importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts)).EXPERIMENT


def takes_kinds(path: Path) -> bool:
    """Only conditions make a prompt of another kind than direct; cases name theirs themselves."""
    experiment = experiment_of(path)
    return bool(experiment.presets["default"].task.condition_names) and not experiment.cases


def covered() -> list[tuple[Path, str, str]]:
    """An experiment of the package that takes kinds of prompts on every architecture, with kinds in turn; each other
    one on one architecture, in turn."""
    architectures, kinds = itertools.cycle(ARCHITECTURES), itertools.cycle(KINDS)
    return [
        (path, architecture, next(kinds) if takes_kinds(path) else "direct")
        for path in FILES
        for architecture in (ARCHITECTURES if path in OWN and takes_kinds(path) else (next(architectures),))
    ]


def test_every_architecture_and_every_kind_is_taken() -> None:
    paths, architectures, kinds = (set(some) for some in zip(*covered(), strict=True))
    assert (paths, architectures, kinds) == (set(FILES), set(ARCHITECTURES), set(KINDS))


def every() -> list[tuple[Path, str, str]]:
    return [(path, *shape) for path in FILES for shape in SHAPES if takes_kinds(path) or shape[1] == "direct"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_experiment_reads_like_one(path: Path) -> None:
    """A docstring with a question, sixty lines at most, and no pytest test."""
    source = path.read_text()
    tree = ast.parse(source)
    docstring = ast.get_docstring(tree) or ""
    assert docstring.splitlines()[0].endswith("?")
    assert "Source: " in docstring
    assert len(source.splitlines()) <= MOST_LINES
    assert "pytest" not in source
    assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and "test" in node.name]
    assert not [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name.startswith("Test")]
    assert (path in EXPLORATORY) == source.endswith('\n\nif __name__ == "__main__":\n    sys.exit(EXPERIMENT.main())\n')


def test_every_experiment_of_the_package_has_its_door() -> None:
    """tests/<name>_test.py says the question and starts it; the register names each file once."""
    doors = {path.stem.removesuffix("_test"): path.read_text() for path in (ROOT / "tests").glob("*_test.py")}
    assert doors == {name: DOOR.format(question=question_of(name), module=at) for name, at in EXPERIMENTS.items()}
    elsewhere = {"behaviour", "calibration", "sandbagging_game", "steering"}
    assert set(EXPERIMENTS) == {path.stem for path in OWN} | elsewhere
    for name, at in EXPERIMENTS.items():
        assert importlib.import_module(at).EXPERIMENT.name == name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_preset_is_whole(path: Path) -> None:
    experiment = experiment_of(path)
    assert isinstance(experiment, Experiment)
    assert experiment.name == path.stem.removesuffix("_test")
    assert {"default", "quick", "paper"} <= experiment.presets.keys()
    for grid in experiment.presets.values():
        assert experiment.runs(grid)


@pytest.mark.parametrize(
    ("flags", "reference"),
    [
        ([], "tiny-chess"),
        (["--models", "tiny-text", "tiny-chess/"], "tiny-chess"),
        (["--models", "tiny-text", "tiny-mazes"], None),
        (["--models", "tiny-text", "tiny-chess", "--reference", "tiny-text"], "tiny-text"),
        (["--models", "tiny-text", "--reference", "None"], None),
    ],
)
def test_a_presets_reference_stays_where_it_is_among_the_models(
    flags: list[str], reference: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = chess.EXPERIMENT.parse(flags, "x")
    assert grid.reference == reference
    chess.EXPERIMENT._say_reference(grid, flags)
    said = capsys.readouterr().err
    named = "no reference: tiny-chess, that of the preset, is not among the models; --reference names another\n"
    assert said == (named if "tiny-mazes" in flags else "")


def three_steps(path: Path, folder: Path, kind: str, output: Path, most_cases: int | None = None) -> None:
    """The default preset, made small, through the experiment's own main."""
    experiment = experiment_of(path)
    cases = dict(list(experiment.cases.items())[:most_cases])
    small = {name: _small(grid, output) for name, grid in experiment.presets.items()}
    small = replace(experiment, presets=small, cases=cases)
    flags = ["--models", str(folder), "--tokens", "0", "1", "--jobs", "1", "--evidence", "none"]
    flags += ["--prompt", kind] if takes_kinds(path) else []
    assert small.main(flags) == 0
    found = find_results([output / "results"])
    assert not found.problems
    grid = replace(small.presets["default"], reference=None)
    asked = small.runs(variant(grid, models=(str(folder),), tokens=(0, 1)))
    assert len(found.results) == len(asked)
    assert {result.prompt.tokens for _, result in found.results} == {0, 1}
    assert {result.training.steps for _, result in found.results} == {0, 3}
    assert {result.experiment for _, result in found.results} == {grid.task.name}


@pytest.mark.parametrize(
    ("path", "architecture", "kind"), covered(), ids=lambda part: part.stem if isinstance(part, Path) else part
)
def test_an_experiment_takes_three_steps(
    path: Path,
    architecture: str,
    kind: str,
    tiny_folders: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    three_steps(path, tiny_folders[architecture], kind, tmp_path, most_cases=2)
    assert capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "architecture", "kind"), every(), ids=lambda part: part.stem if isinstance(part, Path) else part
)
def test_an_experiment_takes_three_steps_in_every_combination(
    path: Path, architecture: str, kind: str, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    three_steps(path, tiny_folders[architecture], kind, tmp_path)


def _small(grid: Grid, output: Path) -> Grid:
    task = replace(grid.task, **TINY_TASKS.get(grid.task.name, {}))
    settings = replace(grid.settings, **TINY, output_dir=output)
    return replace(grid, task=task, data=grid.data[:MOST_DATA], settings=settings)


def test_pytest_collects_no_experiment(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getini("python_files") == ["test_*.py"]
    assert pytestconfig.getini("testpaths") == ["tests/checks"]
    assert not list((ROOT / "tests" / "checks").rglob("*_test.py"))
