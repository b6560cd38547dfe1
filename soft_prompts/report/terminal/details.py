"""What is a verdict made of? Under --long: scales, brackets, checks, power, bits, controls, contrasts, anchors."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from soft_prompts.analysis.losses.drafts import Run, metric_of
from soft_prompts.analysis.readings import Bits, Control, ModelContrast, Reading
from soft_prompts.analysis.scales import End, Scale
from soft_prompts.report.labels import NATS, Labels, unit_text
from soft_prompts.report.terminal.numbers import mark_text, share_text
from soft_prompts.report.terminal.sentences import print_hanging
from soft_prompts.stats.brackets import Bracket


def print_details(console: Console, readings: Sequence[Reading]) -> None:
    """Of the readings of one table; a score has none."""
    curves = [reading.curve for reading in readings]
    if not curves[0].unit.startswith(NATS):
        return
    labels = Labels(curves)
    for reading in readings:
        console.print(Text(labels.row(reading.curve), style="bold cyan"))
        for line in detail_lines(reading):
            print_hanging(console, Text(f"  {line}"), 4)


def detail_lines(reading: Reading) -> Iterator[str]:
    """One thing a line."""
    for scale in (reading.deed, reading.loss):
        if scale is not None:
            yield from _scale(scale, scale is reading.lead, max((point.tokens for point in reading.points), default=0))
    yield from (f"check {name}: {check.state}: {check.text}" for name, check in reading.checks.items())
    if reading.power is not None:
        yield f"power: {reading.power.text} of {reading.power.steps:,} steps"
    if reading.bits is not None:
        yield f"bits: {_bits(reading.bits, reading.curve.unit)}"
    yield from (f"control {_control(control)}" for control in reading.controls)
    yield from (f"against {_contrast(one)}" for one in reading.contrasts)
    yield from (
        f"{role.replace('_', ' ').replace(':', ' ')}: {_values(runs, reading)}"
        for role, runs in reading.anchors.items()
    )
    yield from (f"note: {note}" for note in reading.notes)


def _scale(scale: Scale, leads: bool, most: int) -> Iterator[str]:
    floor, ceiling = _end(scale.floor), _end(scale.ceiling)
    state = "sound" if scale.sound else f"not sound: {scale.why}"
    yield f"scale by {scale.by}{' (leads)' if leads else ''}: 0 is {floor}, 1 is {ceiling}; {state}"
    if scale.sound:
        for mark in (scale.half, scale.nine_tenths):
            yield f"share {mark_text(mark.mark)} by {scale.by}: {_mark(mark, scale.witness.get(mark.mark), most)}"


def _end(end: End | None) -> str:
    return "not known" if end is None else f"{end.kind.replace('_', ' ')} {end.value:.4g}"


def _mark(mark: Bracket, witness: Run | None, most: int) -> str:
    return mark.text(most) + ("" if witness is None else f"; witness {witness.path}")


def _bits(bits: Bits, unit: str) -> str:
    if bits.prompt is None:
        return "no rounding keeps the share"
    code, of = bits.prompt, unit_text(unit.partition("/")[2])
    tokens = f"{code.tokens} token{'' if code.tokens == 1 else 's'}"
    pays = "" if bits.break_even_units is None else f"; pays for itself after {bits.break_even_units:,.0f} {of}s"
    each = f"{tokens} at {code.bits_per_coordinate} a coordinate"
    return f"{code.bits:,.0f} ({each}){pays}"


def _control(control: Control) -> str:
    shares = (f"{share_text(share, True)} at {tokens}" for tokens, share in sorted(control.shares.items()))
    behind = [f"{share_text(share, True)} at {tokens}" for tokens, share in sorted(control.behind.items())]
    less = f"; the task's is more by {', '.join(behind)}" if behind else ""
    return f"{control.name.replace('_', ' ')}: share {', '.join(shares) or 'not known'}{less}"


def _contrast(one: ModelContrast) -> str:
    parts = [one.text]
    if one.difference is not None:
        parts.append(share_text(one.difference, True))
    if one.p_value is not None:
        adjusted = "" if one.adjusted is None else f", {one.adjusted:.2g} by Holm"
        parts.append(f"p {one.p_value:.2g}{adjusted}")
    return f"{one.model}: {'; '.join(parts)}"


def _role(role: str) -> str:
    return role.replace("_", " ").replace(":", " ")


def _values(runs: Sequence[Run], reading: Reading) -> str:
    """Lowest and highest of the results of a role."""
    values = sorted(value for run in runs if (value := metric_of(run, reading.curve.metric).value) is not None)
    if not values:
        return f"{len(runs)} without a {reading.curve.metric}"
    spread = f"{values[0]:.4g}" if len(values) == 1 else f"{values[0]:.4g} to {values[-1]:.4g} of {len(values)} results"
    return f"{spread} {unit_text(reading.curve.unit)}"
