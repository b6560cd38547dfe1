"""What does the model write with more and more prompt tokens? The same text gone on from, token counts side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from soft_prompts.analysis.by_task import run_with_texts
from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.readings import Reading
from soft_prompts.report.page.table import Links
from soft_prompts.report.text import count_text, shorter

TEXTS = 4  # prompts shown of each curve
MOST_LETTERS = 420  # of a continuation; the result file holds the rest
MOST_PROMPT_LETTERS = 600


@dataclass(frozen=True)
class Column:
    heading: str
    href: str


@dataclass(frozen=True)
class Written:
    """One text and condition; `texts` in the order of the columns, None where a run has no such generation."""

    prompt: str
    condition: str
    reference: str
    texts: tuple[str | None, ...]


@dataclass(frozen=True)
class Gallery:
    name: str
    columns: tuple[Column, ...]
    rows: tuple[Written, ...]
    left_out: str


def gallery(reading: Reading, name: str, links: Links) -> Gallery | None:
    """What the chosen prompt of every token count writes; None where no run has any text."""
    found = {point.tokens: run_with_texts(reading, point) for point in reading.points}
    runs = {tokens: run for tokens, run in found.items() if run is not None}
    if not runs:
        return None
    texts = {tokens: _by_prompt(run) for tokens, run in runs.items()}
    keys = _spread(list(dict.fromkeys(key for one in texts.values() for key in one)), texts)
    rows = tuple(_row(key, texts) for key in keys[:TEXTS])
    columns = tuple(Column(count_text(tokens, "token"), links.to(run.path)) for tokens, run in runs.items())
    more = len(keys) - len(rows)
    left_out = f"{count_text(more, 'more text')} in the result files." if more else ""
    return Gallery(name, columns, rows, left_out)


Key = tuple[str, str]
Texts = Mapping[int, Mapping[Key, tuple[str, str | None]]]


def _by_prompt(run: Run) -> dict[Key, tuple[str, str | None]]:
    """Of equal prompts and conditions the first."""
    found: dict[Key, tuple[str, str | None]] = {}
    for generation in run.result.generations:
        key = generation.prompt, condition_text(generation.condition)
        found.setdefault(key, (generation.text, generation.reference))
    return found


def _spread(keys: list[Key], texts: Texts) -> list[Key]:
    """Those first that most runs have, and different texts before other conditions of the same one."""
    seen: dict[str, int] = {}
    places = {}
    for place, (prompt, _) in enumerate(keys):
        seen[prompt] = seen.get(prompt, -1) + 1
        places[keys[place]] = seen[prompt], place
    return sorted(keys, key=lambda key: (-sum(key in one for tokens, one in texts.items() if tokens), places[key]))


def _row(key: Key, texts: Texts) -> Written:
    found = [one.get(key) or (_without_condition(key, one) if tokens == 0 else None) for tokens, one in texts.items()]
    reference = next((one[1] for one in found if one and one[1]), "") or ""
    cells = tuple(None if one is None else shorter(one[0], MOST_LETTERS) for one in found)
    return Written(shorter(key[0], MOST_PROMPT_LETTERS), key[1], shorter(reference, MOST_LETTERS), cells)


def _without_condition(key: Key, bare: Mapping[Key, tuple[str, str | None]]) -> tuple[str, str | None] | None:
    """The bare model takes no condition: its text stands for every one, if it was drawn in the same way."""
    prompt, condition = key
    same = (pair for (text, way), pair in bare.items() if text == prompt and condition.endswith(way))
    return next(same, None)


def condition_text(condition: dict[str, Any] | str | None) -> str:
    if isinstance(condition, dict):
        return ", ".join(f"{name} {value}" for name, value in condition.items())
    return condition or ""
