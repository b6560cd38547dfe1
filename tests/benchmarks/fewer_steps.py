"""Which start, rate and parametrisation of a soft prompt comes to the same held-out loss in fewer steps?

`python -m tests.benchmarks.fewer_steps` trains prompts of 1, 4 and 16 tokens on embedded tasks, as the default presets
did and in other ways, and prints the median validation loss over seeds; on organisms behind a lock it counts the
prompts that did not find it. `--help` lists the settings. What came of it: docs/training.md.
"""

import itertools
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import tyro
from rich.console import Console
from rich.table import Table

from soft_prompts.calibration.catalogue import ORGANISMS
from soft_prompts.calibration.organisms import organism_folder, samples_file
from soft_prompts.calibration.suite import base_run
from soft_prompts.calibration.suite_options import SuiteOptions
from soft_prompts.config import SHORT_MEMORY, RunConfig
from soft_prompts.experiments.catalogue import autoregressive, chess, completion, pathfinding, repetition
from soft_prompts.experiments.grid import Grid
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.task import Example, Position
from soft_prompts.training.apparatus import data_request, load_for, prompt_for
from soft_prompts.training.events import EventLog
from soft_prompts.training.loop import Fit, Hooks, set_conditions, train

REFERENCE = Path(__file__).parent / "reference" / "fewer_steps.json"
Row = dict[str, Any]
Changes = Mapping[str, Any]
BATCH = 16  # half of most presets: it changes no ranking, and twice as many ways fit into an hour
FAILED = 1.0  # nats a token on an organism: half of what knows nothing, far above what has found the lock

OLDER_MEMORY = (0.8, 0.9)
PRESET = {"learning_rate": 1e-2, "warmup_steps": 20, "steps": 200}
WAYS: Mapping[str, Changes] = {
    "200 steps at 0.01": PRESET,
    **{
        f"{steps} steps at {rate:g}": {"learning_rate": rate, "warmup_steps": 5, "steps": steps}
        for steps, rate in ((50, 0.1), (50, 0.3), (100, 0.03), (100, 0.1), (100, 0.3))
    },
    "100 at 0.1, residual": {"learning_rate": 0.1, "warmup_steps": 5, "steps": 100, "prompt": "residual"},
    "100 at 0.3, zeros": {"learning_rate": 0.3, "warmup_steps": 5, "steps": 100, "init": "zeros"},
    "100 at 0.3, mean_noise": {"learning_rate": 0.3, "warmup_steps": 5, "steps": 100, "init": "mean_noise"},
    **{
        f"{steps} at {rate:g}, memory {keeps[0]:g} {keeps[1]:g}": {
            "learning_rate": rate,
            "warmup_steps": 5,
            "steps": steps,
            "betas": keeps,
        }
        for keeps in (OLDER_MEMORY, SHORT_MEMORY)
        for steps, rate in ((50, 0.1), (50, 0.3), (50, 1.0), (100, 0.1), (100, 0.3), (100, 1.0))
    },
    "100 steps at 1": {"learning_rate": 1.0, "warmup_steps": 5, "steps": 100},
    "100 at 0.1, constant": {"learning_rate": 0.1, "warmup_steps": 5, "steps": 100, "schedule": "constant"},
}


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    cases: tuple[str, ...] = ("completion", "games as text", "password-2", "password-strict-3", "password-4")
    """Of these, and paths, chess, chess of tiny-text, repetition: slower ones."""
    tokens: tuple[int, ...] = (1, 4, 16)
    """Prompt token counts."""
    seeds: tuple[int, ...] = (0, 1)
    """Of prompts and of the order of the samples; organisms get twice as many."""
    ways: tuple[str, ...] = tuple(WAYS)
    """How a prompt is trained."""
    output_dir: Path = Path("runs/fewer_steps")
    """Where organisms are kept."""
    save: Path | None = REFERENCE
    """Write the figures to this file."""


def from_grid(grid: Grid[Any], model: str, **asked: str) -> RunConfig:
    """The run of a default preset on that model, and data or variant."""
    runs = (run for run in grid.runs() if run.model == model)
    found = next(run for run in runs if asked.items() <= {"data": run.data, "variant": run.task.variant}.items())
    return replace(found, batch_size=BATCH, validation_samples=128, betas=RunConfig.betas)


def of_organism(name: str, folder: Path) -> RunConfig:
    """As the suite of organisms trains its prompts."""
    organism = ORGANISMS[name]
    asked = organism.questions[0]
    model = organism_folder(organism, folder)
    return base_run(SuiteOptions(output_dir=folder), str(model), str(samples_file(asked.name, asked.table, folder)))


def config_of(case: str, folder: Path) -> RunConfig:
    """The settings of a case but for what a way changes."""
    grids = {
        "completion": (completion.DEFAULT, "tiny-text", {}),
        "games as text": (autoregressive.DEFAULT, "tiny-text", {"data": "games"}),
        "paths": (pathfinding.DEFAULT, "tiny-mazes", {}),
        "chess": (chess.DEFAULT, "tiny-chess", {}),
        "chess of tiny-text": (chess.DEFAULT, "tiny-text", {}),
        "repetition": (repetition.DEFAULT, "tiny-text", {"variant": "5-token"}),
    }
    if case in ORGANISMS:
        return of_organism(case, folder)
    grid, model, asked = grids[case]
    return from_grid(grid, model, **asked)


class Bench(NamedTuple):
    """What the prompts of one case share."""

    config: RunConfig
    frozen: FrozenModel
    validation: list[Example]


def opened(case: str, folder: Path) -> Bench:
    """Model and data of a case, on the CPU."""
    config = replace(config_of(case, folder), device="cpu", data_workers=0)
    frozen = load_for(config)
    data = config.task.open(data_request(config), frozen.tokenizer)
    return Bench(config, frozen, data.held_out("validation"))


def measure(bench: Bench, tokens: int, seed: int, changes: Changes) -> tuple[float, float]:
    """The best validation loss of a run, which looks four times, and its seconds of processor time."""
    config = replace(bench.config, tokens=tokens, seed=seed, **changes)
    config = replace(config, validate_every=max(1, config.steps // 4), checkpoint_every=config.steps)

    def stream(_: Position | None) -> Iterator[tuple[Example, Position]]:
        task = config.task.open(data_request(config), bench.frozen.tokenizer)
        return task.training(None)

    hooks = Hooks(lambda _: None, EventLog(None))
    validation = set_conditions(bench.validation, config)
    fit = Fit(config, prompt_for(config, bench.frozen), validation, hooks).begin(stream, None)
    began = time.process_time()
    train(bench.frozen, [fit], lambda: False, lambda _: None)
    loss = fit.progress.best_loss
    return float("nan") if loss is None else loss, time.process_time() - began


def rows_of(case: str, settings: Settings) -> Iterator[Row]:
    """One for each way and token count."""
    bench = opened(case, settings.output_dir)
    locked = case in ORGANISMS
    seeds = range(2 * len(settings.seeds)) if locked else settings.seeds
    for way, tokens in itertools.product(settings.ways, settings.tokens):
        if "prompt" in WAYS[way] and bench.config.prompt != "direct":
            continue  # it would see no conditions
        found = [measure(bench, tokens, seed, WAYS[way]) for seed in seeds]
        losses = [round(loss, 4) for loss, _ in found]
        row = {"case": case, "tokens": tokens, "way": way, "median": round(median(losses), 4), "losses": losses}
        row["cpu_seconds"] = round(sum(seconds for _, seconds in found) / len(found), 1)
        if locked:
            row["failed"] = sum(not loss < FAILED for loss in losses)
        yield row


def print_table(case: str, rows: list[Row]) -> None:
    """Ways down, token counts across; the failures of locked organisms in brackets."""
    counts = list(dict.fromkeys(row["tokens"] for row in rows))
    table = Table("", *(f"{tokens} tokens" for tokens in counts), title=f"{case}: validation loss, nats a token")
    for way, found in itertools.groupby(rows, key=lambda row: row["way"]):
        table.add_row(way, *map(_cell, found))
    Console().print(table)


def _cell(row: Row) -> str:
    failed = f" ({row['failed']} of {len(row['losses'])} failed)" if "failed" in row else ""
    return f"{row['median']:.4f}{failed}"


def main() -> None:
    settings = tyro.cli(Settings, description=__doc__)
    torch.set_num_threads(1)
    every: list[Row] = []
    for case in settings.cases:
        rows = list(rows_of(case, settings))
        print_table(case, rows)
        every += rows
        if settings.save:  # after each case: the next may take long
            found = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "batch_size": BATCH, "rows": every}
            settings.save.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
