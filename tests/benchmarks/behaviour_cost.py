"""How long does each part of a comparison of behaviour take, and does its memory grow with the number of samples?

`python -m tests.benchmarks.behaviour_cost` compares tiny-text with copies of it whose weights are moved a little, from
a few hundred prompts and from four times as many, each in a process of its own. Printed: seconds of the processor and
the most memory of every part beyond what the process held before it. A part that needs samples first writes them, so
`sample` stands for the writing of some and the parts behind it for that of the rest.
"""

import json
import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import tyro
from rich.console import Console
from rich.table import Table

from tests.benchmarks.machine import Memory, describe

REFERENCE = Path(__file__).parent / "reference" / "behaviour_cost.json"
BASE = "tiny-text"
NAMES = ("target", "control-1", "control-2", "control-3")
DOCUMENTS = 200
PROMPT = 40  # characters
FLAT = 1.1  # times the memory from so many prompts: not more from four times as many


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    prompts: tuple[int, ...] = (300, 1200)
    """Prompts that every model goes on from."""
    new_tokens: int = 16
    """Written behind each."""
    probe_tokens: int = 1
    """Longest probe."""
    save: bool = True
    """Write the figures to tests/benchmarks/reference/behaviour_cost.json."""


class Cost(NamedTuple):
    """Of one part."""

    part: str
    seconds: float
    """Of the processor, one thread."""
    peak_mb: float
    """The most that the process held, all in all."""


def write_texts(folder: Path, prompts: int) -> tuple[Path, Path]:
    """Documents, and as many prompts out of the same text."""
    from soft_prompts.calibration.planted.changes import pieces, source_text, write_documents, write_prompts

    text = source_text(BASE)
    documents = write_documents(folder / "documents.jsonl", pieces(text)[:DOCUMENTS])
    stride = len(text) // (prompts + 1)
    begun = dict.fromkeys(text[at * stride :][:PROMPT] for at in range(prompts))
    return documents, write_prompts(folder / "prompts.jsonl", [one for one in begun if one.strip()])


def measure(folder: str, prompts: int, settings: Settings) -> list[Cost]:
    """Every part of one comparison, in its order."""
    from soft_prompts.behaviour.comparison.compare import FINDERS, ask
    from soft_prompts.behaviour.comparison.family import Family
    from soft_prompts.behaviour.comparison.settings import ComparisonSettings

    torch.set_num_threads(1)
    root = Path(folder)
    documents, asked_prompts = write_texts(root / str(prompts), prompts)
    family = Family(BASE, str(root / NAMES[0]), tuple(str(root / name) for name in NAMES[1:]))
    how = ComparisonSettings(
        most_prompts=prompts, new_tokens=settings.new_tokens, probe_tokens=settings.probe_tokens, refine_steps=0
    )
    asked = ask(family, documents, asked_prompts, how, root / str(prompts))
    for name in family.names:
        asked.models[name]  # loading is no part's cost
    found = []
    for part, find in FINDERS.items():
        memory, began = Memory("cpu"), time.process_time()
        find(asked)
        found.append(Cost(part, round(time.process_time() - began, 1), round(memory.peak(), 1)))
    return found


def make_models(folder: Path) -> None:
    """Copies of the base with a little noise, no two alike."""
    from soft_prompts.zoo import EMBEDDED
    from tests.checks.behaviour.conftest import noisy_copy

    for seed, name in enumerate(NAMES):
        noisy_copy(EMBEDDED[BASE], folder / name, seed)


def main(settings: Settings) -> dict[str, Any]:
    """Print the table, and write the figures where they are to be kept."""
    machine = describe("cpu", 1)
    costs = dict[int, list[Cost]]()
    with tempfile.TemporaryDirectory() as folder:
        make_models(Path(folder))
        for prompts in settings.prompts:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                costs[prompts] = pool.apply(measure, (folder, prompts, settings))
    growth = growth_of(costs[settings.prompts[0]], costs[settings.prompts[-1]])
    print_costs(costs, growth)
    content = {
        "machine": machine,
        "new_tokens": settings.new_tokens,
        "probe_tokens": settings.probe_tokens,
        "growth_of_peak": round(growth, 3),
        "flat": growth <= FLAT,
        "parts": {str(prompts): [one._asdict() for one in each] for prompts, each in costs.items()},
    }
    if settings.save:
        REFERENCE.write_text(json.dumps(content, indent=1) + "\n")
    return content


def growth_of(few: list[Cost], many: list[Cost]) -> float:
    """The largest of the parts that read samples; the probe reads none, and its peak is that of its own search."""
    pairs = zip(few, many, strict=True)
    return max(other.peak_mb / one.peak_mb for one, other in pairs if one.part != "probe")


def print_costs(costs: dict[int, list[Cost]], growth: float) -> None:
    """A row a part."""
    heads = [f"{what}, {prompts} prompts" for prompts in costs for what in ("seconds", "peak MB")]
    table = Table("part", *heads, title="parts of a comparison")
    for rows in zip(*costs.values(), strict=True):
        table.add_row(rows[0].part, *(f"{value:.1f}" for row in rows for value in (row.seconds, row.peak_mb)))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"memory of the parts that read samples grows by {growth:.2f} from the fewest prompts to the most")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
