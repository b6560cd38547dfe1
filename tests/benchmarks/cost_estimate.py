"""How far from the truth is what `soft-prompts doctor run ...` says of memory and time?

`python -m tests.benchmarks.cost_estimate` estimates eleven short runs, then makes each in a process of its own on one
thread, and prints estimate, measured and their ratio: the growth of the process's resident memory at its highest, and
its processor's seconds, torch being loaded in both. Writes them beside the other references. `--help` lists settings.
"""

import importlib
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.table import Table

from soft_prompts.commands.experiments import EXPERIMENTS
from soft_prompts.common.machine import keep_freed_memory
from soft_prompts.config import RunConfig
from soft_prompts.experiments.estimate.runs import estimates
from soft_prompts.experiments.run import run_together
from soft_prompts.models.loading.quiet import quiet
from soft_prompts.results.roles import RUN, FullFineTune, Lora, Role
from tests.benchmarks.machine import Memory, describe
from tests.benchmarks.shapes import save_random

REFERENCE = Path(__file__).parent / "reference" / "cost_estimate.json"
SMALL = "--test-samples 64 --validation-samples 32 --validate-every 1000 --checkpoint-every 1000 --data-workers 0"
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A run, as it is typed; {shape} is the folder of a model of random weights."""

    flags: str
    shape: str | None = None
    role: Role = RUN


CASES = {
    "short answers, P 4": Case("completion --models tiny-text --tokens 4 --steps 60"),
    "short answers, P 64 conditional": Case(
        "chess --models tiny-chess --tokens 64 --steps 6 --batch-size 8 --test-samples 32"
    ),
    "games, P 0": Case("chess --models tiny-chess --tokens 0 --test-samples 96"),
    "games, P 16, large batch": Case("chess --models tiny-chess --tokens 16 --steps 4 --batch-size 32 --prompt direct"),
    "long texts, P 1": Case("autoregressive --models tiny-text --tokens 1 --steps 12 --batch-size 16"),
    "mazes, P 4": Case("pathfinding --models tiny-mazes --tokens 4 --steps 10 --test-samples 32"),
    "repetition, P 256": Case("repetition --models tiny-text --tokens 256 --steps 6"),
    "LoRA, games": Case("chess --models tiny-chess --tokens 1 --steps 6 --batch-size 16", role=Lora()),
    "all weights, short answers": Case("completion --models tiny-text --tokens 1 --steps 20", role=FullFineTune()),
    "pythia-70m, P 16": Case(
        "completion --models {shape} --tokens 16 --steps 3 --batch-size 64 --test-samples 64 --validation-samples 16",
        "pythia-70m",
    ),
    "smollm2-135m, P 4": Case(
        "completion --models {shape} --tokens 4 --steps 2 --batch-size 8 --test-samples 8 --validation-samples 8",
        "smollm2-135m",
    ),
}


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    cases: tuple[str, ...] = tuple(CASES)
    """Names of runs."""
    save: Path | None = REFERENCE
    """The JSON; None writes nothing."""


def config_of(case: Case, folder: Path) -> RunConfig:
    """The one run that the flags ask for."""
    model = folder / (case.shape or "")
    if case.shape and not model.is_dir():
        with quiet():
            save_random(case.shape, model)
    given = {word for word in case.flags.split() if word.startswith("--")}
    usual = SMALL.split()
    others = [word for at in range(0, len(usual), 2) if usual[at] not in given for word in usual[at : at + 2]]
    name, *flags = [*case.flags.format(shape=model).split(), *others, "--output-dir", str(folder), "--offline"]
    experiment = importlib.import_module(EXPERIMENTS[name]).EXPERIMENT
    config = experiment.runs(experiment.parse(flags, name))[0]
    return config if case.role == RUN else replace(config, role=case.role, tokens=0)


def estimated(config: RunConfig) -> Row:
    """What doctor says."""
    torch.set_num_threads(1)
    began = time.process_time()
    [found] = estimates([config], "off")
    return {"mb": found.bytes / 2**20, "seconds": found.seconds, "asked_seconds": time.process_time() - began}


def measured(config: RunConfig) -> Row:
    """What a process needs that has torch loaded already."""
    torch.set_num_threads(1)
    keep_freed_memory()
    memory, began = Memory("cpu"), time.process_time()
    run_together([config])
    return {"mb": memory.peak() - memory.before, "seconds": time.process_time() - began}


def rows_of(settings: Settings, folder: Path) -> list[Row]:
    """Estimates first, so that no run is known to them."""
    context = multiprocessing.get_context("spawn")
    asks = ProcessPoolExecutor(1, mp_context=context)

    def apart(config: RunConfig) -> Row:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(measured, config).result()

    rows = []
    for name in settings.cases:
        config = config_of(CASES[name], folder)
        said, found = asks.submit(estimated, config).result(), apart(config)
        ratios = {f"{what}_ratio": round(said[what] / found[what], 2) for what in found}
        row = {f"estimated_{what}": round(value, 2) for what, value in said.items()}
        row |= {f"measured_{what}": round(value, 2) for what, value in found.items()}
        rows.append({"run": name, "flags": CASES[name].flags, **row, **ratios})
    asks.shutdown()
    return rows


def table_of(rows: list[Row]) -> Table:
    """A row a run."""
    table = Table("run", title="estimate, measured, ratio")
    for name in ("MB", "measured", "ratio", "s", "measured", "ratio"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [f"{row[f'{kind}_{what}']:.1f}" for what in ("mb", "seconds") for kind in ("estimated", "measured")]
        ratios = [f"{row[f'{what}_ratio']:.2f}" for what in ("mb", "seconds")]
        table.add_row(row["run"], *cells[:2], ratios[0], *cells[2:], ratios[1])
    return table


def main(settings: Settings) -> None:
    """Estimate, measure, print and keep."""
    machine = describe("cpu", 1)
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_of(settings, Path(folder))
    Console(width=100).print(table_of(rows))
    if settings.save:
        settings.save.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
