"""What did one part of a comparison find? A number, what it is held against, and a word.

The JSON is checked against comparison.schema.json (JSON Schema 2020-12) when it is written and when it is read.
"""

import functools
import json
import math
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import write_atomically

SCHEMA_VERSION = 1
Verdict = Literal["changed", "not shown", "untested", "identical", "described"]
COMPARISON = "comparison.json"  # in a folder of behaviour's


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One part's answer."""

    part: str
    verdict: Verdict
    """changed: beyond the controls and beyond chance; untested: no number that could say so; described: a part that
    gives no verdict; identical: the target is the base."""
    sentence: str
    """The answer for a person."""
    value: float | None = None
    """Excess of the target over the mean of the controls."""
    unit: str = ""
    stderr: float | None = None
    n: int = 0
    """Documents, prompts or contexts."""
    control_mean: float | None = None
    control_sd: float | None = None
    controls: int = 0
    p: float | None = None
    """One-sided; None where its conditions are not met."""
    smallest_p: float | None = None
    """The smallest that this test could have given; of a rank among m placebos 1/(m+1)."""
    adjusted_p: float | None = None
    """Over all parts of the comparison, after Holm."""
    warnings: tuple[str, ...] = ()
    examples: list[dict[str, Any]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    """What figures and tables are made of; see the schema."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return plain(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All parts, and what they were asked of."""

    base: dict[str, str]
    """Name and fingerprint."""
    target: dict[str, str]
    controls: tuple[dict[str, str], ...]
    settings: dict[str, Any]
    seed: int
    versions: dict[str, str]
    findings: tuple[Finding, ...]
    sentence: str
    """One line over all parts."""

    def to_json(self) -> dict[str, Any]:
        """As the schema wants it."""
        found = {name: value for name, value in asdict(self).items() if name != "findings"}
        parts = [finding.to_json() for finding in self.findings]
        return {"schema_version": SCHEMA_VERSION, **plain(found), "parts": parts}

    def finding(self, part: str) -> Finding | None:
        """That of one part."""
        return next((one for one in self.findings if one.part == part), None)


def plain(value: Any) -> Any:
    """Numbers that are none become null: JSON has no word for them."""
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def write_comparison(path: Path, comparison: Comparison) -> None:
    """The whole file or none; the same comparison gives the same bytes."""
    content = comparison.to_json()
    refuse_other(content, path)
    write_atomically(path, (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_comparison(path: Path) -> Comparison:
    """What `write_comparison` wrote, by its file or the folder that holds it; raises InputError for anything else."""
    path = path / COMPARISON if path.is_dir() else path
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}; give a comparison's JSON file") from error
    refuse_other(content, path)
    parts = [Finding(**(one | {"warnings": tuple(one["warnings"])})) for one in content.pop("parts")]
    content.pop("schema_version")
    content["controls"] = tuple(content["controls"])
    return Comparison(**content, findings=tuple(parts))


def refuse_other(content: Any, path: Path) -> None:
    """Raises InputError where the content is no comparison."""
    if error := best_match(_validator().iter_errors(content)):
        raise InputError(f"{path} is no comparison: {error.json_path}: {error.message.splitlines()[0]}")


@functools.cache
def _validator() -> Validator:
    schema = resources.files("soft_prompts.behaviour.comparison").joinpath("comparison.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(schema))
