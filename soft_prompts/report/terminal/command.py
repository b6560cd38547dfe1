"""How many prompt tokens does each model need? The compare command: results in; tables, JSON, CSV or a figure out."""

import functools
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.text import Text

from soft_prompts.analysis.comparison import Comparison, compare
from soft_prompts.analysis.readings import Readings, read_all
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.report.labels import grouped, row_label
from soft_prompts.report.terminal.as_json import as_json
from soft_prompts.report.terminal.distances import CSV_COLUMNS, csv_cells, print_distances, print_notes
from soft_prompts.report.terminal.losses import MoreColumns, csv_text, print_losses
from soft_prompts.stats.distance import DRAWS

__all__ = ["CompareOptions", "Comparison", "compare", "compare_command"]

PLOT_SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class CompareOptions:
    """Table of losses by model and prompt tokens, with paired differences, from result files."""

    paths: tyro.conf.Positional[tuple[Path, ...]] = (Path("results"),)
    """Result files or folders of them; a folder's reference/ counts only when named itself."""
    metric: str | None = None
    """Metric to compare; default: each result's own headline."""
    reference: str | None = None
    """Model that the others are compared with, item by item: the gap to it, and the share of it that tokens close."""
    bits: tyro.conf.FlagCreatePairsOff[bool] = False
    """Losses of the table in bits instead of nats."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print JSON alone: every seed, in the metric's own unit."""
    csv: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print CSV alone: a row a point and a row a seed, in the metric's own unit."""
    draws: int = DRAWS
    """Draws of the bootstrap behind each distance's interval; 0 leaves the distances out."""
    plot: Path | None = None
    """Write the figure to this file: .png, .svg or .pdf."""

    def __post_init__(self) -> None:
        if self.json and self.csv:
            raise UsageError("--json and --csv are both given; stdout holds one of them: give one")
        if self.draws < 0:
            raise UsageError(f"--draws is {self.draws}; give 0 for no distances, or more")
        if self.plot is not None and self.plot.suffix.lower() not in PLOT_SUFFIXES:
            raise UsageError(f"--plot is {self.plot}; give a file that ends in {', '.join(PLOT_SUFFIXES)}")


def compare_command(options: CompareOptions) -> int:
    """Prints the comparison; 1 where some file was no result (each is named on stderr), else 0.

    Raises InputError where there is no result at all, UsageError for an unknown metric.
    """
    readings = read_all(options.paths, options.metric, options.reference, options.draws)
    for problem in readings.problems:
        print(f"skipped: {problem}", file=sys.stderr)
    if not readings.readings:
        where = ", ".join(map(str, options.paths))
        raise InputError(f"no results in {where}; give result files or folders of them, or run an experiment first")
    if options.json:
        entries = [as_json(reading) for reading in readings.readings]
        _write(json.dumps(entries, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    elif options.csv:
        cells = [functools.partial(csv_cells, reading) for reading in readings.readings]
        _write(csv_text(readings.comparison.curves, MoreColumns(CSV_COLUMNS, cells)))
    else:
        _write(_table_text(readings, options))
    if options.plot is not None:
        _write_plot(readings.comparison, options.plot)
    return 1 if readings.problems else 0


def _table_text(readings: Readings, options: CompareOptions) -> str:
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = 10_000  # no terminal: a pipe or file has no width to fold into
    notes: list[str] = []
    by_curve = {id(reading.curve): reading for reading in readings.readings}
    with console.capture() as captured:
        for members in grouped(readings.comparison.curves).values():
            print_losses(console, members, options.bits)
            if options.draws:
                print_distances(console, [by_curve[id(curve)] for curve in members], notes)
            for curve in members:
                for warning in curve.warnings:
                    console.print(Text.assemble(("warning: ", "yellow"), f"{row_label(curve, members)}: {warning}"))
            console.print()
        if any(reading.distance for reading in readings.readings):
            print_notes(console, notes)
        for warning in readings.warnings:
            console.print(Text.assemble(("warning: ", "yellow"), warning))
        if left_out := readings.comparison.left_out:
            console.print(f"{left_out} results beside the runs (anchors, controls, trials) are no points", style="dim")
    return captured.get()


def _write(text: str) -> None:
    """To stdout, in ASCII where it speaks nothing better."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("±", "+-").replace("·", "|").encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_plot(comparison: Comparison, path: Path) -> None:
    from soft_prompts.report.figures.plots import curve_figure, write_figure  # matplotlib takes half a second to load

    write_figure(curve_figure(comparison), path)
    print(f"figure written to {path}", file=sys.stderr)
