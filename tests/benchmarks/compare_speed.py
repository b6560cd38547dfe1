"""How long does `compare` take on a thousand result files, and how much of that is the bootstrap? How long, and how
much memory, does the command take on a hundred thousand, and how much a page or a figure?

`python -m tests.benchmarks.compare_speed` writes simulated results (known Hill curves, their anchors and five seeds) to
a temporary folder and times each part; `--help` lists the settings. What compare needs is a thousand files read in
under 10 s beside the bootstrap. `--tasks 173` copies them to so many tasks, and times the command alone, twice: the
second time it finds its index.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from soft_prompts.analysis.losses.comparison import compare
from soft_prompts.analysis.readings import read_all
from soft_prompts.common.cache import VARIABLE
from soft_prompts.results.files import find_results, items_path, read_items
from soft_prompts.results.schema import Generation
from soft_prompts.stats.bootstrap import Scores
from soft_prompts.stats.items import Items
from tests.checks.made.simulated_results import COUNTS, Bed, Simulated, World, simulate, some_truth
from tests.checks.made.stored_results import save

REFERENCE = Path(__file__).parent / "reference" / "compare_speed.json"
ITEMS, CLUSTERS = 600, 200
TEXTS = (Generation("e2e4", None, "e7e5", "e7e5"),) * 8
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    results: int = 1000
    """Result files."""
    seeds: int = 5
    """Of each token count; fewer make more curves of as many files."""
    draws: int = 1000
    """Of the bootstrap."""
    tasks: int = 1
    """With more than one, the results are copied to so many tasks, and only the command is measured."""
    form: Literal["table", "long", "json", "csv", "plot", "report"] = "table"
    """What the command is asked for, where it alone is measured; `report` is the command of that name."""
    save: bool = True
    """Write the figures to tests/benchmarks/reference/compare_speed.json, or many_results.json."""


def write_results(folder: Path, results: int, seeds: int) -> int:
    """Curves of as many models, each with its anchors, `results` files at the most; how many were written."""
    of_one = 2 + 1 + (len(COUNTS) - 1) * seeds
    for model in range(results // of_one):
        generator = np.random.default_rng([3, model])
        simulated = simulate(some_truth(generator), Bed(World("loss", ITEMS, CLUSTERS, seeds), generator))
        save_curve(folder, simulated, model=f"model-{model}", variant=f"task-{model % 20}", generations=TEXTS)
    return results // of_one * of_one


def save_curve(folder: Path, simulated: Simulated, **given: Any) -> None:
    """Every run of a simulated curve and its two anchors."""
    for tokens, seeds in simulated.seeds.items():
        for seed, (validation, scores) in enumerate(seeds):
            items = items_of(scores, simulated.cluster)
            save(folder, "run", items, tokens=tokens, seed=seed, validation=-validation, **given)
    for role, anchor in (("no_skill", simulated.ends.floors[0]), ("exact", simulated.ends.ceiling)):
        save(folder, f"anchor:{role}", items_of(anchor.draws[0], simulated.cluster), tokens=0, **given)


def items_of(scores: Scores, cluster: NDArray[np.int64]) -> Items:
    """Of losses."""
    units = scores.weights.astype(np.int64)
    return Items(-scores.sums, units, units, cluster)


def copy_to_tasks(folder: Path, tasks: int) -> int:
    """Every result for so many tasks, under other names; the items are the same files. How many there are then."""
    first = sorted(folder.rglob("*.json"))
    for number in range(1, tasks):
        for path in first:
            to = folder / f"copy-{number}" / path.relative_to(folder)
            to.parent.mkdir(parents=True, exist_ok=True)
            values = json.loads(path.read_bytes())
            values["variant"] = f"{values['variant']}-{number}"
            to.write_text(json.dumps(values))
            os.link(items_path(path), items_path(to))
    return len(first) * tasks


def measure_command(folder: Path, draws: int, form: str) -> list[Row]:
    """The command as people type it, first without its index, then with it; seconds, and MB at the most."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        drawn = Path(cache) / ("page.html" if form == "report" else "figure.png")
        asked = {
            "table": ["compare"],
            "csv": ["compare", "--csv", "points"],
            "plot": ["compare", "--plot", str(drawn)],
            "report": ["report", "--out", str(drawn)],
        }.get(form, ["compare", f"--{form}"])
        words = [sys.executable, "-m", "soft_prompts", *asked, "--draws", str(draws), str(folder)]
        for name in ("first", "again"):
            began, log = time.perf_counter(), Path(cache) / "table"
            with log.open("w") as table:
                child = subprocess.Popen(words, stdout=table, env={**os.environ, VARIABLE: cache})
            status, used, peak = watched(child.pid)
            assert status == 0, "the command failed"
            said = drawn if form == "report" else log
            rows.append(
                {
                    "part": f"soft-prompts {asked[0]} --draws {draws} {form}, {name}",
                    "count": said.read_text().count("model-"),
                    "seconds": round(time.perf_counter() - began, 1),
                    "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
                    "peak_mb": peak // 1024,
                }
            )
    return rows


def watched(process: int) -> tuple[int, Any, int]:
    """Until it ends: its status, what it used, and its memory at the most in kB. What the system tells afterwards is
    never less than this process holds, from which it was forked."""
    peak, ended, status, used = 0, 0, 0, None
    while not ended:
        told = Path(f"/proc/{process}/status").read_text()
        peak = max([peak, *(int(line.split()[1]) for line in told.splitlines() if line.startswith("VmHWM"))])
        time.sleep(0.05)
        ended, status, used = os.wait4(process, os.WNOHANG)
    return status, used, peak


def measure(folder: Path, draws: int) -> list[Row]:
    """Seconds on the clock and of the processor; each part holds those above it, but for the items alone."""
    parts = {
        "result files read": lambda: len(find_results([folder]).results),
        "items read": lambda: len([read_items(path) for path, _ in find_results([folder]).results]),
        "losses compared": lambda: len(compare([folder]).curves),
        "readings without bootstrap": lambda: len(read_all([folder], draws=0).readings),
        f"readings, {draws} draws": lambda: len(read_all([folder], draws=draws).readings),
    }
    rows = []
    for name, part in parts.items():
        began, cpu = time.perf_counter(), time.process_time()
        count = part()
        rows.append(
            {
                "part": name,
                "count": count,
                "seconds": round(time.perf_counter() - began, 2),
                "cpu_seconds": round(time.process_time() - cpu, 2),
            }
        )
    return rows


def main() -> None:
    settings = tyro.cli(Settings, description=__doc__)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        written = write_results(Path(folder), settings.results, settings.seeds)
        if settings.tasks > 1:
            written = copy_to_tasks(Path(folder), settings.tasks)
            rows = measure_command(Path(folder), settings.draws, settings.form)
        else:
            rows = measure(Path(folder), settings.draws)
    table = Table(*rows[0], title=f"compare on {written} result files")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if settings.save:
        found = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "load_before": round(load, 1),
            "files": written,
            "seeds": settings.seeds,
            "rows": rows,
        }
        place = REFERENCE if settings.tasks == 1 else REFERENCE.with_name("many_results.json")
        place.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
