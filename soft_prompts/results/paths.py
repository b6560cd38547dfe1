"""Where does a run's output go? One path a run, the same under runs/, results/ and snapshots/.

`<experiment>[-<variant>]/<data>/<model>/<prompt>-<P>t-s<seed>-<h>`, each part a safe slug: whatever a model or a file
is called, its path stays inside the output folder, and two names never share one.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Literal

SLUG_LENGTH = 80  # the longest file name on common systems is 255 bytes; the leaf carries suffixes
RESERVED = {"reference"}  # a folder of this name counts in `compare` only when it is named itself

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_HUB_ID = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9.-]*)/([A-Za-z0-9][A-Za-z0-9._-]*)"
)  # no _ in the owner: the first _ is the /
_HOLDS_A_HASH = re.compile(r"(^|-)[0-9a-f]{12}(-|$)")  # a plain name that could pass for a hashed one


def slug(text: str) -> str:
    """`text` itself where it is a safe file name, else a readable remainder of it and a hash of the whole."""
    if _is_plain(text):
        return text
    return _hashed(text)


def model_slug(name: str) -> str:
    """An embedded name stays as it is, `owner/name` of a hub `owner_name`, a folder its last name and a hash."""
    hub_id = _HUB_ID.fullmatch(name)
    if hub_id and _is_plain(readable := "_".join(hub_id.groups())):
        return readable
    return slug(name) if "_" not in name else _hashed(name)  # `owner_name` itself must not meet `owner/name`


def run_path(
    experiment: str,
    variant: str | None,
    data: str,
    model: str,
    prompt_kind: str | None,
    tokens: int,
    seed: int,
    settings: Mapping[str, Any],
) -> PurePosixPath:
    """The run's relative path; `settings` are all the others that change the numbers, told apart by a short hash.

    The bare model (0 tokens) has no prompt kind: give None.
    """
    # A hyphen divides experiment from variant, so it may not stand in an experiment's own name.
    first = slug(experiment) if "-" not in experiment else _hashed(experiment)
    if variant is not None:
        first += f"-{slug(variant)}"
    kind = "bare" if prompt_kind is None else slug(prompt_kind)
    return PurePosixPath(first, slug(data), model_slug(model), f"{kind}-{tokens}t-s{seed}-{settings_hash(settings)}")


def result_path(output_dir: Path, folder: Literal["runs", "results", "snapshots"], run: PurePosixPath) -> Path:
    """The run's own folder under runs/ or snapshots/, its JSON file under results/."""
    path = output_dir / folder / run
    return path.with_name(f"{path.name}.json") if folder == "results" else path


def settings_hash(settings: Mapping[str, Any]) -> str:
    """8 hexadecimal digits; equal for equal settings in any order."""
    canonical = json.dumps(settings, sort_keys=True, separators=(",", ":"), default=_path_text)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def _is_plain(text: str) -> bool:
    is_safe = _SAFE.fullmatch(text) is not None and len(text) <= SLUG_LENGTH
    return is_safe and text not in RESERVED and _HOLDS_A_HASH.search(text) is None


def _hashed(text: str) -> str:
    last = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", last).strip("._-")[: SLUG_LENGTH - 20] or "unnamed"
    return f"{readable}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _path_text(value: object) -> str:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a setting of type {type(value).__name__} has no JSON form; give numbers, text, lists or maps")
