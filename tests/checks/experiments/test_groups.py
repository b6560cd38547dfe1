"""Which runs go together: those that may, no more than pay, each after what it begins from?"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soft_prompts.common.errors import UsageError
from soft_prompts.config import RunConfig
from soft_prompts.experiments import groups as module
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.groups import groups
from soft_prompts.results.roles import FreshSeed, Lora, PermutedTargets, Placebo, RandomWeights
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.training.apparatus import run_paths


@pytest.fixture
def base(tmp_path: Path) -> RunConfig:
    return RunConfig(ChessTask(), "tiny-chess", 2, batch_size=8, sample_tokens=32, device="cpu", output_dir=tmp_path)


def test_runs_that_differ_in_their_prompts_alone_go_together(base: RunConfig) -> None:
    own = [{}, {"tokens": 4}, {"seed": 1}, {"learning_rate": 0.5}, {"init": "zeros"}, {"prompt": "linear"}]
    own += [{"condition": "shuffled"}, {"steps": 7}, {"validate_every": 3}, {"role": FreshSeed()}]
    own += [{"role": PermutedTargets()}, {"schedule": "constant"}, {"clip": 0.5}]
    runs = [replace(base, **changes) for changes in own]
    assert groups(runs, len(runs)) == [list(range(len(runs)))]


def test_others_do_not(base: RunConfig, tmp_path: Path) -> None:
    other = [{}, {"model": "tiny-text"}, {"batch_size": 4}, {"sample_tokens": 64}, {"data": "others"}]
    other += [{"task": ChessTask(max_plies=8)}, {"dtype": "bfloat16"}, {"deterministic": True}]
    other += [{"micro_batch_size": 2}, {"output_dir": tmp_path / "other"}, {"role": RandomWeights()}]
    other += [{"role": Lora()}, {"role": Lora(), "seed": 1}, {"tokens": 0}, {"role": Placebo()}]
    runs = [replace(base, **changes) for changes in other]
    assert groups(runs, 100) == [[place] for place in range(len(runs))]
    fresh = [replace(base, role=RandomWeights(), seed=seed) for seed in range(3)]
    assert groups(fresh, 2) == [[0, 1], [2]]


def test_what_is_there_already_is_only_read(base: RunConfig) -> None:
    runs = [replace(base, seed=seed) for seed in range(4)]
    result = run_paths(runs[1]).result
    result.parent.mkdir(parents=True)
    result.write_text("{}")
    assert groups(runs, 2) == [[0, 2], [1], [3]]
    assert groups([replace(run, fresh=True) for run in runs], 2) == [[0, 1], [2, 3]]


def test_a_prompt_that_grows_comes_after_the_one_that_it_grows_from(base: RunConfig) -> None:
    runs = [replace(base, tokens=1), replace(base, tokens=2, init="grown"), base, replace(base, tokens=4, init="grown")]
    assert groups(runs, 8) == [[0], [1, 2], [3]]
    assert groups(runs[1:], 8) == [[0, 1], [2]]
    unlike = [replace(base, tokens=tokens, init="grown") for tokens in (2, 4)]
    assert groups(unlike, 8) == [[0, 1]]  # what they grow from is made elsewhere


@pytest.mark.parametrize(
    ("together", "jobs", "sizes"),
    [
        ("off", 1, [1] * 12),
        (5, 1, [5, 5, 2]),
        (5, 2, [5, 5, 2]),
        ("auto", 1, [4, 4, 4]),  # 8 x 32 tokens a step: four at once pay
        ("auto", 2, [3, 3, 3, 3]),  # as many groups for each job
        ("auto", 3, [4, 4, 4]),
        ("auto", 5, [3, 3, 3, 3]),
        ("auto", 12, [1] * 12),
        ("auto", 20, [1] * 12),
    ],
)
def test_how_many(base: RunConfig, together: module.Together, jobs: int, sizes: list[int]) -> None:
    found = groups([replace(base, seed=seed) for seed in range(12)], together, jobs)
    assert [len(places) for places in found] == sizes
    assert [place for places in found for place in places] == list(range(12))


def test_large_steps_pay_on_a_gpu_alone(base: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [replace(base, batch_size=32, sample_tokens=256, seed=seed, device="auto") for seed in range(8)]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert len(groups(runs)) == 8
    assert len(groups([replace(run, micro_batch_size=1) for run in runs])) == 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert len(groups(runs)) == 4
    assert len(groups([replace(run, device="cpu") for run in runs])) == 8


def test_together_is_a_number_or_one_of_two_words(base: RunConfig) -> None:
    grid = Grid((base.model,), (2,), (base.data,), base, base.task)
    assert grid.together == "auto"
    for given in (0, -1):
        with pytest.raises(UsageError, match=f"together is {given}; give 1 or more"):
            replace(grid, together=given)
    asked = Experiment("chess", "How many?", {"default": grid})
    assert [asked.parse(["--together", word]).together for word in ("4", "off", "auto")] == [4, "off", "auto"]
    with pytest.raises(UsageError, match="--together is all; give a whole number, auto or off;"):
        asked.parse(["--together", "all"])
