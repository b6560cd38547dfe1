"""How long does a finished curve take, ours as a user runs it, against PEFT's prompt tuning one run after another?

`python -m tests.benchmarks.curve_time` trains 1, 4, 16 and 64 tokens with three seeds on sums, to within .02 nats per
token of what a long run reaches. Ours is the command without its evidence, bare model and tests included; PEFT starts
and steps as its own script would (`peft_curve`), with its rate swept once, and ends each run at the first validation
that is near enough. Both know how long is enough: ours by --steps, found beforehand.

The long runs are read from the reference; --long makes them again. Beside it: prompts that take their steps together
against the same one after another.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro
from rich.console import Console
from rich.table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from soft_prompts.common.machine import cores
from soft_prompts.results.files import find_results
from tests.benchmarks.machine import describe

ROOT = Path(__file__).parents[2]
REFERENCE = Path(__file__).parent / "reference" / "curve_time.json"
EXPERIMENT = "completion"
FLAGS = ("--evidence", "none")  # what stands beside the curve is no part of it
SMALL = ("--batch-size", "4", "--test-samples", "20", "--validation-samples", "20", "--jobs", "1")
NEAR = 0.02  # nats per scored token above the long run's
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    tokens: tuple[int, ...] = (1, 4, 16, 64)
    """Prompt tokens; the bare model comes with them."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of every token count."""
    steps: int = 400
    """Of each of our runs."""
    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    """That PEFT's sweep tries."""
    sweep_steps: int = 200
    """Of each rate."""
    most_steps: int = 1600
    """Of a PEFT run that does not come near."""
    long: bool = False
    """Make the long runs again."""
    long_steps: int = 800
    """Of each of them."""
    together_seeds: int = 8
    """Prompts that are trained together, and one after another; 0 leaves it out."""
    together_steps: int = 300
    """Of each of these."""
    peft: bool = True
    """Train the curve with PEFT too."""
    save: bool = True
    """Write the figures to tests/benchmarks/reference/curve_time.json."""


class Cost(NamedTuple):
    """Of a process and all that it started."""

    seconds: float
    cpu_seconds: float


class Reached(NamedTuple):
    """Where the runs of a curve came to, against the loss that each was asked for."""

    runs: int
    near: int
    farthest: float
    """Nats per token above the long run's, of the run that came least near."""


def cost_of(*arguments: str) -> Cost:
    """A python command, from its start to its end; raises RuntimeError with its last line where it fails."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {said.read().decode().strip().splitlines()[-1]}")
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime)


def run_grid(folder: Path, tokens: Sequence[int], seeds: Sequence[int], steps: int, *flags: str) -> Cost:
    """The experiment as a user starts it."""
    asked = {"--tokens": tokens, "--seeds": seeds, "--steps": [steps], "--output-dir": [folder]}
    given = [word for flag, values in asked.items() for word in (flag, *map(str, values))]
    return cost_of("soft_prompts", "run", EXPERIMENT, *FLAGS, *given, *flags)


def validations(folder: Path) -> dict[tuple[int, int], float]:
    """The best validation loss of every trained run below a folder, by tokens and seed."""
    found = {}
    for path, result in find_results([folder]).results:
        if result.prompt.tokens:
            events = folder / "runs" / path.relative_to(folder / "results").with_suffix("")
            curve = EventAccumulator(str(events)).Reload().Scalars("validation/loss")
            found[result.prompt.tokens, result.training.seed] = min(point.value for point in curve)
    return found


def reached(losses: dict[tuple[int, int], float], long_run: dict[int, float]) -> Reached:
    above = [loss - long_run[tokens] for (tokens, _), loss in losses.items()]
    return Reached(len(above), sum(one <= NEAR for one in above), round(max(above), 4))


def long_runs(settings: Settings) -> dict[int, float]:
    """Nats per token that many steps reach, by token count; from the reference where they are known."""
    known = json.loads(REFERENCE.read_text())["long_run"] if REFERENCE.exists() and not settings.long else {}
    if set(map(int, known)) >= set(settings.tokens):
        return {int(tokens): loss for tokens, loss in known.items()}
    with tempfile.TemporaryDirectory() as folder:
        run_grid(Path(folder), settings.tokens, (0,), settings.long_steps)
        return {tokens: loss for (tokens, _), loss in validations(Path(folder)).items()}


def our_curve(settings: Settings, long_run: dict[int, float]) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        cost = run_grid(Path(folder), (0, *settings.tokens), settings.seeds, settings.steps)
        came = reached(validations(Path(folder)), long_run)
    return {"who": "ours", **cost._asdict(), **came._asdict(), "steps": settings.steps}


def peft_curve(settings: Settings, long_run: dict[int, float]) -> Row:
    losses = {tokens: long_run[tokens] + NEAR for tokens in settings.tokens}
    asked = {name: getattr(settings, name) for name in ("seeds", "rates", "sweep_steps", "most_steps")}
    asked |= {"flags": FLAGS, "losses": losses}
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "asked.json", Path(folder) / "found.json"
        given.write_text(json.dumps(asked))
        cost = cost_of("tests.benchmarks.peft_curve", str(given), str(found))
        runs = json.loads(found.read_text())
    curve = runs[len(settings.rates) :]
    came = reached({(run["tokens"], run["seed"]): run["loss"] for run in curve}, long_run)
    return {"who": "PEFT", **cost._asdict(), **came._asdict(), "sweep": runs[: len(settings.rates)], "curve": curve}


def together(settings: Settings) -> Iterator[Row]:
    """Small batches of a tiny model: prompts that differ in their seed, all at once and one after another."""
    for how in ("off", "auto") if settings.together_seeds else ():
        with tempfile.TemporaryDirectory() as folder:
            seeds = range(settings.together_seeds)
            cost = run_grid(Path(folder), (4,), seeds, settings.together_steps, *SMALL, "--together", how)
        yield {"who": f"together {how}", **cost._asdict(), "runs": settings.together_seeds}


def main(settings: Settings) -> None:
    """Measure, and print and keep every row as it comes."""
    figures: Row = {"machine": describe("cpu", cores()), "experiment": [EXPERIMENT, *FLAGS], "near": NEAR}
    figures |= {"long_run": (long_run := long_runs(settings)), "rows": []}
    for row in measure(settings, long_run):
        figures["rows"].append(row)
        if settings.save:
            REFERENCE.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    Console().print(table_of(figures["rows"]))


def measure(settings: Settings, long_run: dict[int, float]) -> Iterator[Row]:
    """One way to train after another."""
    yield our_curve(settings, long_run)
    if settings.peft:
        yield peft_curve(settings, long_run)
    yield from together(settings)


def table_of(rows: Sequence[Row]) -> Table:
    """A line a way to train."""
    table = Table("who", "wall s", "CPU s", "runs", "near", "farthest")
    for row in rows:
        cells = (row["who"], f"{row['seconds']:.0f}", f"{row['cpu_seconds']:.0f}", str(row["runs"]))
        table.add_row(*cells, str(row.get("near", "")), str(row.get("farthest", "")))
    return table


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
