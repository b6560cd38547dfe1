"""What was found out about activations and vectors, as a file? A header that every finding has, and its figures.

The schema is finding.schema.json beside this file (JSON Schema 2020-12); a finding is checked against it when it is
written and when it is read.
"""

import functools
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import write_atomically
from soft_prompts.results.views import results_on_disk

FINDING = ".steering.json"  # how names of files end
Kind = Literal["fit", "eval", "activations", "tokens", "items", "concepts", "experiment"]
SCHEMA_VERSION = 1
DIGITS = 6  # of a figure


@dataclass(frozen=True)
class Finding:
    """One command's answer."""

    kind: Kind
    model: str
    data: str
    n: int
    """Items that it speaks about."""
    seed: int
    figures: dict[str, Any]
    """As finding.schema.json says for the kind."""
    fingerprint: str | None = None
    """Of the model."""
    versions: dict[str, str] = field(default_factory=dict)
    command: str | None = None
    says: tuple[str, ...] = ()
    """The same in sentences."""
    path: Path | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Raises ValueError for what is no finding."""
        values = {name: value for name, value in asdict(self).items() if name != "path"}
        found = plain({"finding": SCHEMA_VERSION, **values})
        _check(found)
        return found


def write_finding(path: Path, finding: Finding) -> None:
    """Whole or not at all."""
    text = json.dumps(finding.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def read_finding(path: Path) -> Finding:
    """Raises InputError in one line for what is no whole finding."""
    try:
        values = json.loads(path.read_bytes())
        _check(values)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: no finding of this version: {' '.join(str(error).split())[:200]}; make it again"
        ) from error
    fields = {name: value for name, value in values.items() if name != "finding"}
    return Finding(**fields | {"says": tuple(fields["says"]), "path": path})


def find_findings(paths: Iterable[Path]) -> list[Finding]:
    """All findings in files and folders, in order of path; `reference` folders below a named one are passed over."""
    found: dict[Path, None] = {}
    for named in map(results_on_disk, paths):
        if named.is_file() and named.name.endswith(FINDING):
            found[named] = None
        for folder, folders, files in os.walk(named):
            folders[:] = sorted(name for name in folders if name != "reference" and not name.startswith("."))
            found |= dict.fromkeys(Path(folder, name) for name in sorted(files) if name.endswith(FINDING))
    return [read_finding(path) for path in found]


def plain(value: Any) -> Any:
    """As JSON holds it: figures to six digits, null for what is no number."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


@functools.cache
def _validator() -> Draft202012Validator:
    text = resources.files("soft_prompts.results").joinpath("finding.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def _check(values: Any) -> None:
    error = best_match(_validator().iter_errors(values))
    if error is not None:
        raise ValueError(f"{'.'.join(map(str, error.absolute_path)) or 'the finding'}: {error.message}")
