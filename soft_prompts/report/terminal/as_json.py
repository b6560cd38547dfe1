"""How does a reading go into JSON? The curve's own fields, its distance, and beside it the evidence."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from soft_prompts.analysis.battery import Optimiser
from soft_prompts.analysis.bits import Bits
from soft_prompts.analysis.controls import Control
from soft_prompts.analysis.drafts import Run
from soft_prompts.analysis.readings import ModelContrast, Reading
from soft_prompts.stats.paired import SeedValue, Share


def as_json(reading: Reading) -> dict[str, Any]:
    """One entry of `compare --json`; plain values, files by their paths."""
    return {
        **_plain(dataclasses.asdict(reading.curve)),
        "distance": None if reading.distance is None else reading.distance.to_json(),
        "no_distance": reading.no_distance,
        "notes": list(reading.notes),
        "bits": None if reading.bits is None else _bits(reading.bits),
        "controls": [_control(control) for control in reading.controls],
        "battery": None if reading.battery is None else _battery(reading.battery),
        "violations": list(reading.violations),
        "contrasts": [_contrast(contrast) for contrast in reading.contrasts],
        "runs": _paths(reading.runs),
        "anchors": {role: _paths(runs) for role, runs in reading.anchors.items()},
    }


def _bits(bits: Bits) -> dict[str, Any]:
    codes = [code._asdict() | {"run": str(code.run.path)} for code in bits.codes]
    return {
        "d_50": bits.d_50,
        "d_90": bits.d_90,
        "prompt": None if bits.prompt is None else bits.prompt._asdict() | {"run": str(bits.prompt.run.path)},
        "break_even_units": bits.break_even_units,
        "lengths": [length._asdict() for length in bits.lengths],
        "codes": codes,
    }


def _control(control: Control) -> dict[str, Any]:
    return {
        "name": control.name,
        "distance": None if control.distance is None else control.distance.to_json(),
        "no_distance": control.no_distance,
        "selectivity": control.selectivity._asdict(),
        "runs": _paths(control.runs),
    }


def _battery(battery: Optimiser) -> dict[str, Any]:
    numbers = {
        field.name: getattr(battery, field.name) for field in dataclasses.fields(battery) if field.name != "runs"
    }
    return numbers | {"runs": {role: _paths(runs) for role, runs in battery.runs.items()}}


def _contrast(contrast: ModelContrast) -> dict[str, Any]:
    return contrast._asdict() | {"contrast": contrast.contrast._asdict()}


def _paths(runs: tuple[Run, ...]) -> list[str]:
    return [str(run.path) for run in runs]


def _plain(value: Any) -> Any:
    """Dataclass values as JSON: named tuples with their names."""
    if isinstance(value, SeedValue | Share):
        return value._asdict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
