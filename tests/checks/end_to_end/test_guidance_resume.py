"""Does a command of two stages that is killed in either end with the same numbers, started again?"""

import json
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.finetuning import fine_tuning
from soft_prompts.finetuning import stages as two_stages
from soft_prompts.finetuning.fine_tuning import FineTuning
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.guidance.task import GuidanceTask
from soft_prompts.training import loop as training
from tests.checks.made.disturbances import Disturbed, Record, count_fault, faults, in_a_child

KILLED = -signal.SIGKILL
STEPS = 4  # of each prompt
Kept = dict[str, Any]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = [{"anchor": f"what {n}?", "targets": [f"it is {n}"]} for n in range(16)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def command(rows: Path, model: str, output: Path) -> Disturbed:
    """G2: two lessons, then both models asked, one of them with a prompt too."""
    task = GuidanceTask(experiment=("G2",), realized=8, unrealized=3, epochs=2, documents_per_step=2, leading_tokens=2)
    run = RunConfig(task, model, 0, prompt="direct", steps=STEPS, batch_size=4, sample_tokens=250, data_workers=0)
    settings = replace(run, checkpoint_every=1, validate_every=2, warmup_steps=1, validation_samples=4)
    grid = Grid((model,), (0, 2), (str(rows),), settings, task)

    def start() -> None:
        os.chdir(output)  # a model's folder is part of its name
        two_stages.FineTuning = partial(FineTuning, checkpoint_every=2)
        assert Experiment("guidance_softprompt", "?", {"default": grid}).main([]) == 0

    return start


def kept(output: Path) -> Kept:
    """Every number of every run, its items and its prompt, and every weight of every fine-tuned model."""
    results = {path: json.loads(path.read_text()) for path in (output / "results").rglob("*.json")}
    tensors = [path for path in output.rglob("*.safetensors") if "state" not in path.parts]
    kept: Kept = {path.name: (one["metrics"], one["generations"]) for path, one in results.items()}
    return kept | {str(path.relative_to(output)): path.read_bytes() for path in tensors}


def kill_at(owner: Any, name: str, number: int, before: bool) -> None:
    """SIGKILL to this process at its `number`-th call of a function, before or after what it does."""
    real, calls = getattr(owner, name), [0]

    def counted(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if before and calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        value = real(*arguments, **options)
        if calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    setattr(owner, name, counted)


@pytest.fixture(scope="module")
def undisturbed(rows: Path, one_frozen: FrozenModel, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    output = tmp_path_factory.mktemp("undisturbed")
    assert in_a_child(command(rows, one_frozen.name, output)) == 0
    return kept(output)


MOMENTS = {
    "in a lesson": (fine_tuning, "take_step", 5, False),
    "while a model is written": (fine_tuning, "sync", 3, True),
    "between two lessons": (fine_tuning, "_publish_model", 2, False),
    "in a prompt's training": (training, "learning_rate", 3, False),
}


@pytest.mark.parametrize(
    "moment",
    ["in a lesson", "in a prompt's training"]
    + [pytest.param(moment, marks=faults) for moment in ("while a model is written", "between two lessons")],
)
def test_killed_in_either_stage(
    rows: Path, one_frozen: FrozenModel, undisturbed: Kept, tmp_path: Path, moment: str, record_property: Record
) -> None:
    start = command(rows, one_frozen.name, tmp_path)

    def killed() -> None:
        kill_at(*MOMENTS[moment])
        start()

    assert in_a_child(killed) == KILLED
    before = kept(tmp_path)
    assert before.keys() < undisturbed.keys() or "written" in moment
    assert in_a_child(start) == 0
    count_fault(record_property, f"SIGKILL of both stages, {moment}", [kept(tmp_path) == undisturbed])


def test_what_is_compared_is_all_there_is(undisturbed: Kept) -> None:
    """Three runs with their items, a prompt, two models."""
    endings = [".json", ".items.safetensors", "prompt.safetensors", "model.safetensors"]
    assert [sum(name.endswith(ending) for name in undisturbed) for ending in endings] == [3, 3, 1, 2]
