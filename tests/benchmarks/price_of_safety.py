"""What do resumable states cost? Steps a second with one every so many steps, over those without.

`python -m tests.benchmarks.price_of_safety` trains the same prompt in turn with states and with the last one alone, and
prints two ratios: `within` a run, the share of its time from the first step to the last that is not spent in states, on
the clock of the process and on the wall's, on which a disk is waited for; and `apart`, of two runs' times, which moves
with whatever else the machine does. `--help` lists the settings.
"""

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import tyro
from rich.console import Console
from rich.table import Table

from soft_prompts.config import RunConfig
from soft_prompts.experiments import run as one_run
from soft_prompts.experiments.catalogue.completion import DEFAULT
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.training.loop import Fit

REFERENCE = Path(__file__).parent / "reference"
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    model: str = "tiny-text"
    """The frozen model; the smaller it is, the more a state weighs."""
    tokens: tuple[int, ...] = (4, 64)
    """Prompt tokens."""
    every: tuple[int, ...] = (50, 10, 1)
    """Steps between two states; 50 is the default of a run."""
    steps: int = 100
    repeats: int = 5
    """Times that each is taken, in turn."""
    threads: int = 1
    save: bool = True
    """Write the figures to tests/benchmarks/reference/price_of_safety.json."""


class Spent(NamedTuple):
    """Seconds of one clock."""

    training: float
    """From the first step to the last, states included."""
    publishing: float
    """Of it, in states."""

    @property
    def rest(self) -> float:
        """The share that is not spent in states."""
        return 1 - self.publishing / self.training


class Clocked:
    """A run's seconds on the clock of the process and on the wall's."""

    def __init__(self, config: RunConfig, frozen: FrozenModel) -> None:
        self.config, self.frozen = config, frozen
        self._train, self._publish = one_run.train, Fit.publish

    def __call__(self, every: int) -> tuple[Spent, Spent]:
        """With a state every so many steps."""
        training, publishing = [0.0, 0.0], [0.0, 0.0]
        one_run.train = lambda *arguments: _add(training, lambda: self._train(*arguments))
        Fit.publish = lambda fit: _add(publishing, lambda: self._publish(fit))
        try:
            with tempfile.TemporaryDirectory() as folder:
                one_run.run(replace(self.config, checkpoint_every=every, output_dir=Path(folder)), self.frozen)
        finally:
            one_run.train, Fit.publish = self._train, self._publish
        process, wall = map(Spent, training, publishing)
        return process, wall


def _add(sums: list[float], work: Callable[[], object]) -> None:
    began = time.process_time(), time.perf_counter()
    work()
    ended = time.process_time(), time.perf_counter()
    sums[:] = [done + end - begin for done, begin, end in zip(sums, began, ended, strict=True)]


def rows_of(config: RunConfig, frozen: FrozenModel, settings: Settings) -> list[Row]:
    """A row an interval; each is taken once before, for warming up."""
    clocked, intervals = Clocked(config, frozen), (config.steps, *settings.every)
    taken = [[clocked(every) for every in intervals] for _ in range(settings.repeats + 1)][1:]
    rows = []
    for place, every in enumerate(settings.every, 1):
        process, wall = zip(*(repeat[place] for repeat in taken), strict=True)
        apart = sorted(repeat[0][0].training / repeat[place][0].training for repeat in taken)
        rows.append(
            {
                "tokens": config.tokens,
                "every": every,
                "steps_a_second": round(config.steps / statistics.median(one.training for one in process), 1),
                "within": round(statistics.median(one.rest for one in process), 4),
                "within_wall": round(statistics.median(one.rest for one in wall), 4),
                "apart": round(statistics.median(apart), 3),
                "from": round(apart[0], 3),
                "to": round(apart[-1], 3),
            }
        )
    return rows


def main() -> None:
    settings = tyro.cli(Settings, description=__doc__)
    torch.set_num_threads(settings.threads)
    load, frozen = os.getloadavg()[0], load_frozen_model(settings.model)
    few = {"validation_samples": 16, "test_samples": 16, "validate_every": settings.steps, "steps": settings.steps}
    base = replace(DEFAULT.settings, model=settings.model, data=DEFAULT.data[0], data_workers=0, device="cpu", **few)
    rows = [row for tokens in settings.tokens for row in rows_of(replace(base, tokens=tokens), frozen, settings)]
    table = Table(*rows[0], title=f"steps a second with states / without, {settings.model} in {frozen.dtype}")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if settings.save:
        machine = f"{platform.machine()}, {settings.threads} of {os.cpu_count()} cores"
        found = {"machine": machine, "model": settings.model, "load_before": round(load, 1), "rows": rows}
        (REFERENCE / "price_of_safety.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
