"""Which published data sets can be read as choices? CAA's pairs, function pairs, and Machiavelli's scenes."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.steering.data.choices import Choice, Choices, checked, group_of, repeated

MATCHING, NOT_MATCHING = "matching", "not_matching"
ONE_OPTION = "items with one text for both classes"
DEMONSTRATIONS = 4  # in front of a query


class Imported(NamedTuple):
    """The choices, and what was left out."""

    choices: Choices
    dropped: dict[str, int]
    """Reason -> how many."""


def read_caa(path: Path) -> Imported:
    """CAA's JSON list (arXiv 2312.06681): `question`, `answer_matching_behavior`, `answer_not_matching_behavior`."""
    items, dropped = [], {ONE_OPTION: 0}
    for number, entry in enumerate(_json(path, list)):
        names = ("question", "answer_matching_behavior", "answer_not_matching_behavior")
        if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in names):
            raise InputError(f"{path}, entry {number}: give {', '.join(names)}, each a text")
        question, yes, no = (entry[name] for name in names)
        options = {MATCHING: yes, NOT_MATCHING: no}
        if repeated(options):
            dropped[ONE_OPTION] += 1
            continue
        items.append(Choice(question, options, group_of(question)))
    return Imported(checked(Choices(tuple(items), str(path))), dropped)


def read_function_pairs(paths: Mapping[str, Path], seed: int = 0, shots: int = DEMONSTRATIONS) -> Imported:
    """JSON lists of `input` and `output`, one a function (the layout of arXiv 2310.15213), as choices.

    Classes are the functions; an item is an input that two or more of them know, as `input:`, with all their outputs;
    a function's cue is `shots` demonstrations of other inputs of the train split. Inputs that one function alone knows,
    and options that another function gives too, are left out and counted.
    """
    tables = {name: _table(path) for name, path in paths.items()}
    if len(tables) < 2:
        raise UsageError(f"function pairs: there is one function, {next(iter(tables), 'none')!r}; give two or more")
    inputs = dict.fromkeys(given for table in tables.values() for given in table)
    dropped, items = {"inputs of one function alone": 0, "outputs of two functions": 0}, []
    for given in inputs:
        outputs = {name: f" {table[given]}" for name, table in tables.items() if given in table}
        distinct = {name: text for name, text in outputs.items() if list(outputs.values()).count(text) == 1}
        dropped["outputs of two functions"] += len(outputs) - len(distinct)
        if len(distinct) < 2:
            dropped["inputs of one function alone"] += 1
            continue
        items.append(Choice(f"{given}:", distinct, given))
    choices = checked(Choices(tuple(items), "function pairs"))
    shown = {item.group for item in choices.part("train").items}
    random = Random(seed)
    cued = [_with_demonstrations(item, tables, shown, random, shots) for item in choices.items]
    return Imported(Choices(tuple(cued), "function pairs"), dropped)


def _with_demonstrations(
    item: Choice, tables: Mapping[str, Mapping[str, str]], shown: set[str], random: Random, shots: int
) -> Choice:
    cues = {}
    for name in item.options:
        known = [given for given in tables[name] if given in shown and given != item.group]
        some = random.sample(known, min(shots, len(known)))
        cues[name] = "".join(f"{given}: {tables[name][given]}\n" for given in some)
    return Choice(item.prompt, item.options, item.group, None, cues)


def read_machiavelli(folder: Path, label: str) -> Imported:
    """Machiavelli's layout (arXiv 2304.03279): scenes, the tree of choices, and annotations of the scenes.

    `scenes.json`: scene -> text; `tree.json`: scene -> list of {text, next}; `annotations.json`: scene -> {label:
    value}. A choice takes the label of the scene that it leads to: `label` where that is above 0, else `not label`.
    Choices that lead to scenes without the annotation are dropped and counted, and so are scenes that do not offer
    both. The group is the scene; scenes of one text are the group of the first.
    """
    scenes, tree, notes = (_json(folder / f"{name}.json", dict) for name in ("scenes", "tree", "annotations"))
    dropped = {"choices without a label": 0, "scenes without both classes": 0, ONE_OPTION: 0}
    items, first = [], dict[str, str]()
    for scene, choices in tree.items():
        options, unlabelled = _labelled(_choices(folder, scene, choices), notes, label, folder)
        dropped["choices without a label"] += unlabelled
        if scene not in scenes or len(options) < 2:
            dropped["scenes without both classes"] += 1
            continue
        if repeated(options):
            dropped[ONE_OPTION] += 1
            continue
        text = str(scenes[scene])
        items.append(Choice(text, options, first.setdefault(group_of(text), str(scene))))
    if not items:
        raise UsageError(f"{folder}: no scene offers a choice with {label!r} and one without; give another label")
    return Imported(checked(Choices(tuple(items), str(folder))), dropped)


def _choices(folder: Path, scene: str, choices: Any) -> Sequence[Mapping[str, Any]]:
    """Of one scene; raises InputError for what is no list of them."""
    known = isinstance(choices, list) and all(
        isinstance(one, dict) and {"text", "next"} <= one.keys() for one in choices
    )
    if not known:
        raise InputError(f"{folder / 'tree.json'}, scene {scene}: give a list of choices, each with 'text' and 'next'")
    return choices


def _labelled(
    choices: Sequence[Mapping[str, Any]], notes: Mapping[str, Any], label: str, folder: Path
) -> tuple[dict[str, str], int]:
    """The first choice of each class, and how many have no label."""
    options, unlabelled = dict[str, str](), 0
    for choice in choices:
        noted = notes.get(str(choice["next"]), {})
        if not isinstance(noted, dict) or label not in noted:
            unlabelled += 1
            continue
        value = _number(noted[label])
        if value is None:
            where = f"{folder / 'annotations.json'}, scene {choice['next']}"
            raise InputError(f"{where}: {label} is {noted[label]!r}; give a number")
        options.setdefault(label if value > 0 else f"not {label}", f" {str(choice['text']).strip()}")
    return options, unlabelled


def _number(value: Any) -> float | None:
    """Also of a text that spells one."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _table(path: Path) -> dict[str, str]:
    table = {}
    for number, entry in enumerate(_json(path, list)):
        if not isinstance(entry, dict) or not {"input", "output"} <= entry.keys():
            raise InputError(f"{path}, entry {number}: give 'input' and 'output'")
        table[str(entry["input"])] = str(entry["output"])
    return table


def _json(path: Path, kind: type) -> Any:
    try:
        found = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; give a JSON file") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}; give a JSON file") from error
    if not isinstance(found, kind):
        raise InputError(f"{path} holds a {type(found).__name__}; give a {kind.__name__}")
    return found


def named_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Function -> its file, of all JSON files of a folder."""
    for path in sorted(folder.glob("*.json")):
        yield path.stem, path
