"""What do prompts of each token count score? A table of one experiment and data set: rows curves, columns counts.

The short form has of each curve the chosen prompt's headline and its share; the long one every seed, which prompt was
chosen, paired differences and the other scale.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from soft_prompts.analysis.losses.curves import Curve, Difference, Gap
from soft_prompts.analysis.losses.curves import Point as Losses
from soft_prompts.analysis.readings import Point, Reading
from soft_prompts.analysis.units import without_edl
from soft_prompts.report.labels import NATS, Labels, estimate_text, group_name, unit_text
from soft_prompts.report.terminal.numbers import change_text, count_text, hundredths, share_text
from soft_prompts.results.roles import BATTERY
from soft_prompts.stats.paired import SeedValue, Share

STARTS = ("search", "grown")  # ways to begin that say where a prompt is from


class View(NamedTuple):
    """How tables are asked for."""

    long: bool = False
    bits: bool = False


class Row(NamedTuple):
    name: str
    cells: Mapping[int, str]
    """By prompt tokens."""
    style: str = "dim"


def print_table(console: Console, readings: Sequence[Reading], view: View) -> None:
    """Of curves with one experiment, data set and metric; cut into several where the console is narrower."""
    curves = [reading.curve for reading in readings]
    in_bits = view.bits and curves[0].unit.startswith(NATS)
    labels = Labels(curves)
    rows = [row for reading in readings for row in _rows(reading, labels, view)]
    counts = sorted({tokens for row in rows for tokens in row.cells})
    metric = curves[0].metric.replace("_", " ")
    console.print(Text(f"{group_name(curves)}: {metric}, {unit_text(curves[0].unit, in_bits)}", style="bold"))
    for some in _blocks(console, rows, counts):
        console.print(_table(console, rows, some))
    for line in _caption(readings, view.long):
        console.print(Text(line, style="dim"))


def _blocks(console: Console, rows: Sequence[Row], counts: list[int]) -> list[list[int]]:
    """Token counts by table, about as many in each, and no more than the console is wide."""
    unbounded = console.options.update(max_width=10_000)
    for blocks in range(1, len(counts) + 1):
        width = math.ceil(len(counts) / blocks)
        parts = [counts[start : start + width] for start in range(0, len(counts), width)]
        widths = (console.measure(_table(console, rows, part), options=unbounded).maximum for part in parts)
        if max(widths) <= console.width:
            return parts
    return [[tokens] for tokens in counts]


def _table(console: Console, rows: Sequence[Row], counts: Sequence[int]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("prompt tokens", max_width=max(console.width // 3, 16), overflow="fold")
    for tokens in counts:
        table.add_column(str(tokens), justify="right", overflow="fold")
    for row in rows:
        if not row.style or any(row.cells.get(tokens) for tokens in counts):
            name = Text(row.name, style=row.style or "bold cyan")
            table.add_row(name, *(Text(row.cells.get(tokens, "")) for tokens in counts), style=row.style)
    return table


def _rows(reading: Reading, labels: Labels, view: View) -> Iterator[Row]:
    """Of one curve: the headline of its chosen prompts, and below it what they are worth."""
    is_loss = reading.curve.unit.startswith(NATS)
    factor = 1 / math.log(2) if view.bits and is_loss else 1.0
    yield Row(labels.row(reading.curve), _cells(reading, lambda point: _estimate(point, factor)), "")
    worth = [*_worth(reading, factor, view.long)] if is_loss else []
    yield from (row for row in worth if any(row.cells.values()))
    if view.long:
        yield from (row for row in _more(reading, factor) if any(row.cells.values()))


def _worth(reading: Reading, factor: float, long: bool) -> Iterator[Row]:
    """Shares where there is a sound scale, else what was gained."""
    lead = reading.lead
    shares: dict[int, str] = {}
    if lead is not None and lead.sound:
        shares = {tokens: share_text(share, long) for tokens, share in lead.shares.items()}
        yield Row(f"  share by {lead.by}", shares)
    outcomes = _cells(reading, lambda point: share_text(point.outcome, long) if point.outcome else "")
    if outcomes != shares:
        yield Row("  outcome", outcomes)
    if not shares or long:
        gains = {point.tokens: change_text(point.gain, factor) for point in reading.points if point.tokens}
        yield Row("  gain", gains)
        yield Row("  items improved", _cells(reading, _improved))


def _more(reading: Reading, factor: float) -> Iterator[Row]:
    """What the long form adds."""
    curve = reading.curve
    yield Row("  chosen", _cells(reading, _chosen))
    other = reading.loss if reading.lead is reading.deed else reading.deed
    if other is not None and other.sound:
        yield Row(f"  share by {other.by}", {tokens: share_text(share, True) for tokens, share in other.shares.items()})
    yield from _seeds(curve, factor)
    differences = {
        "vs 0": {pair.tokens: pair for pair in curve.paired if pair.against == 0},
        "vs previous": {pair.tokens: pair for pair in curve.paired if pair.against},
        "gain from conditions": {pair.tokens: pair for pair in curve.condition_information},
        **_to_reference(curve.gaps),
    }
    for name, pairs in differences.items():
        yield Row(f"  {name}", {tokens: _estimate(pair, factor, True) for tokens, pair in pairs.items()})
    closed = {gap.tokens: _estimate(gap.closed) for gap in curve.gaps if gap.closed}
    yield Row("  share of the gap closed", closed)
    yield Row("  training loss", _cells(reading, lambda point: _number(point.training_loss, factor)))
    yield Row("  samples seen", _cells(reading, lambda point: count_text(point.distinct_samples)))
    yield Row("  bits from the data", _cells(reading, lambda point: count_text(point.edl_bits)))


def _seeds(curve: Curve, factor: float) -> Iterator[Row]:
    """Their mean and each of them, where there are several."""
    points = [point for point in curve.curve if len(point.seeds) > 1]
    yield Row("  mean of the seeds", {point.tokens: _estimate(point, factor) for point in points})
    for seed in sorted({one.seed for point in points for one in point.seeds}):
        own = {point.tokens: one for point in points for one in point.seeds if one.seed == seed}
        yield Row(f"  seed {seed}", {tokens: _estimate(one, factor) for tokens, one in own.items()})


def _to_reference(gaps: Sequence[Gap]) -> dict[str, dict[int, Difference]]:
    name = next((gap.reference for gap in gaps), "")
    return {
        f"minus {name} at 0": {gap.tokens: gap.to_bare for gap in gaps},
        f"minus {name} at the same": {gap.tokens: gap.to_prompted for gap in gaps if gap.to_prompted},
    }


def _cells(reading: Reading, text: Callable[[Point], str]) -> dict[int, str]:
    return {point.tokens: text(point) for point in reading.points}


def _improved(point: Point) -> str:
    return "" if point.improved is None or not point.tokens else hundredths(point.improved)


def _chosen(point: Point) -> str:
    """Which prompt it was: its seed, and how it was found where that is not the grid's own way."""
    run = point.chosen
    if not point.tokens:
        return "bare"
    role, start = run.result.role, str(run.result.config.get("init"))
    how = [role.removeprefix(BATTERY)] if role.startswith(BATTERY) else []
    return "\n".join([f"seed {run.seed}", *how, *([start] if start in STARTS else [])])


def _estimate(
    estimate: Point | Losses | SeedValue | Difference | Share, factor: float = 1.0, signed: bool = False
) -> str:
    if estimate.value is None:
        return "-"
    return estimate_text(estimate.value * factor, estimate.stderr and estimate.stderr * factor, signed)


def _number(value: float | None, factor: float) -> str:
    return "" if value is None else f"{value * factor:.4f}"


def _caption(readings: Sequence[Reading], long: bool) -> list[str]:
    """What the numbers are; whose ends the shares have, where all have the same; in the long form what is left out."""
    lines = ["± one standard error over the test items, of the prompt that validation chose"]
    if not readings[0].curve.unit.startswith(NATS):
        return lines
    scales = [reading.lead for reading in readings if reading.lead is not None and reading.lead.sound]
    ends = {(one.by, one.floor.kind, one.ceiling.kind) for one in scales if one.floor and one.ceiling}
    for by, floor, ceiling in sorted(ends):
        lines.append(f"share by {by}: 0 is {floor.replace('_', ' ')}, 1 is {ceiling.replace('_', ' ')}")
    return [*lines, *without_edl(readings)] if long else lines
