"""How much sooner is a step of several prompts done together than one after another?

`python -m tests.benchmarks.together_speed` takes both in turn, in one process, and prints the ratio of their times and
its spread; `--help` lists the settings. What `--together auto` does (soft_prompts/experiments/groups.py) rests on it.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.task import Example
from soft_prompts.training.apparatus import find_device
from soft_prompts.training.gradients import Room, Share, gradients

REFERENCE = Path(__file__).parent / "reference"
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    model: str = "tiny-text"
    """The frozen model."""
    prompts: tuple[int, ...] = (1, 2, 4, 8)
    """How many go together."""
    batch_sizes: tuple[int, ...] = (1, 4, 8, 32)
    """Samples a step of each prompt."""
    text_tokens: tuple[int, ...] = (32, 128)
    """Text tokens a sample."""
    tokens: int = 4
    """Prompt tokens of the first; each further prompt has one more."""
    repeats: int = 7
    """Times that each is taken, in turn."""
    threads: int = 1
    device: str = "auto"
    save: bool = True
    """Write the figures to tests/benchmarks/reference/together_speed.json; of a GPU to together_speed_cuda.json."""


def shares(frozen: FrozenModel, count: int, batch_size: int, length: int, tokens: int) -> list[Share]:
    """Direct prompts, each with random text of its own."""
    made = []
    for number in range(count):
        shape = PromptShape(tokens + number, frozen.hidden_size, 0)
        prompt = build_prompt("direct", shape, frozen.vocabulary.cpu(), seed=number).to(frozen.device)
        drawn = np.random.default_rng(number).integers(0, len(frozen.vocabulary), (batch_size, length)).tolist()
        made.append(Share(prompt, [Example(ids, ids) for ids in drawn], score_first=False))
    return made


def seconds(device: torch.device, work: Callable[[], object]) -> float:
    """On the clock of this process on a CPU, where others may use the machine; on the wall's on a GPU."""
    on_gpu = device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    began = clock()
    work()
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - began


def measure(frozen: FrozenModel, some: Sequence[Share], repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of a step of all of them: together, and one after another; the first of each is for warming up."""

    def step(part: Sequence[Share]) -> None:
        gradients(frozen, part, Room(len(part), len(part[0].examples)), lambda: False)
        for share in part:
            share.prompt.zero_grad(set_to_none=True)

    together, apart = list[float](), list[float]()
    for _ in range(repeats + 1):
        together.append(seconds(frozen.device, lambda: step(some)))
        apart.append(seconds(frozen.device, lambda: [step([share]) for share in some]))
    return together[1:], apart[1:]


def main() -> None:
    settings = tyro.cli(Settings, description=__doc__)
    torch.set_num_threads(settings.threads)
    load = os.getloadavg()[0]
    frozen = load_frozen_model(settings.model, device=find_device(settings.device))
    rows: list[Row] = []
    for length in settings.text_tokens:
        for batch_size in settings.batch_sizes:
            for count in settings.prompts:
                some = shares(frozen, count, batch_size, length, settings.tokens)
                together, apart = measure(frozen, some, settings.repeats)
                ratios = sorted(one / other for one, other in zip(apart, together, strict=True))
                rows.append(
                    {
                        "sample": length,
                        "batch": batch_size,
                        "prompts": count,
                        "tokens_a_step": length * batch_size * count,
                        "together_ms": round(1000 * statistics.median(together), 1),
                        "ratio": round(statistics.median(ratios), 2),
                        "from": round(ratios[0], 2),
                        "to": round(ratios[-1], 2),
                    }
                )
    name = torch.cuda.get_device_name(frozen.device) if frozen.device.type == "cuda" else platform.machine()
    table = Table(*rows[0], title=f"one after another / together, {settings.model} in {frozen.dtype} on {name}")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if settings.save:
        machine = f"{name}, {settings.threads} of {os.cpu_count()} cores"
        found = {"machine": machine, "model": settings.model, "load_before": round(load, 1), "rows": rows}
        file = f"together_speed{'_cuda' if frozen.device.type == 'cuda' else ''}.json"
        (REFERENCE / file).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
