"""How does a comparison read in a terminal or a spreadsheet? Tables of losses and paired differences, and CSV."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from soft_prompts.analysis.curves import Curve, Difference, Gap, Point
from soft_prompts.report.labels import (
    NATS,
    estimate_text,
    group_name,
    row_label,
    unit_text,
)
from soft_prompts.stats.paired import Share

CSV_COLUMNS = (
    *("experiment", "variant", "data", "model", "prompt", "condition_mode", "settings"),
    *("metric", "unit", "tokens", "seed"),
    *("value", "stderr", "vs_zero", "vs_zero_stderr", "vs_previous", "vs_previous_stderr"),
    *("condition_information", "condition_information_stderr", "gap", "gap_stderr", "closed", "closed_stderr"),
)


def print_losses(console: Console, members: Sequence[Curve], in_bits: bool) -> None:
    """The table of one experiment and metric; cut into several where the terminal is narrower."""
    counts = sorted({point.tokens for curve in members for point in curve.curve})
    console.print(Text(_title(members, in_bits), style="bold"))
    label = max(console.width // 3, 16) if console.is_terminal else None
    while counts:
        width = _columns_that_fit(console, members, counts, in_bits, label)
        console.print(_table(members, counts[:width], in_bits, label))
        counts = counts[width:]
    console.print(_caption(members), style="dim", highlight=False)


class MoreColumns(NamedTuple):
    """Columns that another part of the comparison adds to the rows of points."""

    names: Sequence[str] = ()
    cells: Sequence[Callable[[Point], Sequence[Any]]] = ()
    """Of each curve."""


def csv_text(curves: Sequence[Curve], more: MoreColumns | None = None) -> str:
    """A row a point (seed `all`) and a row for each of its seeds; losses in the metric's own unit."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*CSV_COLUMNS, *(more.names if more else ())))
    for place, curve in enumerate(curves):
        settings = " ".join(f"{name}={value}" for name, value in curve.settings.items()) or None
        head = [curve.experiment, curve.variant, curve.data, curve.model, curve.prompt, curve.condition_mode, settings]
        for previous, point in zip((None, *curve.curve), curve.curve, strict=False):
            pairs = [_pair(curve, point, 0), _pair(curve, point, previous.tokens) if previous else None]
            gap = _gap(curve, point)
            pairs += [_information(curve, point), gap and gap.to_bare, gap and gap.closed]
            numbers = [number for pair in pairs for number in ((pair.value, pair.stderr) if pair else (None, None))]
            row = [*head, curve.metric, curve.unit, point.tokens]
            numbers += more.cells[place](point) if more else ()
            writer.writerow([*row, "all", point.value, point.stderr, *numbers])
            writer.writerows([*row, *seed, *[None] * len(numbers)] for seed in point.seeds)
    return out.getvalue()


def _columns_that_fit(
    console: Console, members: Sequence[Curve], counts: list[int], in_bits: bool, label: int | None
) -> int:
    """How many token counts one table can hold; all of them where the output is no terminal."""
    if not console.is_terminal:
        return len(counts)
    unbounded = console.options.update(max_width=10_000)
    for width in range(len(counts), 1, -1):
        table = _table(members, counts[:width], in_bits, label)
        if console.measure(table, options=unbounded).maximum <= console.width:
            return width
    return 1


def _table(members: Sequence[Curve], counts: list[int], in_bits: bool, label: int | None) -> Table:
    """`label`: the width at which a row's name is folded."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("prompt tokens", max_width=label, overflow="fold")
    for tokens in counts:
        table.add_column(str(tokens), justify="right", no_wrap=True)
    scale = 1 / math.log(2) if in_bits and members[0].unit.startswith(NATS) else 1.0
    for curve in members:
        points = {point.tokens: point for point in curve.curve}
        previous = {point.tokens: before.tokens for before, point in zip(curve.curve, curve.curve[1:], strict=False)}
        chosen = [points.get(tokens) for tokens in counts]
        table.add_row(
            Text(row_label(curve, members), style="bold cyan"), *(_cell(point, scale, False) for point in chosen)
        )
        lines = {
            "vs 0": [point and _pair(curve, point, 0) for point in chosen],
            "vs previous": [point and _pair(curve, point, previous.get(point.tokens, -1)) for point in chosen],
            "gain from conditions": [point and _information(curve, point) for point in chosen],
        }
        gaps = [point and _gap(curve, point) for point in chosen]
        reference = next((gap.reference for gap in curve.gaps), "")
        lines[f"minus {reference} at 0"] = [gap and gap.to_bare for gap in gaps]
        lines[f"minus {reference} at the same"] = [gap and gap.to_prompted for gap in gaps]
        if len(points) < 3:
            del lines["vs previous"]
        for name, cells in lines.items():
            if any(cells):
                table.add_row(f"  {name}", *(_cell(cell, scale, True) for cell in cells), style="dim")
        if any(gap and gap.closed for gap in gaps):
            shares = (_cell(gap and gap.closed, 1.0, False) for gap in gaps)
            table.add_row("  share of the gap closed", *shares, style="dim")
    return table


def _cell(estimate: Point | Difference | Share | None, scale: float, signed: bool) -> str:
    if estimate is None or estimate.value is None:
        return "" if signed else "-"
    stderr = None if estimate.stderr is None else estimate.stderr * scale
    return estimate_text(estimate.value * scale, stderr, signed)


def _pair(curve: Curve, point: Point, against: int) -> Difference | None:
    pairs = (pair for pair in curve.paired if (pair.tokens, pair.against) == (point.tokens, against))
    return next(pairs, None)


def _information(curve: Curve, point: Point) -> Difference | None:
    return next((pair for pair in curve.condition_information if pair.tokens == point.tokens), None)


def _gap(curve: Curve, point: Point) -> Gap | None:
    return next((gap for gap in curve.gaps if gap.tokens == point.tokens), None)


def _title(members: Sequence[Curve], in_bits: bool) -> str:
    metric = members[0].metric.replace("_", " ")
    return f"{group_name(members)}: {metric}, {unit_text(members[0].unit, in_bits)}"


def _caption(members: Sequence[Curve]) -> str:
    seeds = max((len(point.seeds) for curve in members for point in curve.curve), default=0)
    errors = "items and seeds" if seeds > 1 else "items only: one seed"
    differences = "; vs rows: differences paired on the same items" if any(curve.paired for curve in members) else ""
    return f"± one standard error over {errors}{differences}"
