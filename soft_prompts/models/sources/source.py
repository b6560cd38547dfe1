"""What does a name of a model stand for?

| given as | what it is |
|---|---|
| `tiny-chess` | embedded in the package |
| `smollm2-135m` | installed by `soft-prompts models install` |
| `FOLDER`, `FOLDER:SUBFOLDER`, `owner/name[@revision][:subfolder]` | what transformers loads, here or from the hub |
| `FILE.gguf` | unpacked once (`gguf.py`) |
| `BASE+ADAPTER[+ADAPTER...]` | peft adapters, put onto the base in this order |
| `ADAPTER`, a folder with adapter_config.json | put onto the base that it names |
| `CARD.yaml`, or a name of the catalogue | a card (`card.py`) |
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soft_prompts.common.errors import InputError
from soft_prompts.models.sources.card import Card, is_card, read_card
from soft_prompts.models.sources.part import Part, find_part, one_revision

ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class Source:
    """Where the parts of a model are; nothing is fetched, unpacked or loaded yet."""

    name: str
    """As it was asked for."""
    base: Part
    adapters: tuple[Part, ...] = ()
    tokenizer: Part | None = None
    """From elsewhere."""
    card: Card | None = None
    named_by_adapter: bool = False
    """Was the adapter alone asked for, and its base is the one that it names?"""

    @property
    def identity(self) -> str:
        """Two sources of the same identity are the same model, as long as their files stay the same."""
        parts = [self.base, *self.adapters, *([self.tokenizer] if self.tokenizer else [])]
        named = "+".join(_place_in_full(part, part is not self.base) for part in parts)
        return named if self.card is None else f"{named} {json.dumps(self.card.facts, sort_keys=True)}"


def find_source(name: str, revision: str | None = None) -> Source:
    """What the name stands for, its base at a revision; raises InputError where it can stand for nothing."""
    if Path(name).is_dir():
        return _folder(name, revision)
    if is_card(name):
        return _of_card(name, revision)
    if "+" in name:
        base, *adapters = name.split("+")
        if not all((base, *adapters)):
            raise InputError(f"model {name!r} has an empty name before or behind a +; give BASE+ADAPTER")
        return Source(name, _base(name, base, revision), tuple(map(find_part, adapters)))
    part = find_part(name, revision)
    return _folder(name, revision) if _is_adapter(part) else Source(name, part)


def _of_card(name: str, revision: str | None) -> Source:
    card = read_card(name)
    base = _base(name, card.base, one_revision(f"card {name}", card.revision, revision))
    tokenizer = find_part(card.tokenizer) if card.tokenizer else None
    return Source(name, base, tuple(map(find_part, card.adapters)), tokenizer, card)


def _folder(name: str, revision: str | None) -> Source:
    part = find_part(name, revision)
    if not _is_adapter(part):
        return Source(name, part)
    settings = read_adapter(Path(part.place))
    named, pinned = settings.get("base_model_name_or_path"), settings.get("revision")  # of the base, as peft has it
    if not named:
        raise InputError(f"model {name!r} is an adapter that names no base; give the two as BASE+{name}")
    try:
        base = _base(name, named, None)
        base = base if base.is_local or not isinstance(pinned, str) else _base(name, named, pinned)
        return Source(name, base, (part,), named_by_adapter=True)
    except InputError as error:
        raise InputError(
            f"model {name!r} is an adapter of {named!r}, which is no base on this machine; give the two as BASE+{name}"
        ) from error


def _place_in_full(part: Part, with_revision: bool) -> str:
    """A base's own revision stands beside the identity already."""
    at = f"@{part.revision}" if with_revision and part.revision else ""
    return ":".join(filter(None, (f"{part.place}{at}", part.subfolder)))


def _base(name: str, base: str, revision: str | None) -> Part:
    part = find_part(base, revision)
    if _is_adapter(part):
        raise InputError(f"model {name!r}: its base {base!r} is an adapter; give a whole model in front of adapters")
    return part


def read_adapter(folder: Path) -> dict[str, Any]:
    """The adapter_config.json of a folder; raises InputError."""
    try:
        values: Any = json.loads((folder / ADAPTER).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / ADAPTER} is unusable: it is no JSON") from error
    if not isinstance(values, dict):
        raise InputError(f"{folder / ADAPTER} is unusable: it is no JSON object")
    named = values.get("base_model_name_or_path")
    if not isinstance(named, str | None):
        raise InputError(f"{folder / ADAPTER} is unusable: base_model_name_or_path is {named!r}, and no name")
    return values


def _is_adapter(part: Part) -> bool:
    """A folder with an adapter and no model; a model with an adapter beside its weights is a model."""
    folder = Path(part.place)
    return folder.is_dir() and (folder / ADAPTER).is_file() and not (folder / "config.json").is_file()
