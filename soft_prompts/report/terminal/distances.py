"""How does a distance read in a terminal or a spreadsheet? A table below that of the losses, and columns of CSV.

`3.2 [2.1, > 64]` is a count of tokens with its 95 % interval, `> 64 CEILING` a share that no prompt reached, and why.
"""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from soft_prompts.analysis.battery import Optimiser
from soft_prompts.analysis.bits import Bits
from soft_prompts.analysis.controls import Control
from soft_prompts.analysis.curves import Point
from soft_prompts.analysis.readings import ModelContrast, Reading
from soft_prompts.report.labels import NATS, row_label, unit_text
from soft_prompts.stats.distance import NO_GAP, Distance, Interval, Mark

MOST_CONTRASTS = 6  # pairs of models below a table; --json has all
COLUMNS = ("50 %", "90 %", "area", "gap", "admissible")
POINT_COLUMNS = ("share", "share_low", "share_high")
MARK_COLUMNS = ("", "_low", "_high", "_reason")
CSV_COLUMNS = (
    *("reference", "saturation", *POINT_COLUMNS),
    *(f"{mark}{part}" for mark in ("d_50", "d_90") for part in MARK_COLUMNS),
    *("auc", "auc_low", "auc_high", "admissible", "no_distance"),
)


def print_distances(console: Console, readings: Sequence[Reading], notes: list[str]) -> None:
    """The distances of the readings of one table; what is to be noted is added to `notes`, which end the output."""
    curves = [reading.curve for reading in readings]
    if not curves[0].unit.startswith(NATS):
        return  # a score has no distance, and whoever asked for it knows
    names = [row_label(reading.curve, curves) for reading in readings]
    measured = [pair for pair in zip(names, readings, strict=True) if pair[1].distance is not None]
    if measured:
        _print_table(console, measured, notes)
        for line in (line for name, reading in measured for line in _evidence(name, reading)):
            console.print(Text(line))
        _print_contrasts(console, measured)
    reasons = [(name, one.no_distance) for name, one in zip(names, readings, strict=True) if one.no_distance]
    alone = not measured and len({reason for _, reason in reasons}) == 1
    for line in [reasons[0][1]] if alone else [f"{name}: {reason}" for name, reason in reasons]:
        console.print(Text(f"no distance: {line}", style="dim"))


def print_notes(console: Console, notes: Sequence[str]) -> None:
    """What the columns are, and the notes that rows point to."""
    console.print("distance: prompt tokens that close 50 and 90 % of the gap, area under the share closed; [95 %]")
    for number, note in enumerate(notes, start=1):
        console.print(Text(f"{number:>2} {note}", style="dim"))


def mark_text(mark: Mark, most: int) -> str:
    """A distance with its interval; `most` is the largest token count tried."""
    if mark.reason == NO_GAP:
        return NO_GAP
    beyond = f"> {most}"
    high = beyond if mark.high is None else tokens_text(mark.high)
    if mark.censored:
        opens = mark.low_of_draws is not None and mark.low_of_draws < most
        return f"{beyond} {mark.reason}" + (f" [{tokens_text(mark.low_of_draws or 0)}, {beyond}]" if opens else "")
    if mark.value is None:
        return "-"
    low = "-" if mark.low is None else tokens_text(mark.low)
    note = f" {mark.note}" if mark.note else ""
    return tokens_text(mark.value) + note + (f" [{low}, {high}]" if {low, high} != {tokens_text(mark.value)} else "")


def tokens_text(tokens: float) -> str:
    """Two digits below 10, whole numbers above."""
    return f"{tokens:.2g}" if tokens < 10 else f"{tokens:,.0f}"


def csv_cells(reading: Reading, point: Point) -> list[Any]:
    """What CSV_COLUMNS say of a point: its share, and the whole curve's distance."""
    distance = reading.distance
    if distance is None:
        return [*[None] * (len(CSV_COLUMNS) - 1), reading.no_distance]
    shares = {one.tokens: one.share for one in distance.points}
    marks = [(mark.value, mark.low, mark.high, mark.reason) for mark in (distance.d_50, distance.d_90)]
    return [
        *(distance.reference, distance.saturation, *shares.get(point.tokens, Interval(None, None, None))),
        *(cell for mark in marks for cell in mark),
        *(*distance.auc, distance.admissible, None),
    ]


def _print_table(console: Console, measured: Sequence[tuple[str, Reading]], notes: list[str]) -> None:
    """In two parts where the terminal is narrower than the whole."""
    rows = [(name, _cells(reading, notes)) for name, reading in measured]
    label = max(console.width // 3, 16) if console.is_terminal else None
    whole = _table(rows, COLUMNS, label)
    fits = console.measure(whole, options=console.options.update(max_width=10_000)).maximum <= console.width
    for columns in [COLUMNS] if fits or not console.is_terminal else [COLUMNS[:2], COLUMNS[2:]]:
        console.print(_table(rows, columns, label))


def _table(rows: Sequence[tuple[str, Sequence[str]]], columns: Sequence[str], label: int | None) -> Table:
    """`label`: the width at which a row's name is folded."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("distance", max_width=label, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right" if column in COLUMNS[:3] else "left", no_wrap=True)
    for name, cells in rows:
        chosen = (cell for cell, column in zip(cells, COLUMNS, strict=True) if column in columns)
        table.add_row(Text(name, style="bold cyan"), *chosen)
    return table


def _cells(reading: Reading, notes: list[str]) -> list[str]:
    """Of one row, in the order of COLUMNS."""
    distance = reading.distance
    assert distance is not None
    most = max(point.tokens for point in distance.points)
    numbers = " ".join(map(str, _numbered(_notes(reading, distance), notes)))
    return [
        mark_text(distance.d_50, most),
        mark_text(distance.d_90, most),
        _area(distance.auc),
        _ends(distance),
        ("yes" if distance.admissible else "no") + (f": {numbers}" if numbers else ""),
    ]


def _ends(distance: Distance) -> str:
    """What the shares are shares of."""
    start = "no skill" if distance.reference == "no_skill" else "bare"
    return f"{start} to {distance.saturation}"


def _area(auc: Interval) -> str:
    if auc.value is None:
        return "-"
    value, *ends = (f"{end:.2f}" for end in auc if end is not None)
    return value + (f" [{', '.join(ends)}]" if len(ends) > 1 else "")


def _notes(reading: Reading, distance: Distance) -> list[str]:
    """Rules first, then what else to know."""
    fell = ", ".join(map(str, reading.violations))
    violated = [f"loss rose by over 5 % of the gap at {fell} tokens: training fell short"] if reading.violations else []
    return [*distance.failed_rules, *distance.warnings, *reading.notes, *violated]


def _numbered(texts: Sequence[str], notes: list[str]) -> list[int]:
    """Their places among all notes of the table, from 1; new ones are added."""
    notes += [text for text in dict.fromkeys(texts) if text not in notes]
    return sorted(notes.index(text) + 1 for text in texts)


def _evidence(name: str, reading: Reading) -> list[str]:
    """A line each of bits, controls and battery, where there are any."""
    unit = unit_text(reading.curve.unit.partition("/")[2])
    lines = []
    if reading.bits is not None:
        lines.append(f"{name}, bits: {_bits(reading.bits, unit)}")
    if reading.controls:
        lines.append(f"{name}, controls: {'; '.join(map(_control, reading.controls))}")
    if reading.battery is not None:
        lines.append(f"{name}, optimiser: {_battery(reading.battery)}")
    return lines


def _bits(bits: Bits, unit: str) -> str:
    marks = [
        f"{mark} % {'not reached' if value is None else f'{value:,.0f}'}"
        for mark, value in ((50, bits.d_50), (90, bits.d_90))
    ]
    if bits.prompt is None:
        return "; ".join([*marks, "no rounding keeps the loss within 2 % of the gap"])
    each = f"{bits.prompt.bits_per_coordinate} a coordinate, {bits.prompt.tokens} tokens"
    pays = "" if bits.break_even_units is None else f"; pays for itself after {bits.break_even_units:,.0f} {unit}s"
    return f"{'; '.join(marks)}; the prompt {bits.prompt.bits:,.0f} ({each}){pays}"


def _control(control: Control) -> str:
    name = control.name.replace("_", " ")
    if control.distance is None:
        return f"{name}: {control.no_distance}"
    most = max(point.tokens for point in control.distance.points)
    value, is_bound = control.selectivity
    farther = "" if value is None else f", S {'>= ' if is_bound else ''}{value:.2f}"
    mark = control.distance.d_50
    return f"{name} {f'> {most}' if mark.censored else mark_text(mark, most)}{farther}"


def _battery(battery: Optimiser) -> str:
    count = sum(map(len, battery.runs.values()))
    found = {
        "best trial": battery.moved,
        "a doubling of steps": battery.elasticity,
    }
    parts = [
        f"{count} trials",
        *(f"{name} {value:+.3f} of the gap" for name, value in found.items() if value is not None),
    ]
    if battery.failure_rate is not None:
        parts.append(f"{battery.failure_rate:.0%} of {battery.seeds} seeds fail")
    if battery.search is not None:
        parts.append(f"search start reaches {battery.search:.2f}")
    return "; ".join(parts)


def _print_contrasts(console: Console, measured: Sequence[tuple[str, Reading]]) -> None:
    """Each pair once."""
    lines: dict[frozenset[str], str] = {}
    for name, reading in measured:
        for one in reading.contrasts:
            pair = frozenset((name, one.model, str(reading.curve.data), str(reading.curve.variant)))
            if one.contrast.p_value is not None:
                lines.setdefault(pair, f"{name} against {one.model}: {_contrast(one, reading)}")
    for line in list(lines.values())[:MOST_CONTRASTS]:
        console.print(Text(line))
    if len(lines) > MOST_CONTRASTS:
        console.print(f"{len(lines) - MOST_CONTRASTS} more pairs of models are in --json", style="dim")


def _contrast(one: ModelContrast, reading: Reading) -> str:
    """Doublings of tokens + 1 at 50 %, with their interval."""
    value, low, high, p_value, _ = one.contrast
    if low is None and high is None and reading.distance is not None:
        found = f"{'farther' if reading.distance.d_50.censored else 'nearer'} by more than was tried"
    else:
        ends = ("-inf" if low is None else f"{low:+.2f}", "inf" if high is None else f"{high:+.2f}")
        found = f"{'' if value is None else f'{value:+.2f} '}[{', '.join(ends)}] doublings at 50 %"
    over = f", {one.adjusted:.2g} by Holm over {one.tasks} tasks" if one.adjusted is not None and one.tasks > 1 else ""
    return f"{found}, p {p_value:.2g}{over}"
