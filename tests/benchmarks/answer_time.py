"""How long is it from the command to a verdict that can be believed?

`python -m tests.benchmarks.answer_time` runs the default completion experiment with no evidence, with standard and with
full evidence, each in an empty folder, and keeps wall and CPU time, the number of results and the sentence.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from soft_prompts.analysis.readings import read_all
from soft_prompts.common.machine import cores
from tests.benchmarks.curve_time import cost_of
from tests.benchmarks.machine import describe

REFERENCE = Path(__file__).parent / "reference" / "answer_time.json"


@dataclass(frozen=True)
class Settings:
    """What to time."""

    experiment: str = "completion"
    """Its default preset."""
    evidence: tuple[str, ...] = ("none", "standard", "full")
    """Each from an empty folder."""
    save: bool = True
    """Write the figures to tests/benchmarks/reference/answer_time.json."""


def timed(experiment: str, evidence: str) -> dict[str, object]:
    """One command, from its start to its end, and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        cost = cost_of("soft_prompts", "run", experiment, "--evidence", evidence, "--output-dir", folder)
        readings = read_all([Path(folder) / "results"])
    said = [reading.verdict.sentence for reading in readings.readings]
    return {"evidence": evidence, **cost._asdict(), "results": len(readings.results), "said": said}


def main(settings: Settings) -> None:
    """Measure, and print and keep every row as it comes."""
    figures: dict[str, object] = {"machine": describe("cpu", cores()), "experiment": settings.experiment}
    rows = []
    table = Table("evidence", "wall s", "CPU s", "results", "said")
    for evidence in settings.evidence:
        rows.append(row := timed(settings.experiment, evidence))
        said = "\n".join(map(str, row["said"]))  # pyright: ignore[reportArgumentType]
        table.add_row(evidence, f"{row['seconds']:.0f}", f"{row['cpu_seconds']:.0f}", str(row["results"]), said)
        if settings.save:
            REFERENCE.write_text(json.dumps(figures | {"rows": rows}, indent=2) + "\n", encoding="utf-8")
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
