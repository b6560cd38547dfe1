"""How is the report asked for? Paths in; one page, figures in files if asked for, a line on stderr for each problem
out."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import tyro

from soft_prompts.common.errors import UsageError
from soft_prompts.common.files import write_pieces

if TYPE_CHECKING:
    from soft_prompts.report.page.document import Document

RESULTS = Path("results")


@dataclass(frozen=True)
class ReportOptions:
    """One self-contained page of all results: verdicts, curves, brackets, items, texts and settings."""

    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Files of results and of findings about activations and vectors, folders of them, or URLs; a folder's reference/
    counts only when named itself. Default: results; beside --behaviour only where that is there."""
    out: Path = Path("report.html")
    """The page: one file, which needs no network."""
    figures: Path | None = None
    """Folder for PNG and SVG of each figure; none are written without it."""
    metric: str | None = None
    """Metric to draw; default: each result's own headline."""
    draws: int = 1000
    """Draws of the bootstrap behind every interval."""
    behaviour: tuple[Path, ...] = ()
    """Files that `soft-prompts behaviour` wrote, or the folders that hold them: a section each."""

    takes_urls: ClassVar = ("paths",)

    @property
    def asked(self) -> tuple[Path, ...]:
        """The paths, or what stands for them where none is given: a page of comparisons alone needs no results."""
        if self.paths or (self.behaviour and not RESULTS.exists()):
            return self.paths
        return (RESULTS,)

    def __post_init__(self) -> None:
        if self.out.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--out is {self.out}; give a file that ends in .html")
        if self.out.is_dir():
            raise UsageError(f"--out is {self.out}, a folder; give a file in it")
        if self.figures is not None and self.figures.exists() and not self.figures.is_dir():
            raise UsageError(f"--figures is {self.figures}, a file; give a folder")
        if self.draws < 1:
            raise UsageError(f"--draws is {self.draws}; give 1 or more")


def report_command(options: ReportOptions) -> int:
    """Writes the page, and figures if asked for; 1 where some file was no result (each is named on stderr), else 0.

    Raises InputError where there is no result at all or a file cannot be written, UsageError for an unknown metric or
    more curves than a page has room for.
    """
    from soft_prompts.analysis.by_task import Tasks, collected_whole  # scipy takes seconds to load
    from soft_prompts.analysis.readings import Asked
    from soft_prompts.behaviour.comparison.finding import read_comparison
    from soft_prompts.report.crowd import refuse_crowd
    from soft_prompts.report.page.document import document, pieces
    from soft_prompts.results.findings import find_findings

    paths = options.asked
    tasks = Tasks(paths, options.metric, Asked(None, options.draws, False), texts=True)
    refuse_crowd(tasks, paths, "report", options, "a page")
    readings = collected_whole(tasks)
    for problem in readings.problems:
        print(f"skipped: {problem}", file=sys.stderr)
    comparisons = [read_comparison(path) for path in options.behaviour]
    page = document(readings, options.out.parent, comparisons, find_findings(paths))
    write_pieces(options.out, (piece.encode() for piece in pieces(page)))
    print(f"report written to {options.out} ({options.out.stat().st_size / 1e6:.1f} MB)", file=sys.stderr)
    if options.figures is not None:
        _write_figures(page, options.figures)
    return 1 if readings.problems else 0


def _write_figures(page: "Document", folder: Path) -> None:
    from soft_prompts.report.drawing.paint import write_scene  # matplotlib takes half a second to load
    from soft_prompts.report.page.document import unique_names

    figures = unique_names(page.figures())
    for name, scene in figures.items():
        for suffix in ("svg", "png"):
            write_scene(scene, folder / f"{name}.{suffix}")
    print(f"{len(figures)} figures written to {folder}", file=sys.stderr)
