"""How does the suite run from a command line, and what does it print? Organisms read by family, and the verdicts."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from soft_prompts.calibration.suite import BookReading, CellReading, SuiteOptions, SuiteReadings, read_suite
from soft_prompts.calibration.verdicts import Verdict, verdicts
from soft_prompts.common.command_line import guarded, parse, started_as
from soft_prompts.common.console import say
from soft_prompts.common.errors import UsageError, near_match
from soft_prompts.common.files import write_atomically
from soft_prompts.stats.distance import Distance, Mark


@dataclass(frozen=True)
class CalibrationSuite:
    """The experiment `calibration`."""

    name: str
    question: str
    presets: Mapping[str, SuiteOptions]

    def main(self, arguments: Sequence[str] | None = None, program: str | None = None) -> int:
        """Run what the command line asks for; returns the exit code: 0 too where a target is not met."""
        arguments = sys.argv[1:] if arguments is None else list(arguments)
        with guarded("--debug" in arguments) as ending:
            ending.exit_code = self._run(self.parse(arguments, program))
        return ending.exit_code

    def parse(self, arguments: Sequence[str], program: str | None = None) -> SuiteOptions:
        """Flags on top of the preset that they name; raises UsageError in one line."""
        words = [word for argument in arguments for word in argument.split("=", 1)]
        name = words[words.index("--preset") + 1] if "--preset" in words[:-1] else "default"
        if name not in self.presets:
            known = list(self.presets)
            raise UsageError(f"--preset is {name!r}; {near_match(name, known)}give {', '.join(known)}")
        default = replace(self.presets[name], preset=name)
        return parse(SuiteOptions, arguments, program or started_as(), self.question, default=default)

    def _run(self, options: SuiteOptions) -> int:
        readings = read_suite(options)
        found = verdicts(readings)
        path = options.output_dir / "calibration.json"
        write_atomically(path, (json.dumps(as_json(readings, found), indent=2, allow_nan=False) + "\n").encode())
        print_suite(readings, found)
        for failure in readings.failures:
            say(failure)
        say(f"written to {path}")
        return 1 if readings.failures else 0


def as_json(readings: SuiteReadings, found: Sequence[Verdict]) -> dict[str, Any]:
    """Verdicts first, then every reading that they are made of."""
    return {
        "verdicts": [verdict._asdict() for verdict in found],
        "organisms": [_cell_json(one) for one in readings.cells],
        "codebooks": [_book_json(one) for one in readings.books],
        "varied": [one._asdict() | {"organism": one.organism.name} for one in readings.varied],
        "certificates": [one.to_json() for one in readings.certificates],
    }


def _cell_json(one: CellReading) -> dict[str, Any]:
    return _organism_json(one) | {
        "table": one.table,
        "distance": one.whole.to_json(),
        "seeds": [_marks_json(distance) for distance in one.by_seed],
        "seeds_against_zero": [_marks_json(distance) for distance in one.against_zero],
    }


def _book_json(one: BookReading) -> dict[str, Any]:
    return _organism_json(one) | {"tables": [reading._asdict() for reading in one.readings]}


def _organism_json(one: CellReading | BookReading) -> dict[str, Any]:
    organism = one.organism
    return {"name": organism.name, "family": organism.family, "what": organism.what, "planted": organism.planted}


def _marks_json(distance: Distance) -> dict[str, Any]:
    return {"d_50": distance.d_50.to_json(), "d_90": distance.d_90.to_json(), "auc": distance.auc._asdict()}


def print_suite(readings: SuiteReadings, found: Sequence[Verdict]) -> None:
    """On stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    organisms = Table("organism", "table", "planted", "d_50", "d_90", "AUC", "share by tokens", title="tokens")
    for one in readings.cells:
        organisms.add_row(*_row(one))
    console.print(organisms)
    books = Table("organism", "planted bits", "d_bits, mean over tables", "tables", title="bits, codebook code")
    for one in readings.books:
        bits = [reading.bits for reading in one.readings]
        known = [number for number in bits if number is not None]
        shown = (
            f"{sum(known) / len(known):.2f}" if len(known) == len(bits) else f"> for {len(bits) - len(known)} tables"
        )
        books.add_row(one.organism.name, f"{one.organism.planted or 0:g}", shown, str(len(bits)))
    console.print(books)
    table = Table("to be shown", "target", "found", "met", "", title="calibration")
    for verdict in found:
        met = {True: "yes", False: "NO", None: "cannot tell"}[verdict.met]
        table.add_row(verdict.target, verdict.wanted, verdict.found, met, verdict.why)
    console.print(table)


def _row(one: CellReading) -> list[str]:
    shares = " ".join(
        "-" if point.share.value is None else f"{point.tokens}:{point.share.value:.2f}" for point in one.whole.points
    )
    auc = one.whole.auc.value
    planted = "" if one.organism.planted is None else f"{one.organism.planted:g}"
    marks = (_mark(one.whole.d_50), _mark(one.whole.d_90))
    return [one.organism.name, one.table, planted, *marks, "-" if auc is None else f"{auc:.2f}", shares]


def _mark(mark: Mark) -> str:
    if mark.value is None:
        return f"> {mark.low:g} {mark.reason}" if mark.censored else str(mark.reason)
    high = "..." if mark.high is None else f"{mark.high:.2f}"
    note = f" {mark.note}" if mark.note else ""
    return f"{mark.value:.2f} [{mark.low or 0:.2f}, {high}]{note}"
