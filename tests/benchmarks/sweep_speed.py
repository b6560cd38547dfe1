"""How many runs a minute does a sweep make with 1, 2 and 4 workers?

`python -m tests.benchmarks.sweep_speed` starts `soft-prompts sweep` on small runs, once a number of workers, each with
a thread of its own, and prints runs a minute between the first results and the last, what that is of so many times one
worker's, and the seconds of the whole command, in which workers start; `--on ray` gives the runs to Ray, here or at an
`--address`; `--help` lists the settings. More workers than cores say what more workers cost, not what they bring.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from soft_prompts.results.files import find_results
from tests.benchmarks.machine import describe

REFERENCE = Path(__file__).parent / "reference"
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    workers: tuple[int, ...] = (1, 2, 4)
    """Side by side."""
    on: Literal["local", "ray"] = "local"
    """Processes of the command, or tasks of Ray."""
    address: str | None = None
    """ray: a cluster's; without it one is started here for each number of workers."""
    runs: int = 48
    """Of each sweep: as many seeds of one prompt."""
    steps: int = 40
    """Of each run."""
    model: str = "tiny-text"
    """The frozen model."""
    runs_a_piece: int = 4
    """ray: what a worker makes before the next piece."""
    save: bool = True
    """Write the figures to tests/benchmarks/reference/sweep_speed.json, or sweep_speed_ray.json."""


def sweep(settings: Settings, folder: Path) -> Path:
    """The file of a sweep whose outputs lie in `folder`."""
    grid = {
        "experiment": "completion",
        "preset": "quick",
        "models": [settings.model],
        "tokens": [4],
        "seeds": [*range(settings.runs)],
        "steps": settings.steps,
        "output_dir": str(folder / "out"),
        "evidence": "none",
    }
    path = folder / "sweep.json"
    path.write_text(json.dumps([grid]))
    return path


def words(settings: Settings, workers: int, path: Path) -> list[str]:
    """The command, as it is typed."""
    shared = [sys.executable, "-m", "soft_prompts", "sweep", str(path), "--on", settings.on, "--together", "off"]
    if settings.on == "local":
        return [*shared, "--jobs", str(workers)]
    address = [] if settings.address is None else ["--address", settings.address]
    return [*shared, "--at-once", str(workers), "--runs-a-piece", str(settings.runs_a_piece), *address]


def measure(settings: Settings, workers: int) -> Row:
    """One sweep from an empty folder."""
    with tempfile.TemporaryDirectory() as name:
        path = sweep(settings, Path(name))
        began = time.time()
        given = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(words(settings, workers, path), env=given, check=True, stderr=subprocess.DEVNULL)
        seconds = time.time() - began
        written = [file.stat().st_mtime for file, _ in find_results([Path(name) / "out" / "results"]).results]
    assert len(written) == settings.runs, f"{len(written)} of {settings.runs} results"
    return {"workers": workers, "runs_a_minute": round(rate(written, workers), 1), "seconds": round(seconds, 1)}


def rate(written: Sequence[float], workers: int) -> float:
    """Results a minute once each worker has made one: those after the first `workers`, by when they were written."""
    times = sorted(written)
    return 60 * (len(times) - workers) / (times[-1] - times[workers - 1])


def with_shares(rows: Sequence[Row]) -> list[Row]:
    """How near each comes to so many times the rate of the fewest workers."""
    least = min(rows, key=lambda row: row["workers"])
    each = least["runs_a_minute"] / least["workers"]
    return [row | {"of_linear": round(row["runs_a_minute"] / (each * row["workers"]), 2)} for row in rows]


def main() -> None:
    settings = tyro.cli(Settings, description=__doc__)
    if settings.runs <= max(settings.workers):
        sys.exit(f"error: --runs is {settings.runs}; give more runs than workers")
    machine = describe("cpu", threads=1)
    rows = with_shares([measure(settings, workers) for workers in settings.workers])
    table = Table(*rows[0], title=f"{settings.runs} runs of {settings.steps} steps, {settings.model}, on {settings.on}")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if settings.save:
        asked = {name: getattr(settings, name) for name in ("on", "runs", "steps", "model")}
        file = f"sweep_speed{'' if settings.on == 'local' else '_ray'}.json"
        (REFERENCE / file).write_text(json.dumps({"machine": machine, **asked, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
