"""How does a prompt that PEFT trained become one of ours? Its rows are a direct prompt of the model that it names."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch

from soft_prompts.common.errors import InputError
from soft_prompts.data.conditions import NO_CONDITIONS
from soft_prompts.exchange.export import FACTS, base_of, digest
from soft_prompts.exchange.peft_adapter import Adapter, read_adapter
from soft_prompts.exchange.places import HOLDS
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.sources.source import find_source
from soft_prompts.models.tokenizer import encode, text_start
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.prompts.kinds import UNCONDITIONAL
from soft_prompts.prompts.snapshot import POSITIONS, Snapshot, load_snapshot, save_snapshot
from soft_prompts.zoo import EMBEDDED

IMPORTED = Path("snapshots", "imported")


class Imported(NamedTuple):
    """What came in."""

    folder: Path
    snapshot: Snapshot
    remarks: list[str]
    """What whoever measures it has to know, a line each."""


def import_prompt(folder: str | Path, into: str | Path | None = None, model: str | None = None) -> Imported:
    """A PEFT adapter as a snapshot, below snapshots/imported/ unless `into` says where; `model` in place of the base
    model that the adapter names. Raises InputError in one line."""
    folder = Path(folder)
    adapter = read_adapter(folder)
    name = model or base_name(folder, adapter)
    frozen = load_frozen_model(name, revision=None if model else adapter.revision)
    return import_loaded(folder, frozen, Path(into) if into else default_place(folder))


def default_place(folder: Path) -> Path:
    """Where an imported prompt goes if nothing is said."""
    return IMPORTED / folder.resolve().name


def base_name(folder: Path, adapter: Adapter) -> str:
    """The adapter's own base, by our name where it is embedded or our export tells it; raises InputError where it names
    none."""
    if adapter.base is None:
        raise InputError(f"{folder} names no base model; give it as --model NAME")
    facts = _facts(folder)
    if facts.get("base") == adapter.base and is_known(str(facts.get("model"))):
        return facts["model"]
    known = {str(Path(path).resolve()): name for name, path in EMBEDDED.items()}
    is_path = adapter.base.startswith((".", "/", "~")) or adapter.base.count("/") > 1
    if is_path and not Path(adapter.base).is_dir():
        raise InputError(f"{folder}: its base model {adapter.base} is not on this machine; give --model NAME")
    return known.get(str(Path(adapter.base).resolve()), adapter.base)


def is_known(name: str) -> bool:
    """Does the name stand for something that is on this machine?"""
    try:
        source = find_source(name)
    except InputError:
        return False
    return all(part.is_local for part in (source.base, *source.adapters))


def import_loaded(folder: Path, frozen: FrozenModel, into: Path) -> Imported:
    """The same for a model that is loaded."""
    adapter, facts = read_adapter(folder), _facts(folder)
    begin = facts.get("begin_tokens", 0)
    rows, width = adapter.rows[begin:], frozen.hidden_size
    if adapter.rows.shape[1] != width:
        raise InputError(
            f"{folder} is {adapter.rows.shape[1]} wide, {frozen.name} is {width}; give --model with the model that it "
            f"was trained on, {adapter.base}"
        )
    prompt = DirectPrompt(shape := PromptShape(len(rows), width, 0))
    with torch.no_grad():
        prompt.matrix.copy_(rows)
    snapshot = Snapshot(
        prompt=prompt,
        kind=UNCONDITIONAL,
        shape=shape,
        conditions=NO_CONDITIONS,
        model=frozen.name,
        revision=frozen.revision,
        fingerprint=frozen.fingerprint,
        step=facts.get("step", 0),
        position=facts.get("position", "first" if text_start(frozen.tokenizer, "a") else "front"),
    )
    _refuse_another(into, snapshot)
    save_snapshot(into, snapshot)
    return Imported(into, snapshot, _remarks(adapter, frozen, facts))


def _refuse_another(into: Path, snapshot: Snapshot) -> None:
    """The same import again is none."""
    if not (into / HOLDS).exists():
        return
    there = load_snapshot(into)
    same = there.kind == snapshot.kind and there.shape == snapshot.shape and there.fingerprint == snapshot.fingerprint
    if not same or not torch.equal(there.prompt.rows, snapshot.prompt.rows):
        raise InputError(f"{into} holds another prompt; give another folder with --into")


def _facts(folder: Path) -> dict[str, Any]:
    """What our own export left beside the adapter; nothing beside PEFT's."""
    path = folder / FACTS
    if not path.is_file():
        return {}
    try:
        facts: Any = json.loads(path.read_bytes())
        rows = read_adapter(folder).rows
        known = 0 <= facts["begin_tokens"] < len(rows) and facts["position"] in POSITIONS
        if not known or not isinstance(facts["step"], int) or facts["rows_sha256"] != digest(rows):
            raise ValueError
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} speaks of other rows than the adapter's: it was changed since; remove {FACTS} to import it as "
            "PEFT's own"
        ) from error
    return facts


def _remarks(adapter: Adapter, frozen: FrozenModel, facts: dict[str, Any]) -> list[str]:
    remarks = []
    if adapter.dtype != "float32":
        remarks.append(f"its rows are {adapter.dtype}; they are kept in float32, to the same values")
    is_told = facts.get("base") == adapter.base and facts.get("model") == frozen.name
    if not is_told and adapter.base not in (None, frozen.name, base_of(frozen)):
        remarks.append(f"the adapter names {adapter.base} as its base; it is imported for {frozen.name}, as asked")
    begin = encode(frozen.tokenizer, "a")
    if begin.start and not facts:
        token = frozen.tokenizer.decode(begin.ids[: begin.start])
        remarks.append(
            f"the tokenizer puts {token} in front of a text, and PEFT its prompt before that: so it is measured here, "
            "while prompts of ours stand behind it"
        )
    return remarks
