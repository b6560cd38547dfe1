"""Which runs does a command line stand for?"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from soft_prompts.common.errors import UsageError
from soft_prompts.common.settings import CHANGES
from soft_prompts.config import RunConfig, settings_that_count
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.results import roles
from soft_prompts.results.roles import HardPrompt, Lora, NoSkill, OtherRate, PlantedSecret, Role, Rounded, TaughtLock
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.registry import TASKS
from soft_prompts.training.apparatus import run_paths


@dataclass(frozen=True)
class SeveralTask(ChessTask):
    """Chess that asks for several lengths at once."""

    lengths: tuple[int, ...] = (3, 5)
    name: ClassVar[str] = "several"

    def each(self) -> tuple[ChessTask, ...]:
        return tuple(replace(self, lengths=(length,)) for length in self.lengths)


TASK = SeveralTask()
GRID = Grid(("a", "b"), (0, 2), ("games", "more"), RunConfig(TASK, "a", 0), TASK, seeds=(0, 1))


def test_a_grid_is_every_combination_and_the_bare_model_once() -> None:
    runs = list(GRID.runs())
    assert len(runs) == len(set(runs)) == 2 * 2 * 2 * (1 + 2)
    assert {(run.model, run.data, run.task, run.tokens, run.seed) for run in runs} == {
        (model, data, SeveralTask(lengths=(length,)), tokens, seed)
        for model in ("a", "b")
        for data in ("games", "more")
        for length in (3, 5)
        for tokens, seed in ((0, 0), (2, 0), (2, 1))
    }
    assert list(replace(GRID, models=("a", "a"), tokens=(2, 2, 0)).runs()) == [
        run for run in replace(GRID, tokens=(2, 0)).runs() if run.model == "a"
    ]


def test_a_folder_that_a_shell_completed_is_the_folder() -> None:
    once, twice = replace(GRID, models=("a",), reference="a"), replace(GRID, models=("a", "a/"), reference="a/")
    assert list(twice.runs()) == list(once.runs())
    assert twice.reference == "a"


def test_two_data_sets_of_one_name_are_refused_and_one_given_twice_is_one(tmp_path: Path) -> None:
    """Whichever of their runs were made last would be shown, and the others left out."""
    one, other = (str(tmp_path / folder / "data.jsonl") for folder in ("x", "y"))
    again = str(tmp_path / "x" / ".." / "x" / "data.jsonl")
    assert list(replace(GRID, data=(one, again, one)).runs()) == list(replace(GRID, data=(one,)).runs())
    tested = replace(GRID, data=(one, again), settings=replace(GRID.settings, test_data=other))
    assert {run.test_data for run in tested.runs()} == {other}
    for data in ((one, other), ("games", one, str(tmp_path / "data.pgn"))):
        with pytest.raises(UsageError, match=f"^{one} and {data[-1]} would both be called data in the results; rename"):
            list(replace(GRID, data=data).runs())
    with pytest.raises(UsageError, match=r"^a/wiki and b/wiki would both be called wiki"):
        list(replace(GRID, data=("a/wiki", "b/wiki")).runs())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": ()}, "data is empty"),
        ({"models": ()}, "models is empty"),
        ({"reference": "c"}, "reference is c; give one of the models, a, b"),
        ({"settings": replace(GRID.settings, test_data="test")}, "--data names several"),
        ({"jobs": 0}, "jobs is 0"),
    ],
)
def test_a_grid_that_cannot_be(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        list(replace(GRID, **changes).runs())


def test_cases_are_run_for_the_whole_grid_and_change_no_bare_model(tmp_path: Path) -> None:
    grid = variant(GRID, data=("games",), task=SeveralTask(lengths=(3,)), output_dir=tmp_path)
    cases = {"slow": {"learning_rate": 1e-4}, "fast": {"learning_rate": 1e-2}}
    runs = Experiment("several", "Which?", {"default": grid}, cases).runs(grid)
    bare = [run for run in runs if run.tokens == 0]
    assert [run.model for run in bare] == ["a", "b"]
    rates = {(run.model, run.seed, run.learning_rate) for run in runs if run.tokens}
    assert rates == {(model, seed, rate) for model in ("a", "b") for seed in (0, 1) for rate in (1e-4, 1e-2)}


def test_what_the_bare_model_does_not_depend_on_is_no_part_of_it() -> None:
    bare = settings_that_count(GRID.settings)
    assert "learning_rate" not in bare
    assert {"sample_tokens", "test_samples", "task", "dtype"} <= set(bare)
    assert "learning_rate" in settings_that_count(replace(GRID.settings, tokens=1))
    assert settings_that_count(replace(GRID.settings, learning_rate=0.5)) == bare


OTHER: dict[str, object] = {
    "task": replace(TASK, max_plies=7),
    "model": "b",
    "tokens": 5,
    "role": Lora(),
    "prompt": "linear",
    "init": "zeros",
    "condition": "constant",
    "schedule": "constant",
    "device": "cpu",
    "dtype": "bfloat16",
    "data": "more",
    "test_data": "test",
    "revision": "other",
    "micro_batch_size": 2,
    "patience": 3,
    "betas": (0.8, 0.9),
    "reference": "another-model",
    "engine": "plain",
    "device_map": "auto",
    "max_memory": ("0=20GiB",),
    "parallel": "pipeline",
    "output_dir": Path("elsewhere"),
    "snapshot": Path("trained"),
}
"""Another value of every setting that is neither a number nor a switch."""


def other_value(config: Any, name: str) -> Any:
    """A value that the setting does not have, and may have."""
    value = getattr(config, name)
    if name in OTHER:
        return OTHER[name]
    return not value if isinstance(value, bool) else value / 2 if isinstance(value, float) else value + 1


@pytest.mark.parametrize("name", [one.name for one in fields(RunConfig)])
@pytest.mark.parametrize("tokens", [0, 2])
def test_every_setting_is_in_the_path_or_changes_nothing(name: str, tokens: int) -> None:
    """As its definition says it; what only prompts depend on is no part of the bare model's path."""
    base = RunConfig(TASK, "a", tokens, device_map="auto" if name == "max_memory" else None)
    other = replace(base, **{name: other_value(base, name)})
    assert getattr(other, name) != getattr(base, name)
    kind = next(one.metadata[CHANGES] for one in fields(RunConfig) if one.name == name)
    counts = kind == "all" or (kind == "prompts" and tokens > 0)
    paths = [run_paths(config).result.relative_to(config.output_dir) for config in (base, other)]
    assert (paths[0] != paths[1]) == counts
    if name != "role":  # told by name and facts; the rest of the path says it too
        assert (settings_that_count(base) != settings_that_count(other)) == counts


OF_TASKS: dict[str, object] = {
    "event": "Rated Classical game",
    "max_plies": 7,
    "condition_fields": ("length",),
    "fields": ("completion=text",),
    "skip": (3,),
    "string": ("abc",),
    "position": "random",
    "chat_template_from": "tiny-chat",
    "favour_future": 3,
    "board": "8x8",
    "prefix": "go",
    "experiment": ("1",),
    "layers": "last:1",
    "optimiser": "muon",
    "tuning_precision": "float32",
    "arm": "S",
}
"""Another value of every field of a task that is neither a number nor a switch."""


@pytest.mark.parametrize("kind", TASKS.values(), ids=list(TASKS))
def test_every_field_of_a_task_is_in_the_path(kind: type[Any]) -> None:
    base = RunConfig(kind(), "a", 2)
    for name in (one.name for one in fields(kind)):
        value = getattr(base.task, name)
        other = OF_TASKS.get(name, not value if isinstance(value, bool) else None)
        other = value * 2 + 1 if other is None else other
        task = replace(base.task, **{name: other})
        assert run_paths(replace(base, task=task)).result != run_paths(base).result, name


def test_every_fact_of_a_role_is_in_the_path() -> None:
    base = RunConfig(TASK, "a", 2)
    kinds = [kind for kind in vars(roles).values() if isinstance(kind, type) and "kind" in vars(kind)]
    plain = [kind() for kind in kinds if kind not in (PlantedSecret, TaughtLock)]
    apart: list[Role] = [
        *plain,
        Rounded(2, "x"),
        Rounded(4, "x"),
        Rounded(2, "y"),
        Lora(rank=3),
        HardPrompt("projection", "x"),
    ]
    apart += [HardPrompt("projection", "y"), OtherRate("x"), OtherRate("y"), NoSkill("bare")]
    apart += [
        PlantedSecret(1, 0),
        PlantedSecret(2, 0),
        PlantedSecret(1, 1),
        TaughtLock(1, 0, "x"),
        TaughtLock(2, 0, "x"),
        TaughtLock(1, 1, "x"),
        TaughtLock(1, 0, "y"),
    ]
    paths = {run_paths(replace(base, role=role)).result for role in apart}
    assert len(paths) == len(set(apart)) == len(apart)


def test_a_setting_that_came_later_is_told_only_where_it_is_set() -> None:
    """Results from before lack it, and their paths stay."""
    run = RunConfig(ChessTask(), "tiny-chess", 4)
    assert "patience" not in settings_that_count(run)
    patient = replace(run, patience=3)
    assert settings_that_count(patient) == settings_that_count(run) | {"patience": 3}
    assert run_paths(patient) != run_paths(run)
