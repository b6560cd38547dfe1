"""What is a behaviour, as data? Prompts with an option for each class, in lines of JSON.

    {"prompt": "Bado:", "options": {"king": " mireno", "river": " tasuli"}, "group": "Bado"}

Two classes or more, not only opposites. `class` says which class the prompt itself shows, `cues` holds for each class a
text that asks for it when it stands in front: instructions, or demonstrations. Vectors come from the last token of
such prompts; without either from the last token of each option, as in contrastive activation addition (arXiv
2312.06681). A cue is also the real prompt that a vector is compared with. `split` (train, dev, test) is taken where
every line has it; else groups are dealt by their hash.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from soft_prompts.common.errors import UsageError
from soft_prompts.data.jsonl import Line, line_error, read_jsonl

LEAST_PROMPTS = 8  # of a class: fewer say more of themselves than of it
SPLITS = ("train", "dev", "test")
SHARES = (0.5, 0.75)  # of the groups are train, and train or dev
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Choice:
    """One prompt and what may be said behind it."""

    prompt: str
    options: dict[str, str]
    """Class -> text."""
    group: str
    """Items of one group are not independent, and stand in one split."""
    shown: str | None = None
    """The class that the prompt itself shows."""
    cues: dict[str, str] = field(default_factory=dict)
    """Class -> text that asks for it, in front of the prompt."""
    split: str | None = None

    def cued(self, name: str) -> "Choice":
        """The same behind the text that asks for a class."""
        return replace(self, prompt=self.cues[name] + self.prompt, shown=name)


@dataclass(frozen=True)
class Choices:
    """A data set."""

    items: tuple[Choice, ...]
    where: str = "choices"
    """For messages."""

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order that they are met."""
        return tuple(dict.fromkeys(name for item in self.items for name in item.options))

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(item.group for item in self.items)

    def part(self, split: str) -> "Choices":
        """Items of train, dev or test; raises UsageError where there is none."""
        dealt = {} if all(item.split for item in self.items) else deal(self.groups)
        items = tuple(item for item in self.items if (dealt.get(item.group) or item.split) == split)
        if not items:
            raise UsageError(f"{self.where}: no group is left for {split}; give more groups")
        return replace(self, items=items)

    def having(self, name: str) -> "Choices":
        """Items that offer a class; raises UsageError where none does."""
        if items := tuple(item for item in self.items if name in item.options):
            return replace(self, items=items)
        raise UsageError(f"{self.where}: class {name!r} is in no line; it has {', '.join(self.classes)}")


def deal(groups: Iterable[str]) -> dict[str, str]:
    """Half of the groups train, a quarter each dev and test, in the order of their hashes."""
    order = sorted(set(groups), key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    return {group: SPLITS[sum(place >= share * len(order) for share in SHARES)] for place, group in enumerate(order)}


def read_choices(path: Path) -> Choices:
    """The lines of a file; raises UsageError for what is no data set, InputError for what is no file of JSON lines."""
    items = tuple(_choice(path, line) for line in read_jsonl(path, {"prompt": str, "options": dict}))
    return checked(Choices(items, str(path)))


def checked(choices: Choices) -> Choices:
    """The same; raises UsageError for a single class, or labels in some lines only."""
    if len(choices.classes) < 2:
        raise UsageError(f"{choices.where}: there is one class, {', '.join(choices.classes)}; give two or more")
    shown = [item.shown is not None for item in choices.items]
    if any(shown) and not all(shown):
        raise UsageError(
            f"{choices.where}: 'class' is in {sum(shown)} of {len(shown)} lines; give it in all or in none"
        )
    labels = {item.shown for item in choices.items}
    if all(shown) and len(labels) < 2:
        raise UsageError(f"{choices.where}: every line shows {labels.pop()!r}; give prompts of two classes")
    return choices


def refuse_few(choices: Choices, names: Sequence[str]) -> None:
    """Raises UsageError where a class that a vector is to be made of has too few prompts."""
    if missing := [name for name in names if name not in choices.classes]:
        raise UsageError(f"{choices.where}: class {missing[0]!r} is missing; it has {', '.join(choices.classes)}")
    if choices.items[0].shown is None:
        counts = Counter(name for item in choices.items for name in item.options)
    else:
        counts = Counter(item.shown for item in choices.items)
    for name in names:
        if counts[name] < LEAST_PROMPTS:
            raise UsageError(
                f"{choices.where}: class {name!r} has {counts[name]} prompts; give {LEAST_PROMPTS} or more"
            )


def _choice(path: Path, line: Line) -> Choice:
    given = line.fields
    options, cues, shown = given["options"], given.get("cues", {}), given.get("class")
    if len(options) < 2 or not _are_texts(options):
        raise UsageError(str(line_error(path, line.number, "'options' needs a text for each of two classes or more")))
    if not isinstance(cues, dict) or not _are_texts(cues, may_be_empty=True):
        raise UsageError(str(line_error(path, line.number, "'cues' needs a text for each class that it names")))
    if absent := [name for name in [shown, *cues] if name is not None and name not in options]:
        raise UsageError(str(line_error(path, line.number, f"class {absent[0]!r} is not among the options")))
    if (split := given.get("split")) not in (None, *SPLITS):
        raise UsageError(str(line_error(path, line.number, f"'split' is {split!r}; give {', '.join(SPLITS)}")))
    if not given["prompt"]:
        raise UsageError(str(line_error(path, line.number, "'prompt' is empty; give a text")))
    group = str(given.get("group", line.number))
    return Choice(given["prompt"], dict(options), group, shown, dict(cues), split)


def _are_texts(texts: dict[Any, Any], may_be_empty: bool = False) -> bool:
    return all(
        isinstance(name, str) and isinstance(text, str) and (text or may_be_empty) for name, text in texts.items()
    )


def as_line(item: Choice) -> dict[str, Any]:
    """As `read_choices` reads it."""
    line: dict[str, Any] = {"prompt": item.prompt, "options": item.options, "group": item.group}
    known = {"class": item.shown, "cues": item.cues or None, "split": item.split}
    return line | {name: value for name, value in known.items() if value is not None}


def lettered(item: Choice, seed: int) -> Choice:
    """The options as a list of letters in an order drawn anew, and the letter of each class as its option."""
    names = list(item.options)
    Random(f"{seed} {item.group} {item.prompt}").shuffle(names)
    listed = "".join(f"\n{letter}.{_spaced(item.options[name])}" for letter, name in zip(LETTERS, names, strict=False))
    letters = {name: f" {letter}" for letter, name in zip(LETTERS, names, strict=False)}
    return replace(
        item, prompt=f"{item.prompt}{listed}\nAnswer:", options={name: letters[name] for name in item.options}
    )


def _spaced(text: str) -> str:
    return text if text[:1].isspace() else f" {text}"
