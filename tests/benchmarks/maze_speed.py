"""How many boards a second does the generator draw on one core, their walks and shortest paths included?

`python -m tests.benchmarks.maze_speed` measures each size in one process; `--help` lists the settings. What the path
task needs is 3,000 boards of 8x8 a second, so that training never waits for them.
"""

import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from soft_prompts.data.mazes.boards import draw_mazes, sample_text

REFERENCE = Path(__file__).parent / "reference" / "maze_speed.json"
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    sides: tuple[int, ...] = (4, 6, 8, 16)
    """Sides of the square boards."""
    blocks: tuple[int, ...] = (32, 256)
    """Boards drawn at once: a batch of training, a block of the task."""
    splits: tuple[str, ...] = ("train", "test")
    """A test board is looked for longer: one board in ten belongs to that split."""
    seconds: float = 2.0
    """How long each is measured."""
    save: bool = True
    """Write the figures to tests/benchmarks/reference/maze_speed.json."""


def measure(side: int, block: int, split: str, seconds: float) -> Row:
    """Boards a second of processor time (others may use the machine), and a second on the clock; texts on top."""
    draw_mazes(0, split, 0, block, side, side)
    boards, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        mazes = draw_mazes(0, split, boards, block, side, side)
        boards += block
    elapsed, used = time.perf_counter() - began, time.process_time() - cpu
    text_cpu = time.process_time()
    for i in range(block):
        sample_text(mazes, i)
    return {
        "board": f"{side}x{side}",
        "block": block,
        "split": split,
        "boards_per_cpu_second": round(boards / used),
        "boards_per_second": round(boards / elapsed),
        "texts_per_cpu_second": round(block / (time.process_time() - text_cpu)),
    }


def main() -> None:
    settings = tyro.cli(Settings, description=__doc__)
    load = os.getloadavg()[0]
    rows = [
        measure(side, block, split, settings.seconds)
        for side in settings.sides
        for block in settings.blocks
        for split in settings.splits
    ]
    table = Table(*rows[0], title="boards with walks and shortest paths, one core")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    if settings.save:
        found = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "load_before": round(load, 1),
            "rows": rows,
        }
        REFERENCE.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
