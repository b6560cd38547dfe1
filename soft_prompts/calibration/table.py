"""How does the suite run from a command line, and what does it print? Truths against verdicts first, then every cell
off the diagonal, then what must be shown."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from soft_prompts.calibration.suite import BookReading, CellReading, SuiteReadings, read_suite
from soft_prompts.calibration.suite_options import SuiteOptions
from soft_prompts.calibration.targets import WORDS, Target, at_most, edl_bits, is_right, name_of, targets, verdict_table
from soft_prompts.common.command_line import guarded
from soft_prompts.common.console import say
from soft_prompts.common.files import write_atomically
from soft_prompts.experiments.presets import options_of


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
        return options_of(self.presets, arguments, program, self.question)

    def _run(self, options: SuiteOptions) -> int:
        readings = read_suite(options)
        found = targets(readings)
        path = options.output_dir / "calibration.json"
        write_atomically(path, (json.dumps(as_json(readings, found), indent=2, allow_nan=False) + "\n").encode())
        print_suite(readings, found)
        for failure in readings.failures:
            say(failure)
        say(f"written to {path}")
        return 1 if readings.failures else 0


def as_json(readings: SuiteReadings, found: Sequence[Target]) -> dict[str, Any]:
    """The table and the targets first, then every cell that they are made of."""
    return {
        "verdicts": {row: dict(counts) for row, counts in verdict_table(readings.cells).items()},
        "targets": [target._asdict() for target in found],
        "cells": [_cell_json(cell) for cell in readings.cells],
        "codebooks": [_book_json(book) for book in readings.books],
    }


def _cell_json(cell: CellReading) -> dict[str, Any]:
    reading, lead = cell.reading, cell.reading.lead
    shares = {} if lead is None else lead.shares
    losses = {} if reading.loss is None else reading.loss.shares
    return cell.asked._asdict() | {
        "verdict": reading.verdict.word,
        "why": reading.verdict.why,
        "sentence": reading.verdict.sentence,
        "is_right": is_right(cell),
        "lead": None if lead is None else lead.by,
        "half": None if lead is None else lead.half.to_json(),
        "shares": {str(tokens): list(share) for tokens, share in shares.items()},
        "shares_by_loss": {str(tokens): list(share) for tokens, share in losses.items()},
        "checks": {name: check.to_json() for name, check in reading.checks.items()},
        "power": None if reading.power is None else reading.power._asdict(),
        "edl_bits": edl_bits(cell),
    }


def _book_json(one: BookReading) -> dict[str, Any]:
    organism = one.organism
    told = {"organism": organism.name, "what": organism.what, "planted_bits": organism.planted}
    return told | {"tables": [reading._asdict() for reading in one.readings]}


def print_suite(readings: SuiteReadings, found: Sequence[Target]) -> None:
    """On stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    console.print(_verdicts(readings.cells))
    console.print(_bits(readings.books))
    for cell in readings.cells:
        if not is_right(cell):
            console.print(f"off the diagonal: {name_of(cell)} ({cell.asked.row}): {cell.reading.verdict.sentence}")
    table = Table("to be shown", "target", "found", "met", "", title="calibration")
    for target in found:
        met = {True: "yes", False: "NO", None: "cannot tell"}[target.met]
        table.add_row(target.target, target.wanted, target.found, met, target.why)
    console.print(table)


def _verdicts(cells: Sequence[CellReading]) -> Table:
    table = Table("truth", *WORDS, "right", "at most tokens, EDL bits", title="truths against verdicts")
    for row, counts in verdict_table(cells).items():
        own = [cell for cell in cells if cell.asked.row == row]
        right = f"{sum(map(is_right, own))} of {len(own)}"
        table.add_row(row, *(str(counts[word] or "") for word in WORDS), right, " ".join(map(_reach, own)))
    return table


def _reach(cell: CellReading) -> str:
    tokens, bits = at_most(cell), edl_bits(cell)
    if tokens is None:
        return "-"
    return str(tokens) if bits is None or not tokens else f"{tokens},{bits:.0f}"


def _bits(books: Sequence[BookReading]) -> Table:
    table = Table("organism", "planted bits", "bits, mean over tables", "tables", title="bits, codebook code")
    for one in books:
        bits = [reading.bits for reading in one.readings]
        known = [number for number in bits if number is not None]
        missing = len(bits) - len(known)
        shown = f"> for {missing} tables" if missing else f"{sum(known) / len(known):.2f}"
        table.add_row(one.organism.name, f"{one.organism.planted or 0:g}", shown, str(len(bits)))
    return table
