"""What belongs to the result of one run? The result JSON, schema version 1, as dataclasses.

The schema itself is result.schema.json beside this file (JSON Schema 2020-12); every result is checked against it when
it is written and when it is read. Nothing here needs torch, so that tables and figures start fast.
"""

import dataclasses
import functools
import html
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend

SCHEMA_VERSION = 1


# left out of the JSON where they are None
OPTIONAL_FIELDS = (
    *("probes", "rejected", "skipped_steps", "micro_batch_size"),
    *("threads", "training_seconds", "measuring_seconds", "ended_early", "determined", "from_bare"),
    *("outcome", "command", "quantisation", "context_length", "card"),
)


class Metric(NamedTuple):
    """A number with what it takes to trust it, or no number and why."""

    value: float | None
    stderr: float | None = None
    n: int = 0
    unit: str = ""
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A value that is no finite number becomes null with a reason."""
        if self.value is None or not math.isfinite(self.value):
            missing = "not measured" if self.value is None else f"the value is {self.value}"
            return {"value": None, "reason": self.reason or missing} | ({"unit": self.unit} if self.unit else {})
        stderr = None if self.stderr is None or not math.isfinite(self.stderr) else float(self.stderr)
        return {"value": float(self.value), "stderr": stderr, "n": self.n, "unit": self.unit}


class Generation(NamedTuple):
    prompt: str
    condition: dict[str, Any] | str | None
    text: str
    reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    name: str
    revision: str | None
    architecture: str | None
    parameters: int | None
    fingerprint: str | None
    dtype: str | None
    probes: dict[str, str] | None = None
    quantisation: str | None = None
    context_length: int | None = None
    card: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class PromptSection:
    kind: str | None
    tokens: int
    parameters: int | None
    position: str | None
    conditions: tuple[str, ...]
    condition_mode: str | None


@dataclass(frozen=True, kw_only=True)
class DataSection:
    name: str
    train: str | None
    test: str | None
    fingerprint: str | None
    items_fingerprint: str | None
    train_samples: int | None
    test_samples: int | None
    rejected: dict[str, int] | None = None
    determined: bool | None = None
    """Does every test item have one right answer, so that 1 is the best outcome? None: the task has no outcome."""
    from_bare: bool | None = None
    """Does the bare model know the task, so that a prompt's share is of what it still lacks? None: no."""


@dataclass(frozen=True, kw_only=True)
class TrainingSection:
    steps: int
    best_step: int | None
    batch_size: int
    learning_rate: float
    weight_decay: float
    schedule: str
    seed: int
    target_tokens: int
    skipped_steps: int | None = None
    micro_batch_size: int | None = None
    ended_early: str | None = None


@dataclass(frozen=True, kw_only=True)
class TimingSection:
    wall_seconds: float | None
    target_tokens_per_second: float | None
    data_wait_share: float | None
    training_seconds: float | None = None
    """Of all sittings; wall_seconds holds them and the rest of the last one: loading, opening, measuring. Of runs that
    were trained together each has its share."""
    measuring_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class EnvironmentSection:
    package_version: str
    commit: str | None
    dirty: bool | None
    python: str
    torch: str | None
    transformers: str | None
    device: str
    platform: str
    started: str
    finished: str | None
    threads: int | None = None
    command: str | None = None
    """The command line that made it; None: made from Python."""


SECTIONS = {
    "model": ModelSection,
    "prompt": PromptSection,
    "data": DataSection,
    "training": TrainingSection,
    "timing": TimingSection,
    "environment": EnvironmentSection,
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Result:
    """One run, in the order of its JSON. A field means what result.schema.json says of it."""

    status: str
    reason: str | None = None
    role: str = "run"
    experiment: str
    variant: str | None = None
    model: ModelSection
    prompt: PromptSection
    data: DataSection
    training: TrainingSection
    timing: TimingSection
    headline: str
    outcome: str | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    generations: tuple[Generation, ...] = ()
    items: str | None = None
    environment: EnvironmentSection
    config: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = field(default=None, compare=False)
    """The file that it was read from; no part of its JSON."""

    def __fspath__(self) -> str:
        """A result that was read stands for its file."""
        if self.path is None:
            raise ValueError("this result was not read from a file; give one of read_results, or a path")
        return str(self.path)

    def __repr__(self) -> str:
        shown = dict(self.facts())
        what = " ".join(shown.pop(name) for name in ("experiment", "model", "prompt"))
        return f"<Result {what}: {', '.join(f'{name} {value}' for name, value in shown.items())}>"

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in self.facts()
        )
        return f"<table>{rows}</table>"

    def facts(self) -> list[tuple[str, str]]:
        """What a person wants to know first: experiment, model, prompt, headline, and where it is."""
        tokens = "1 token" if self.prompt.tokens == 1 else f"{self.prompt.tokens} tokens"
        prompt = f"{self.prompt.kind} {tokens} seed {self.training.seed}" if self.prompt.kind else "bare"
        metric = self.metrics.get(self.headline, Metric(None, reason=self.reason))
        value = f"{self.status}: {metric.reason}"
        if metric.value is not None:
            error = "" if metric.stderr is None else f" ± {metric.stderr:.2g}"
            value = f"{metric.value:.5g}{error} {metric.unit}"
        return [
            ("experiment", " ".join(filter(None, (self.experiment, self.variant)))),
            ("model", self.model.name),
            ("prompt", prompt),
            *([] if self.role == "run" else [("role", self.role)]),
            (self.headline, value),
            *([] if self.path is None else [("file", str(self.path))]),
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; raises ValueError where they do not fit the schema."""
        values: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
        for name, value in ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self) if f.name != "path"):
            if value is not None or name not in OPTIONAL_FIELDS:
                values[name] = _section_json(value) if name in SECTIONS else value
        values["metrics"] = {name: metric.to_json() for name, metric in self.metrics.items()}
        values["generations"] = [generation._asdict() for generation in self.generations]
        plain = json.loads(json.dumps(_finite(values), default=_plain_value, allow_nan=False))
        _check(plain)
        return plain

    @classmethod
    def from_json(cls, values: Any, checked: bool = False) -> "Result":
        """Raises ValueError where `values` is not a result of this version, unless that was `checked` before."""
        if not checked:
            _check(values)
        fields = {name: value for name, value in values.items() if name != "schema_version"}
        fields["prompt"] = {**values["prompt"], "conditions": tuple(values["prompt"]["conditions"])}
        fields |= {name: section(**fields[name]) for name, section in SECTIONS.items()}
        fields["metrics"] = {name: Metric(**metric) for name, metric in values["metrics"].items()}
        fields["generations"] = tuple(Generation(**generation) for generation in values["generations"])
        return cls(**fields)


@functools.cache
def _validator() -> Validator:
    schema = json.loads(resources.files("soft_prompts.results").joinpath("result.schema.json").read_text("utf-8"))
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)  # JSON Schema alone takes 4.0 for one
    return extend(Draft202012Validator, type_checker=types)(schema)


def _is_integer(_: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(values: Any) -> None:
    """Raise ValueError, with the field and what is wrong, unless `values` are a result of this version."""
    if not isinstance(values, dict) or "schema_version" not in values:
        raise ValueError("not a result of this package: it has no schema_version")
    if values["schema_version"] != SCHEMA_VERSION:
        version = one_line(values["schema_version"])
        raise ValueError(f"schema_version is {version}; this version of the package reads {SCHEMA_VERSION}")
    error = best_match(_validator().iter_errors(values))
    if error is not None:
        field_name = ".".join(map(str, error.absolute_path)) or "the result"
        raise ValueError(f"{field_name}: {one_line(error.message)}")
    if values["status"] == "success" and values["headline"] not in values["metrics"]:
        raise ValueError(f"headline is {values['headline']}, which is not among the metrics")


def _section_json(section: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in dataclasses.asdict(section).items()
        if value is not None or name not in OPTIONAL_FIELDS
    }


def _finite(value: Any) -> Any:
    """The same values with null for every float that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain_value(value: object) -> Any:
    if isinstance(value, np.generic):
        return _finite(value.item())
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")


def finite_float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else refuse_number(text)


def refuse_number(text: str) -> float:
    raise ValueError(f"holds {text[:20]}, which is no finite number")


def one_line(message: object) -> str:
    text = " ".join(str(message).split())
    return text if len(text) <= 200 else f"{text[:160]} ... {text[-30:]}"
