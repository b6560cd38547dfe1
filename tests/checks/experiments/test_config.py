"""Which runs does a command line stand for?"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from soft_prompts.common.errors import UsageError
from soft_prompts.config import RunConfig, settings_that_count
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, variant
from soft_prompts.tasks.chess import ChessTask


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
