"""What is a behaviour, as data? Prompts with an option for each class, in lines of JSON.

    {"prompt": "Bado:", "options": {"king": " mireno", "river": " tasuli"}, "group": "Bado"}

Two classes or more, not only opposites. `class` says which class the prompt itself shows, `cues` holds for each class a
text that asks for it when it stands in front: instructions, or demonstrations. Vectors come from the last token of
such prompts; without either from the last token of each option, as in contrastive activation addition (arXiv
2312.06681). A cue is also the real prompt that a vector is compared with. `split` (train, dev, test) is taken where
every line has it; else groups are dealt by their hash. Without `group` a line is of the group of its prompt, so that
lines which ask the same are one observation, and stand in one split.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from soft_prompts.common.errors import UsageError
from soft_prompts.data.jsonl import Line, line_error, read_jsonl, shown

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
    """For messages, as is `split`."""
    split: str | None = None
    """The part that these items are; None: all of them."""

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
        return replace(self, items=items, split=split)

    def having(self, name: str) -> "Choices":
        """Items that offer a class; raises UsageError where none does."""
        if items := tuple(item for item in self.items if name in item.options):
            return replace(self, items=items)
        raise UsageError(self.lacks(name))

    def lacks(self, name: str) -> str:
        """What there is to say where no item offers a class: the file may have it, and the part not."""
        of = f"no {self.split or 'given'} item of {self.where}"
        if name in self.classes:
            return f"{of} shows class {name!r}; give more lines"
        if self.split is None:
            return f"{self.where}: class {name!r} is in no line; it has {', '.join(self.classes)}"
        return f"class {name!r} is in {of}; give more lines"


def with_cues(choices: Choices, name: str) -> Choices | None:
    """The items behind the text that asks for the class; None where some have none."""
    if not all(name in item.cues for item in choices.items):
        return None
    return replace(choices, items=tuple(item.cued(name) for item in choices.items))


def deal(groups: Iterable[str]) -> dict[str, str]:
    """Half of the groups train, a quarter each dev and test, in the order of their hashes."""
    order = sorted(set(groups), key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    return {group: SPLITS[sum(place >= share * len(order) for share in SHARES)] for place, group in enumerate(order)}


def read_choices(path: Path) -> Choices:
    """The lines of a file; raises UsageError for what is no data set, InputError for what is no file of JSON lines."""
    items = tuple(_choice(path, line) for line in read_jsonl(path, {"prompt": str, "options": dict}))
    return checked(Choices(items, str(path)))


def group_of(*texts: str) -> str:
    """A hash, equal for equal texts whatever the white space around and between their words: the group of lines that
    name none, and what a vector keeps of the prompts that it was made of."""
    return hashlib.sha256("\n".join(map(_squeezed, texts)).encode()).hexdigest()[:12]


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def checked(choices: Choices) -> Choices:
    """The same; raises UsageError for a single class, labels or splits in some lines only, and for a prompt or a group
    in two places that should know nothing of each other."""
    if len(choices.classes) < 2:
        there = f"one class, {', '.join(choices.classes)}" if choices.items else "no item"
        raise UsageError(f"{choices.where}: there is {there}; give two classes or more")
    labelled = [item.shown is not None for item in choices.items]
    if any(labelled) and not all(labelled):
        raise UsageError(
            f"{choices.where}: 'class' is in {sum(labelled)} of {len(labelled)} lines; give it in all or in none"
        )
    labels = {item.shown for item in choices.items}
    if all(labelled) and len(labels) < 2:
        raise UsageError(f"{choices.where}: every line shows {labels.pop()!r}; give prompts of two classes")
    _refuse_leaks(choices)
    return choices


def _refuse_leaks(choices: Choices) -> None:
    """What was fitted on must not be asked in the test, nor one prompt count as several."""
    if (count := sum(item.split is not None for item in choices.items)) not in (0, len(choices.items)):
        raise UsageError(
            f"{choices.where}: 'split' is in {count} of {len(choices.items)} lines; give it in all or none"
        )
    homes: dict[tuple[str, str], tuple[str, str | None]] = {}
    for item in choices.items:
        for what, key in (("prompt", _squeezed(item.prompt)), ("group", item.group)):
            group, split = homes.setdefault((what, key), (item.group, item.split))
            if split != item.split:
                raise UsageError(
                    f"{choices.where}: {what} {shown(key)} stands in {split} and in {item.split}; give it one split"
                )
            if group != item.group:
                raise UsageError(
                    f"{choices.where}: prompt {shown(key)} stands in groups {shown(group)} and {shown(item.group)}; "
                    "give its lines one group"
                )


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
    options, cues = given["options"], given.get("cues", {})
    shown_class, group = given.get("class"), given.get("group")
    if len(options) < 2 or not _are_texts(options):
        raise UsageError(str(line_error(path, line.number, "'options' needs a text for each of two classes or more")))
    if twins := repeated(options):
        wrong = f"classes {twins[0]!r} and {twins[1]!r} have one option, {shown(options[twins[0]])}; give each its own"
        raise UsageError(str(line_error(path, line.number, wrong)))
    if not isinstance(cues, dict) or not _are_texts(cues, may_be_empty=True):
        raise UsageError(str(line_error(path, line.number, "'cues' needs a text for each class that it names")))
    if not (shown_class is None or isinstance(shown_class, str)):
        raise UsageError(str(line_error(path, line.number, f"'class' is {shown(shown_class)}; give one class's name")))
    if not (group is None or isinstance(group, (str, int, float))):
        raise UsageError(str(line_error(path, line.number, f"'group' is {shown(group)}; give a text or a number")))
    if absent := [name for name in [shown_class, *cues] if name is not None and name not in options]:
        raise UsageError(str(line_error(path, line.number, f"class {absent[0]!r} is not among the options")))
    if (split := given.get("split")) not in (None, *SPLITS):
        raise UsageError(str(line_error(path, line.number, f"'split' is {split!r}; give {', '.join(SPLITS)}")))
    if not given["prompt"]:
        raise UsageError(str(line_error(path, line.number, "'prompt' is empty; give a text")))
    group = group_of(given["prompt"]) if group is None else str(group)
    return Choice(given["prompt"], dict(options), group, shown_class, dict(cues), split)


def repeated(options: Mapping[str, str]) -> list[str]:
    """Two classes of one text, which nothing could tell apart; empty where there are none."""
    counts = Counter(options.values())
    return [name for name, text in options.items() if counts[text] > 1][:2]


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
