"""What do the processes of a launch find of a model that each of them holds a part of? Started by a launcher, with a
file of jobs; each process writes a file of its own."""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch.distributed.tensor import DTensor

from soft_prompts.common.errors import InputError, Interrupted, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.engine.beginnings import nats_of
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.engine.generation import generate
from soft_prompts.engine.processes import SharedOut
from soft_prompts.experiments import run as one_run
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.loading.spread import Spread
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.task import Example, Query
from soft_prompts.training.gradients import Room, Share, gradients

LENGTHS = (9, 21, 5, 14, 7)  # two processes take three samples and two: of two at once, one makes a pass more
TEXTS = ("e2e4 e7e5", "g1f3", "b8c6 e2e4 g1f3")


def examples() -> list[Example]:
    """Of several lengths, each prompt in the middle; some begin alike."""
    generator = np.random.default_rng(3)
    rows = [generator.integers(1, 90, length).tolist() for length in LENGTHS]
    return [Example(row, row, (), min(2, number)) for number, row in enumerate(rows)]


def alike() -> list[Example]:
    """One question, five answers."""
    generator = np.random.default_rng(4)
    question = generator.integers(1, 90, 6).tolist()
    answers = [generator.integers(1, 90, length).tolist() for length in (2, 3, 2, 4, 3)]
    return [Example(question + own, [-100] * len(question) + own, (), 0) for own in answers]


def numbers(folder: str, mode: str) -> dict[str, Any]:
    """Loss and gradient of a step, losses of items, texts and roads of a model that is spread in this way."""
    frozen = load_frozen_model(folder, spread=Spread(parallel=mode))  # pyright: ignore[reportArgumentType]
    shape = PromptShape(3, frozen.hidden_size, 0, 0, 8, 8)
    prompt = build_prompt("direct", shape, frozen.vocabulary, "vocabulary", 0)
    found = gradients(frozen, [Share(prompt, examples(), False)], Room(1, 2), lambda: False)
    assert found is not None
    complete = SharedOut(partial(generate, frozen, prompt, batch_size=2, as_fits=True), frozen.in_step)
    queries = [Query(text, (), 0) for text in TEXTS]
    return {
        "loss": float(found[0].per_token),
        "tokens": found[0].tokens,
        "gradient": torch.cat([one.grad.flatten() for one in prompt.parameters() if one.grad is not None]).tolist(),
        "items": item_losses(frozen, prompt, examples(), 2).nats.tolist(),
        "alike": nats_of(frozen, prompt, alike(), 2).tolist(),
        "texts": complete(queries, 5),
        "sampled": complete(queries, 5, temperature=0.7),
        "packs": frozen.packs,
        "fused": frozen.head is not None,
        "held": sum(numbers_here(weight) for weight in frozen.model.parameters()),
    }


def numbers_here(weight: torch.Tensor) -> int:
    """Of a weight, in this process."""
    return weight.to_local().numel() if isinstance(weight, DTensor) else weight.numel()


def settings_of(told: dict[str, Any]) -> RunConfig:
    """The settings that a job names."""
    task = ChessTask(max_plies=told.pop("plies"))
    return RunConfig(task, **told | {"output_dir": Path(told["output_dir"])})


def stopped_and_resumed(config: RunConfig, at: int) -> dict[str, Any]:
    """A run of which the last process alone is told to stop, and the same command again."""
    real = one_run.train

    def train(frozen: Any, fits: Any, stop_asked: Any, report: Any) -> None:
        def tell(going: Any) -> None:
            report(going)
            if going[0].progress.step == at and PartialState().process_index == PartialState().num_processes - 1:
                os.kill(os.getpid(), signal.SIGTERM)

        real(frozen, fits, stop_asked, tell)

    one_run.train = train
    try:
        one_run.run(config)
        said = ""
    except Interrupted as error:
        said = str(error)
    finally:
        one_run.train = real
    return {"said": said, "loss": one_run.run(config).metrics["test_loss"].value}


def tried(folder: str, mode: str) -> dict[str, Any]:
    """The numbers, or what is said of a model that cannot be spread in this way."""
    try:
        return numbers(folder, mode)
    except (InputError, UsageError) as error:
        return {"said": str(error)}


def main() -> None:
    torch.set_num_threads(1)
    index = PartialState(cpu=True).process_index
    found = []
    for job in json.loads(Path(sys.argv[1]).read_text()):
        what, told = job.pop("do"), job
        if what == "numbers":
            found.append(numbers(**told))
        elif what == "tried":
            found.append(tried(**told))
        else:
            at = told.pop("at")
            found.append(stopped_and_resumed(settings_of(told), at))
    Path(f"{sys.argv[1]}.{index}").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
