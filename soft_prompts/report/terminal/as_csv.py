"""How do readings go into a spreadsheet? A row a point, or a row a curve; losses in the metric's own unit."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from soft_prompts.analysis.readings import Point, Reading
from soft_prompts.analysis.units import witness_edl
from soft_prompts.report.terminal.as_json import prompt_bits
from soft_prompts.stats.bootstrap import Interval
from soft_prompts.stats.brackets import Bracket

Kind = Literal["points", "curves"]
SUBJECT = ("experiment", "variant", "data", "model", "prompt", "condition_mode")
POINTS = (
    *(*SUBJECT, "settings", "metric", "unit", "tokens", "chosen", "seed", "value", "stderr"),
    *("outcome", "outcome_low", "outcome_high"),
    *("share_deed", "share_deed_low", "share_deed_high", "share_loss", "share_loss_low", "share_loss_high"),
    *("gain", "gain_low", "gain_high", "improved", "training_loss", "distinct_samples", "edl_bits"),
)
BRACKET = ("state", "more_than", "at_most", "in_doubt", "witness")
CHECK = ("scale", "generalises", "specific", "search")
CURVES = (
    *(*SUBJECT, "settings", "metric", "unit", "most_tokens", "verdict", "why", "lead", "sound"),
    *(f"{mark}_{part}" for mark in ("half", "nine_tenths") for part in BRACKET),
    *("evidence", *CHECK, "power_tokens", "power_recovered", "power_tried", "power_steps", "power_how"),
    *("bits", "edl_bits", "next_command", "sentence"),
)


def csv_pieces(readings: Iterable[Reading], kind: Kind) -> Iterator[str]:
    """A line of names, then the rows of one reading after another."""
    yield _lines([POINTS if kind == "points" else CURVES])
    for reading in readings:
        yield _lines(_points(reading) if kind == "points" else [_curve(reading)])


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _points(reading: Reading) -> Iterator[Sequence[Any]]:
    for point in reading.points:
        yield [*_subject(reading), point.tokens, point.chosen.path, point.chosen.seed, *_measured(point)]


def _measured(point: Point) -> list[Any]:
    intervals = (point.outcome, point.share_deed, point.share_loss, point.gain)
    return [
        *(point.value, point.stderr),
        *(number for interval in intervals for number in interval or Interval(math.nan, None, None)),
        *(point.improved, point.training_loss, point.distinct_samples, point.edl_bits),
    ]


def _curve(reading: Reading) -> list[Any]:
    lead, verdict, power = reading.lead, reading.verdict, reading.power
    marks = (None, None) if lead is None else (lead.half, lead.nine_tenths)
    return [
        *_subject(reading),
        max((point.tokens for point in reading.points), default=None),
        *(verdict.word, verdict.why, lead and lead.by, lead is not None and lead.sound),
        *(cell for mark in marks for cell in _bracket(reading, mark)),
        *(reading.evidence, *(reading.checks[name].state if name in reading.checks else None for name in CHECK)),
        *(power or [None] * 5)[:5],
        *(prompt_bits(reading), witness_edl(reading), verdict.next_command, verdict.sentence),
    ]


def _bracket(reading: Reading, mark: Bracket | None) -> list[Any]:
    if mark is None or reading.lead is None:
        return ["no_scale", *[None] * (len(BRACKET) - 1)]
    witness = reading.lead.witness.get(mark.mark)
    in_doubt = " ".join(map(str, mark.in_doubt)) or None
    return [mark.state, mark.more_than, mark.at_most, in_doubt, None if witness is None else witness.path]


def _subject(reading: Reading) -> list[Any]:
    curve = reading.curve
    settings = " ".join(f"{name}={value}" for name, value in curve.settings.items()) or None
    return [*(getattr(curve, name) for name in SUBJECT), settings, curve.metric, curve.unit]


def _cell(value: Any) -> Any:
    """Nothing for a number that is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
