"""Do the right trials of the battery go on, and is everything tried that there is?"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soft_prompts.config import RunConfig
from soft_prompts.experiments.evidence import battery
from soft_prompts.experiments.evidence.battery import (
    as_many,
    first_rung,
    halves,
    most_trials,
    second_rung,
    starts_of,
    third_rung,
    validation_loss,
)
from soft_prompts.results import roles
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.sources import source_folder

Losses = Callable[[RunConfig], float]


@pytest.fixture
def base(tmp_path: Path) -> RunConfig:
    task = CompletionTask()
    return RunConfig(task, "tiny-text", 4, prompt="direct", data="sums", steps=200, output_dir=tmp_path)


def setting_of(base: RunConfig, run: RunConfig) -> tuple[str, float]:
    return run.init, run.learning_rate / base.learning_rate


def test_rung_one_is_every_rate_with_every_start_for_a_quarter_of_the_steps(base: RunConfig) -> None:
    first = first_rung(base, [base])
    starts = ("vocabulary", "mean_noise", "grown", "search")
    assert {setting_of(base, run) for run in first} == {(s, f) for s in starts for f in (0.25, 0.5, 1, 2)}
    assert len(first) == 16
    assert {(run.steps, run.seed, run.tokens) for run in first} == {(50, 0, 4)}
    assert {run.role.name for run in first if run.init == "vocabulary"} == {"battery:rates"}
    assert {run.role.name for run in first if run.init != "vocabulary"} == {"battery:initialisations"}
    assert {run.steps for run in first_rung(replace(base, steps=40), [])} == {20}
    short = replace(base, steps=12)
    assert {run.steps for run in first_rung(short, [])} == {12}
    assert ("vocabulary", 1) not in {setting_of(short, run) for run in first_rung(short, [])}  # it is the run itself
    assert len({run_paths(run) for run in [base, *first]}) == 17


def test_starts_are_those_that_the_prompt_can_have(base: RunConfig) -> None:
    assert "grown" not in starts_of(replace(base, tokens=1))
    shared = replace(base, task=CompletionTask(condition_fields=("larger",)), prompt="shared_resnet")
    assert starts_of(shared) == ["vocabulary", "mean_noise"]
    assert [run.init for run in halves(base, [base])] == ["vocabulary"]
    half = replace(base, tokens=2)
    assert halves(base, [base, half]) == [
        replace(half, init="vocabulary", role=roles.Half())
    ]  # its prompt is not there
    snapshot = run_paths(half).snapshot
    snapshot.mkdir(parents=True)
    (snapshot / "prompt.json").write_text("{}")
    assert halves(base, [base, half]) == []
    grown = replace(base, init="grown")
    assert halves(grown, [half, grown]) == []
    sources = {source_folder(run) for run in first_rung(grown, [grown]) if run.init == "grown"}
    assert sources == {run_paths(replace(base, tokens=2)).snapshot} == {source_folder(grown)}


def test_the_best_quarter_goes_on_and_a_search_start_always(base: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    first = first_rung(base, [base])
    order = {(s, f): place for place, (s, f) in enumerate((setting_of(base, run)) for run in first)}
    monkeypatch.setattr(battery, "validation_loss", lambda run: 1.0 + order[setting_of(base, run)])
    second = second_rung(base, first)
    settings = [setting_of(base, run) for run in second]
    assert settings == [("vocabulary", 0.25), ("vocabulary", 0.5), ("vocabulary", 2), ("search", 0.25)]  # 1: the run
    assert {run.steps for run in second} == {200}
    monkeypatch.setattr(battery, "validation_loss", lambda run: -1.0 * order[setting_of(base, run)])
    settings = [setting_of(base, run) for run in second_rung(base, first)]
    assert settings == [("search", factor) for factor in (2, 1, 0.5, 0.25)]


def test_what_failed_does_not_go_on(base: RunConfig) -> None:
    """No trial has a result; a broken one says as little."""
    path = run_paths(base).result
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert validation_loss(base) == float("inf")
    first = first_rung(base, [base])
    assert second_rung(base, first) == []
    assert third_rung(base, [], [base]) == []


def test_the_best_gets_fresh_seeds_and_twice_the_steps(base: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = [base, replace(base, seed=1), replace(base, seed=2)]
    first = first_rung(base, seeds)
    second = [replace(run, steps=200) for run in first if run.init in ("grown", "search")]
    best = next(run for run in second if setting_of(base, run) == ("grown", 0.5))
    monkeypatch.setattr(battery, "validation_loss", lambda run: 1.0 if run == best else 2.0)
    third = third_rung(base, second, seeds)
    assert {setting_of(base, run) for run in third} == {("grown", 0.5)}
    assert [(run.role.name, run.seed, run.steps) for run in third] == [
        ("battery:seeds", 3, 200),
        ("battery:seeds", 4, 200),
        ("battery:longer", 0, 400),
    ]
    assert {run.role.source for run in third} == {best.role.source} != {None}
    monkeypatch.setattr(battery, "validation_loss", lambda run: 1.0 if run == base else 2.0)
    assert {setting_of(base, run) for run in third_rung(base, second, seeds)} == {("vocabulary", 1)}


def test_as_many_trials_as_there_can_be(base: RunConfig) -> None:
    most = most_trials(base, [base])
    assert len(most) == len({run_paths(run) for run in most}) == 1 + 16 + (4 + 1) + 3
    assert sum(run.steps for run in most) == 200 + 16 * 50 + 5 * 200 + 2 * 200 + 400
    assert [run.role for run in as_many(base, 2)] == [roles.FreshSeed()] * 2
