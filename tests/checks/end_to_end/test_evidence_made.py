"""Is the evidence that a grid asks for made once, where the bracket was read, with its cost said before?"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.config import RunConfig
from soft_prompts.experiments import beside
from soft_prompts.experiments.beside import Made, make_beside
from soft_prompts.experiments.cost import expected_seconds
from soft_prompts.experiments.evidence import battery, locks, power
from soft_prompts.experiments.evidence.anchors import FixedPrompt
from soft_prompts.experiments.evidence.order import Seen, Standing
from soft_prompts.experiments.evidence.rounding import BITS
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.sweep import run_all
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.files import read_result, write_result
from soft_prompts.results.schema import Result
from soft_prompts.stats.brackets import Bracket
from soft_prompts.tasks.task import UNSCORED
from soft_prompts.training import starts
from soft_prompts.training.apparatus import data_request, run_paths
from tests.checks.made.beside import SHORT_SEARCH, apparatus

Settings = Callable[..., RunConfig]


class Fake:
    """Reads the same of every subject, whatever is there."""

    def __init__(self, half: Bracket) -> None:
        self.half, self.asked = half, 0

    def __call__(self, standing: Standing) -> Seen:
        self.asked += 1
        paths = [path for path, run in standing.paths().items() if run.tokens == self.half.at_most]
        return Seen(self.half, paths[0] if paths else None)


def grid_of(runs: Sequence[RunConfig], evidence: Any, **changes: Any) -> Grid:
    base = runs[-1]
    counts = tuple(dict.fromkeys(run.tokens for run in runs))
    return Grid((base.model,), counts, (base.data,), base, base.task, evidence=evidence, **changes)


def roles_of(made: Made) -> list[tuple[str, int, int]]:
    return [(config.role.name, config.tokens, config.seed) for config in made.configs]


def test_standard_evidence_is_made_once_and_its_cost_is_said(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the real reading: random weights have no skill in random games, so LoRA shows whether there is a scale."""
    config = settings(tmp_path, condition="none", steps=2, batch_size=2, test_samples=4, validation_samples=2)
    runs = [replace(config, tokens=tokens) for tokens in (0, 2)]
    run_all(runs)
    capsys.readouterr()
    made = make_beside(runs, grid_of(runs, "standard"))
    said = capsys.readouterr().err
    line = next(line for line in said.splitlines() if line.startswith("evidence standard: at most "))
    assert len(made.configs) <= int(line.split("at most ")[1].split()[0])
    assert line.endswith(" at most")
    assert [name for name, _, _ in roles_of(made)[:9]] == [
        "anchor:no_skill",
        *["anchor:placebo"] * 5,
        *["anchor:lora"] * 3,
    ]
    assert not made.failures
    stamps = {run_paths(one).result: run_paths(one).result.stat().st_mtime_ns for one in made.configs}
    again = make_beside(runs, grid_of(runs, "standard"))
    assert again.configs == made.configs
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert "evidence standard: all there already" in capsys.readouterr().err


def test_seeds_and_control_stand_at_the_ends_that_were_read(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path, condition="none", steps=1, batch_size=2, test_samples=2, validation_samples=4)
    runs = [replace(config, tokens=tokens) for tokens in (0, 1, 2)]
    run_all(runs)
    fake = Fake(Bracket(0.5, "shown", 1, 2))
    monkeypatch.setattr(beside, "Reader", lambda *given: fake)
    made = make_beside(runs, grid_of(runs, "standard"))
    assert roles_of(made)[9:] == [
        *(("run", tokens, seed) for tokens in (1, 2) for seed in (1, 2)),
        *(("control:random_weights", tokens, 0) for tokens in (0, 1, 2)),
    ]
    assert all(run_paths(one).result.is_file() for one in made.configs)
    assert make_beside(runs, grid_of(runs, "none")) == Made()


def test_full_evidence_of_a_tiny_model(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rung, the rounded witness, and whether such searches find planted secrets."""
    for where, name, value in (
        (battery, "RATES", (1.0,)),
        (battery, "STARTS", ("grown",)),
        (battery, "LEAST_STEPS", 1),
        (power, "SECRETS", 2),
        (locks, "SECRETS", 2),
        (locks, "SAMPLES", {"training": 4, "validation": 2, "test": 2}),
        (locks, "STEPS", 2),
        (power, "CANDIDATES", 3),
        (power, "SAMPLES", {"training": 16, "validation": 4, "test": 8}),
        (starts, "SEARCH", SHORT_SEARCH),
    ):
        monkeypatch.setattr(where, name, value)
    config = settings(tmp_path, condition="none", steps=4, batch_size=2, test_samples=2, validation_samples=1)
    runs = [replace(config, tokens=tokens) for tokens in (0, 4, 8)]
    run_all(runs)
    fake = Fake(Bracket(0.5, "shown", 4, 8))
    monkeypatch.setattr(beside, "Reader", lambda *given: fake)
    made = make_beside(runs, grid_of(runs, "full"))
    names = [name for name, _, _ in roles_of(made)]
    tried = [(one.role.name, one.init, one.steps, one.seed) for one in made.configs if "battery" in one.role.name]
    assert tried[:3] == [
        ("battery:half", "vocabulary", 4, 0),
        ("battery:rates", "vocabulary", 1, 0),
        ("battery:initialisations", "grown", 1, 0),
    ]
    assert [one[0] for one in tried[-3:]] == ["battery:seeds", "battery:seeds", "battery:longer"]
    assert [seed for _, _, _, seed in tried[-3:]] == [3, 4, 0]
    assert tried[-1][2] == 8
    assert [name for name in names if name.startswith("code")] == [f"code:{bits}" for bits in BITS]
    assert {one.tokens for one in made.configs if one.role.name.startswith("code")} == {8}
    planted = [one for one in made.configs if one.role.name == "power:planted"]
    assert [one.tokens for one in planted] == [4, 4]
    task = read_result(run_paths(runs[1]).result)
    for one in planted:
        result = read_result(run_paths(one).result)
        assert (result.experiment, result.data.name, result.data.fingerprint, result.model.name) == (
            task.experiment,
            task.data.name,
            task.data.fingerprint,
            task.model.name,
        )
        assert result.metrics["planted_tokens"].value == 4 // power.PART == 1
        assert (result.training.steps, result.metrics[result.headline].value) == (4, None)
    taught = [read_result(run_paths(one).result) for one in made.configs if one.role.name == "power:taught"]
    assert [one.model.fingerprint for one in taught] == [task.model.fingerprint] * 2  # the model that it is about
    assert {"share_of_planted_gap", "planted_tokens"} <= taught[0].metrics.keys()
    before = [run_paths(one).result.stat().st_mtime_ns for one in made.configs]
    assert make_beside(runs, grid_of(runs, "full")).configs == made.configs
    assert [run_paths(one).result.stat().st_mtime_ns for one in made.configs] == before


def test_the_share_of_a_planted_gap_is_that_of_the_secret_itself(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secret's own embeddings close all of the gap, an untrained prompt of none nothing."""
    monkeypatch.setattr(power, "SAMPLES", {"training": 16, "validation": 4, "test": 64})
    monkeypatch.setattr(power, "SURE", 0)  # of so few items
    config = power.power_runs(settings(tmp_path, tokens=4))[0]
    assert (config.condition, config.prompt_kind, config.role.facts()) == (
        "none",
        "direct",
        {"planted_tokens": 1, "secret": 0},
    )
    data = config.task.open(data_request(config), one_frozen.tokenizer)
    at = power.with_secret(apparatus(config, one_frozen, data))
    assert (at.data.name, at.data.fingerprint, at.data.test) == (data.name, data.fingerprint, data.test)
    secret = power.ranked_secrets(one_frozen, power.questions(data, power.SAMPLES).validation, 1)[0]
    test, validation = at.data.held_out("test"), at.data.held_out("validation")

    def share(ids: Sequence[int]) -> float | None:
        with_ids = at._replace(prompt=FixedPrompt(one_frozen.vocabulary[list(ids)].float()))
        return power.measure_found(with_ids, validation, test, 8).metrics["share_of_planted_gap"].value

    assert share(secret) == pytest.approx(1.0, abs=1e-4)
    assert share(()) == pytest.approx(0.0, abs=1e-4)


def test_a_model_that_says_the_same_has_no_planted_gap(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "SAMPLES", {"training": 16, "validation": 4, "test": 8})
    config = power.power_runs(settings(tmp_path, tokens=4))[0]
    data = config.task.open(data_request(config), one_frozen.tokenizer)
    at = power.with_secret(apparatus(config, one_frozen, data))
    monkeypatch.setattr(power, "losses_behind", lambda frozen, secret, examples: at.data.exact_test_nats())
    found = power.measure_found(at, at.data.held_out("validation"), at.data.held_out("test"), 8)
    assert found.metrics["share_of_planted_gap"].value is None
    assert "same without" in (found.metrics["share_of_planted_gap"].reason or "")


def test_planted_answers_stand_behind_the_tasks_own_questions(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path
) -> None:
    """Questions are the task's own, answers the model's behind the secret: likelier there than behind another."""
    config = power.power_runs(settings(tmp_path, tokens=4))[0]
    data = config.task.open(data_request(config), one_frozen.tokenizer)
    asked = power.questions(data, power.SAMPLES)
    assert len({tuple(one.input_ids) for one in asked.training}) == len(asked.training)
    for cut, whole in zip(asked.test, data.held_out("test"), strict=False):
        first = next(place for place, label in enumerate(cut.labels) if label != UNSCORED)
        assert first >= 1
        assert list(cut.input_ids) == list(whole.input_ids[: len(cut.input_ids)])
        assert 1 <= cut.units == len(cut.labels) - first <= power.TARGETS
    secret, other = power.ranked_secrets(one_frozen, asked.validation, 2)[:2]
    answered = power.answers_behind(one_frozen, secret, asked.test, (0, 1))
    assert answered == power.answers_behind(one_frozen, secret, asked.test, (0, 1))
    own, strange = (power.losses_behind(one_frozen, text, answered).mean() for text in (secret, other))
    assert own < strange
    for cut, one in zip(asked.test, answered, strict=True):
        first = len(cut.labels) - cut.units
        assert list(one.input_ids[:first]) == list(cut.input_ids[:first])
        assert list(one.labels) == [UNSCORED] * first + list(one.input_ids[first:])


@pytest.mark.parametrize(
    ("timing", "steps", "expected"),
    [
        ({"wall_seconds": 100.0, "training_seconds": 60.0}, 16, 60.0 * 2 + 40.0),
        ({"wall_seconds": 100.0, "training_seconds": 60.0}, 8, 100.0),
        ({"wall_seconds": 100.0}, 16, 200.0),  # of earlier versions: training alone
    ],
)
def test_the_time_that_a_result_may_take_grows_with_its_steps_but_for_measuring(
    settings: Settings,
    tmp_path: Path,
    make_result: Callable[..., Result],
    make_items: Callable[..., Any],
    timing: dict[str, float],
    steps: int,
    expected: float,
) -> None:
    run_of_grid, items = settings(tmp_path), make_items([1.0, 2.0])
    changes = {f"timing__{name}": value for name, value in timing.items()}
    write_result(run_paths(run_of_grid).result, make_result(items=items, **changes), items)
    assert expected_seconds(replace(run_of_grid, steps=steps, learning_rate=0.5), [run_of_grid]) == expected


def test_a_copy_is_taught_before_its_prompt_is_sought(
    settings: Settings, tmp_path: Path, make_result: Callable[..., Result], make_items: Callable[..., Any]
) -> None:
    run, items = settings(tmp_path, steps=10, batch_size=32), make_items([1.0, 2.0])
    timing = {"timing__wall_seconds": 50.0, "timing__training_seconds": 50.0}
    write_result(run_paths(run).result, make_result(items=items, **timing), items)
    planted, taught = power.power_runs(run)[0], locks.lock_runs(run)[0]
    steps = 1.5 * 2 * locks.ROWS * locks.STEPS / 32
    assert expected_seconds(taught, [run]) == expected_seconds(planted, [run]) + 5.0 * steps
