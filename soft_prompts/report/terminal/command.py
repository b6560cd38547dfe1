"""Is the skill there, hidden or not found? The compare command: results in; sentences and tables, JSON or CSV out."""

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import tyro
from rich.console import Console
from rich.text import Text

from soft_prompts.analysis.by_task import ByTask, Tasks, collected, kept
from soft_prompts.analysis.readings import Asked, Reading
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.common.urls import as_typed
from soft_prompts.report.crowd import refuse_crowd
from soft_prompts.report.labels import NATS
from soft_prompts.report.terminal.as_csv import Kind, csv_pieces
from soft_prompts.report.terminal.brief import print_brief
from soft_prompts.report.terminal.details import print_details
from soft_prompts.report.terminal.exchange import print_exchange
from soft_prompts.report.terminal.metrics import metric_lines
from soft_prompts.report.terminal.sentences import print_hanging, print_sentences, print_warnings
from soft_prompts.report.terminal.stream import json_pieces, on_disk, pieces_of, print_pieces, room_on_disk
from soft_prompts.report.terminal.tables import View, print_table
from soft_prompts.results.files import find_results
from soft_prompts.results.findings import find_findings
from soft_prompts.stats.bootstrap import DRAWS, LEAST_DRAWS

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
LIST = "list"
WIDTH = 80  # of what is no terminal


@dataclass(frozen=True)
class CompareOptions:
    """Is each model's skill present, hidden or not found? A sentence a curve, and a table by prompt tokens."""

    paths: tyro.conf.Positional[tuple[Path, ...]] = (Path("results"),)
    """Result files, folders of them, or URLs (s3://bucket/x); a folder's reference/ counts only when named itself."""
    metric: str | None = None
    """Metric to compare; default: each result's own headline. `list` names those that the results have."""
    reference: str | None = None
    """Model that the others are compared with, item by item: the ceiling of their scale, and the gap to it."""
    same_scale: tyro.conf.FlagCreatePairsOff[bool] = False
    """Models share their floors and ceilings wherever they stand on the same items."""
    long: tyro.conf.FlagCreatePairsOff[bool] = False
    """Every seed, which prompt was chosen, both scales, paired differences, checks, controls, anchors, all warnings."""
    brief: tyro.conf.FlagCreatePairsOff[bool] = False
    """A line a curve: verdict, bracket, what is right at each count, evidence."""
    units: tyro.conf.FlagCreatePairsOff[bool] = False
    """What brings the skill out in each unit: soft and hard tokens, bits, trained parameters, examples; and the share
    that a steering vector has on the same items, where `steer items` measured one."""
    bits: tyro.conf.FlagCreatePairsOff[bool] = False
    """Losses of the table in bits instead of nats."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print JSON alone, as compare.schema.json of the package says: everything, in the metric's own unit."""
    csv: Kind | None = None
    """Print CSV alone, in the metric's own unit: a row a point, or a row a curve."""
    draws: int = DRAWS
    """Draws of the bootstrap behind each interval; 0 leaves out intervals and sentences: nothing is beyond doubt."""
    plot: Path | None = None
    """Write the figure to this file: .png, .svg or .pdf."""

    takes_urls: ClassVar = ("paths",)

    def __post_init__(self) -> None:
        flags = {"--json": self.json, "--csv": self.csv, "--units": self.units, "--brief": self.brief}
        given = [flag for flag, is_on in flags.items() if is_on]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} are given; stdout holds one of them: give one")
        if self.draws < 0 or 0 < self.draws < LEAST_DRAWS:
            raise UsageError(f"--draws is {self.draws}; give 0 for no intervals, or {LEAST_DRAWS} or more")
        if self.plot is not None and self.plot.suffix.lower() not in PLOT_SUFFIXES:
            raise UsageError(f"--plot is {self.plot}; give a file that ends in {', '.join(PLOT_SUFFIXES)}")


def compare_command(options: CompareOptions) -> int:
    """Prints the comparison; 1 where some file was no result (each is named on stderr), else 0.

    Raises InputError where there is no result at all, UsageError for an unknown metric or more curves than a figure has
    room for.
    """
    if options.metric == LIST:
        return _list_metrics(options.paths)
    tasks = Tasks(options.paths, options.metric, Asked(options.reference, options.draws, options.same_scale))
    if options.plot is not None:
        refuse_crowd(tasks, options.paths, "compare", options, "a figure")
    if options.json or options.csv is not None:
        drawn = _stream(tasks, options)
    else:
        drawn = _print(collected(tasks, options.long or options.units), options)
    if options.plot is not None:
        _write_plot(drawn, options.plot)
    return 1 if tasks.problems else 0


def _stream(tasks: Tasks, options: CompareOptions) -> Sequence[Reading]:
    """Curve after curve; returns what a figure needs of them, where one is asked for."""
    drawn = list[Reading]()
    with on_disk() as file:
        readings = _seen(tasks, drawn) if options.plot is not None else iter(tasks)
        if (first := next(readings, None)) is None:
            _say(tasks.problems)
            raise _nothing(options.paths)
        every = itertools.chain([first], readings)
        with room_on_disk():
            for piece in json_pieces(every, tasks) if options.csv is None else csv_pieces(every, options.csv):
                file.write(piece)
            file.flush()
        _say(tasks.problems)
        print_pieces(lambda: pieces_of(file))
    return drawn


def _seen(readings: Iterable[Reading], seen: list[Reading]) -> Iterator[Reading]:
    """The same ones, what a figure needs of each being put aside."""
    for reading in readings:
        seen.append(kept(reading))
        yield reading


def _print(found: ByTask, options: CompareOptions) -> Sequence[Reading]:
    """Sentences and tables; returns what they are about."""
    _say(found.problems)
    if not found.readings:
        raise _nothing(options.paths)
    if options.brief and not any(one.curve.unit.startswith(NATS) for one in found.readings):
        raise UsageError(f"{found.readings[0].curve.metric} is a score, which has no verdict; leave --brief out")
    text = _text(found, options)
    print_pieces(lambda: [text])
    return found.readings


def tables(readings: Sequence[Reading], any_data: bool = False) -> list[list[Reading]]:
    """Readings that share a table: the same experiment, metric and unit, and the same data unless told."""
    groups: dict[tuple[str, ...], list[Reading]] = {}
    for reading in readings:
        curve = reading.curve
        data = "" if any_data else curve.data
        groups.setdefault((curve.experiment, data, curve.metric, curve.unit), []).append(reading)
    return list(groups.values())


def _list_metrics(paths: Sequence[Path]) -> int:
    found = find_results(paths)
    _say(found.problems)
    lines = metric_lines(result for _, result in found.results)
    if not lines:
        raise _nothing(paths)
    print_pieces(lambda: ["\n".join(lines) + "\n"])
    return 0


def _say(problems: Sequence[str]) -> None:
    for problem in problems:
        print(f"skipped: {problem}", file=sys.stderr)


def _nothing(paths: Sequence[Path]) -> InputError:
    where = ", ".join(map(as_typed, paths))
    return InputError(f"no results in {where}; give result files or folders of them, or run an experiment first")


def _text(found: ByTask, options: CompareOptions) -> str:
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    findings = find_findings(options.paths) if options.units else []
    with console.capture() as captured:
        for members in tables(found.readings, options.brief):
            if options.brief:
                print_brief(console, members)
            elif options.units:
                print_exchange(console, members, findings)
            else:
                _print_group(console, members, options)
            console.print()
        for warning in found.warnings:
            print_hanging(console, Text.assemble(("warning: ", "yellow"), warning))
        if options.long and found.beside:
            beside = f"{found.beside} results beside the runs: anchors, controls, trials, rounded prompts"
            console.print(beside, style="dim")
    return "\n".join(line.rstrip() for line in captured.get().split("\n"))  # a table pads its cells


def _print_group(console: Console, members: Sequence[Reading], options: CompareOptions) -> None:
    """Sentences, then the numbers behind them."""
    said = print_sentences(console, members) if options.draws else 0
    said += print_warnings(console, members, options.long)
    if said:
        console.print()
    print_table(console, members, View(options.long, options.bits))
    if options.long:
        print_details(console, members)


def _write_plot(readings: Sequence[Reading], path: Path) -> None:
    from soft_prompts.report.figures.plots import write_figure

    write_figure(readings, path)
    print(f"figure written to {path}", file=sys.stderr)
