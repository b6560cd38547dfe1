"""What is the answer of each curve, a line each? Verdict, bracket, what the model writes right at each count, evidence:
`compare --brief`, for many tasks at once."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from soft_prompts.analysis.losses.curves import Curve
from soft_prompts.analysis.readings import Point, Reading
from soft_prompts.report.labels import NATS, Labels, group_name, unit_text
from soft_prompts.report.terminal.exchange import bracket_text
from soft_prompts.report.terminal.numbers import hundredths
from soft_prompts.report.terminal.sentences import COLOURS


def print_brief(console: Console, readings: Sequence[Reading]) -> None:
    """Of curves with one experiment, metric and unit; a score has no verdict."""
    curves = [reading.curve for reading in readings]
    if not curves[0].unit.startswith(NATS):
        return
    has_outcome = any(point.outcome for reading in readings for point in reading.points)
    counts = sorted({point.tokens for reading in readings for point in reading.points})
    shown = _outcome(readings) if has_outcome else unit_text(curves[0].unit)
    labels = Labels(curves)
    title = f"{labels.model(curves[0])}, " if len(labels.models) == 1 else ""
    console.print(Text(f"{title}{group_name(curves)}: {shown} at each count of prompt tokens", style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", max_width=max(console.width // 3, 12), overflow="fold")
    table.add_column("verdict")
    for name in ("half at", *map(str, counts), "evidence"):
        table.add_column(name, justify="right")
    for reading in readings:
        own = {point.tokens: _score(point, has_outcome) for point in reading.points}
        verdict = Text(reading.verdict.word, style=COLOURS[reading.verdict.word])
        cells = (own.get(tokens, "") for tokens in counts)
        evidence = f"{reading.evidence} of {len(reading.checks)}"
        table.add_row(Text(_label(reading.curve, labels)), verdict, _half(reading), *cells, evidence)
    console.print(table)


def _label(curve: Curve, labels: Labels) -> str:
    """Without the model where the title names it."""
    label = labels.row(curve)
    return label.removeprefix(f"{labels.model(curve)} · ") if len(labels.models) == 1 else label


def _outcome(readings: Sequence[Reading]) -> str:
    named = {reading.deed.unit for reading in readings if reading.deed is not None}
    return " or ".join(sorted(name.replace("_", " ") for name in named)) or "outcome"


def _half(reading: Reading) -> str:
    """At which counts half of what can be had is reached."""
    if reading.lead is None or not reading.lead.sound:
        return ""
    return bracket_text(reading.lead.half, max((point.tokens for point in reading.points), default=0))


def _score(point: Point, has_outcome: bool) -> str:
    if not has_outcome:
        return "-" if point.value is None else f"{point.value:.3g}"
    return "" if point.outcome is None else hundredths(point.outcome.value)
