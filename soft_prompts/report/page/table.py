"""How is a table of the page made up? Cells with their source; every run with its settings in one of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.report.text import NOTHING, Number, plain_name, value_text


@dataclass(frozen=True)
class Links:
    folder: Path
    """Where the page lies."""

    def to(self, path: Path) -> str:
        """A relative address, with every letter that has a meaning in an address written out."""
        return quote(self.path(path), safe="/")

    def path(self, path: Path) -> str:
        """The same to read."""
        try:
            relative = os.path.relpath(path.resolve(), self.folder.resolve())
        except ValueError:  # another drive
            relative = str(path.resolve())
        return Path(relative).as_posix()


class Cell(NamedTuple):
    text: str
    href: str = ""
    number: bool = False
    key: Number | None = None
    """What a column is sorted by, where that is not the text."""
    title: str = ""


@dataclass(frozen=True)
class Table:
    title: str
    note: str
    columns: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


COLUMNS = (
    *(Cell("experiment"), Cell("data"), Cell("model"), Cell("role"), Cell("prompt")),
    *(Cell("tokens", number=True), Cell("seed", number=True), Cell("parameters", number=True)),
    *(Cell("steps", number=True), Cell("rate", number=True), Cell("batch", number=True)),
    *(Cell("result", number=True), Cell("unit"), Cell("finished"), Cell("file")),
)


def heads(*names: str) -> tuple[Cell, ...]:
    """Columns of numbers; `*` before a name: of text."""
    return tuple(Cell(name.removeprefix("*"), number=not name.startswith("*")) for name in names)


def number(value: Number | None, text: str | None = None) -> Cell:
    return Cell(NOTHING if value is None else text or f"{value:,}", number=True, key=value)


def runs_table(runs: Sequence[Run], links: Links) -> Table:
    """Every result file: its settings, its headline and when it was made."""
    return Table("All results", "", COLUMNS, tuple(_row(run, links) for run in sorted(runs, key=_order)))


def _order(run: Run) -> tuple[tuple[str, ...], int, int]:
    result, prompt = run.result, run.result.prompt
    what = (result.experiment, result.variant, result.data.name, result.model.name, result.role != "run", result.role)
    kind = (prompt.kind, prompt.condition_mode) if run.tokens else ("", "")
    return tuple(str(part or "") for part in (*what, *kind)), run.tokens, run.seed


def _row(run: Run, links: Links) -> tuple[Cell, ...]:
    result = run.result
    training, prompt = result.training, result.prompt
    trained = bool(prompt.tokens) or bool(training.steps)
    kind = " ".join(filter(None, (prompt.kind or "none", prompt.condition_mode and f"({prompt.condition_mode})")))
    path = links.path(run.path)
    environment = result.environment
    made = f"package {environment.package_version}, commit {environment.commit or 'unknown'}"
    made += ", with uncommitted changes" if environment.dirty else ""
    return (
        Cell(" ".join(filter(None, (plain_name(result.experiment), result.variant)))),
        Cell(result.data.name),
        Cell(result.model.name),
        Cell(result.role),
        Cell(kind),
        number(prompt.tokens),
        number(training.seed if prompt.tokens else None),
        number(prompt.parameters if trained else None),
        number(training.steps if trained else None),
        number(training.learning_rate if trained else None, f"{training.learning_rate:g}"),
        number(training.batch_size if trained else None),
        *_headline(run, links),
        Cell((environment.finished or environment.started)[:10], title=made),
        Cell(path.split("/")[-1].removesuffix(".json"), links.to(run.path), title=path),
    )


def _headline(run: Run, links: Links) -> tuple[Cell, Cell]:
    result = run.result
    metric = result.metrics.get(result.headline)
    if result.status != "success" or metric is None or metric.value is None:
        why = result.reason or (metric and metric.reason) or "no value"
        return Cell(result.status, title=why, number=True), Cell("")
    spread = f" ± {value_text(metric.stderr, metric.stderr)}" if metric.stderr else ""
    text = f"{value_text(metric.value, metric.stderr)}{spread}"
    return Cell(text, links.to(run.path), True, metric.value, result.headline), Cell(metric.unit)
