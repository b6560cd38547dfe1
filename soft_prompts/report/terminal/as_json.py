"""How do readings go into JSON? A curve with its points, scale, brackets, checks and verdict: compare.schema.json."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.readings import Bits, Control, Point, Reading
from soft_prompts.analysis.scales import Scale
from soft_prompts.analysis.units import Units, units, witness_edl, witness_tokens
from soft_prompts.stats.bootstrap import Interval
from soft_prompts.stats.brackets import Bracket

VERSION = 2
CURVE_FIELDS = ("experiment", "variant", "data", "model", "prompt", "condition_mode", "settings")
METRIC_FIELDS = ("headline", "metric", "unit", "scored_units")
PAIRED_FIELDS = ("paired", "condition_information", "gaps", "warnings")


def as_json(reading: Reading) -> dict[str, Any]:
    """One of the curves that `compare --json` prints; plain values, files by their paths."""
    curve, lead, verdict = reading.curve, reading.lead, reading.verdict
    values = {
        **_named(curve, CURVE_FIELDS),
        **_named(curve, METRIC_FIELDS),
        "points": _points(reading),
        "scale": _leading(lead),
        "half": _bracket(lead, 0.5),
        "nine_tenths": _bracket(lead, 0.9),
        "checks": {name: check.to_json() for name, check in reading.checks.items()},
        "evidence": reading.evidence,
        "power": reading.power,
        "battery": reading.battery,
        "verdict": verdict.word,
        "why": verdict.why,
        "sentence": verdict.sentence,
        "next_command": verdict.next_command,
        "bits": prompt_bits(reading),
        "edl_bits": witness_edl(reading),
        "rounding": _rounding(reading.bits),
        "scales": {"deed": _scale(reading.deed), "loss": _scale(reading.loss)},
        "units": _units(units(reading)),
        **_named(curve, PAIRED_FIELDS),
        "clusters": reading.clusters,
        "controls": [_control(control) for control in reading.controls],
        "contrasts": list(reading.contrasts),
        "runs": _paths(reading.runs),
        "anchors": {role: _paths(runs) for role, runs in reading.anchors.items()},
        "notes": list(reading.notes),
    }
    return _plain(values)


def prompt_bits(reading: Reading) -> float | None:
    """Of the rounded prompt that keeps the share; None where no prompt reaches a half."""
    reached = witness_tokens(reading) is not None and reading.bits is not None and reading.bits.prompt is not None
    return reading.bits.prompt.bits if reached and reading.bits and reading.bits.prompt else None


def _points(reading: Reading) -> list[dict[str, Any]]:
    seeds = {point.tokens: point.seeds for point in reading.curve.curve}
    return [_point(point) | {"seeds": list(seeds.get(point.tokens, ()))} for point in reading.points]


def _point(point: Point) -> dict[str, Any]:
    values = point._asdict() | {"chosen": point.chosen.path}
    return {name: value for name, value in values.items() if name != "no_edl"}


def _leading(lead: Scale | None) -> dict[str, Any]:
    if lead is None:
        return {"lead": None, "unit": None, "floor": None, "ceiling": None, "sound": False, "why": "not measured"}
    return {"lead": lead.by, **_ends(lead)}


def _ends(scale: Scale) -> dict[str, Any]:
    ends = {
        name: None if end is None else {"kind": end.kind, "value": end.value, "runs": _paths(end.runs)}
        for name, end in (("floor", scale.floor), ("ceiling", scale.ceiling))
    }
    return {"unit": scale.unit, **ends, "sound": scale.sound, "why": scale.why}


def _scale(scale: Scale | None) -> dict[str, Any] | None:
    if scale is None:
        return None
    return {**_ends(scale), "half": _bracket(scale, 0.5), "nine_tenths": _bracket(scale, 0.9)}


def _bracket(scale: Scale | None, mark: float) -> dict[str, Any]:
    """A scale's bracket and the result of its witness."""
    if scale is None:
        return Bracket(mark, "no_scale").to_json() | {"witness": None}
    bracket = scale.half if mark == scale.half.mark else scale.nine_tenths
    witness = scale.witness.get(mark)
    return bracket.to_json() | {"witness": None if witness is None else witness.path}


def _rounding(bits: Bits | None) -> dict[str, Any] | None:
    if bits is None:
        return None
    codes = [code._asdict() | {"run": code.run.path} for code in bits.codes]
    prompt = None if bits.prompt is None else bits.prompt._asdict() | {"run": bits.prompt.run.path}
    return {"prompt": prompt, "break_even_units": bits.break_even_units, "codes": codes}


def _control(control: Control) -> dict[str, Any]:
    return {
        "name": control.name,
        "shares": _by_tokens(control.shares),
        "behind": _by_tokens(control.behind),
        "runs": _paths(control.runs),
    }


def _by_tokens(shares: Mapping[int, Interval]) -> list[dict[str, Any]]:
    return [{"tokens": tokens, **share._asdict()} for tokens, share in sorted(shares.items())]


def _units(found: Units) -> dict[str, Any]:
    values = found._asdict()
    values["soft_tokens"] = None if found.soft_tokens is None else found.soft_tokens.to_json()
    for name in ("hard_tokens", "ranks", "parameters", "shots", "steering"):
        amount = getattr(found, name)
        if amount is not None:
            values[name] = amount._asdict() | {"run": None if amount.run is None else amount.run.path}
    return values


def _named(value: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _paths(runs: Iterable[Run]) -> list[str]:
    return [str(run.path) for run in runs]


def _plain(value: Any) -> Any:
    """JSON values: dataclasses and named tuples by their names, null for a number that JSON cannot hold."""
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
