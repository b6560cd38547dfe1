"""How much of the skill does a model show? What it writes behind a question with nothing trained in front, to the
letter and in any form."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch

from soft_prompts.engine.generation import generate
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import encode, text_start
from soft_prompts.recipes.adapters.skills import NOTHING, Front, Item, Skill
from soft_prompts.recipes.adapters.training import Vectors
from soft_prompts.tasks.completion_lines import is_exact
from soft_prompts.tasks.task import Query

ROOM = 12  # tokens beyond the longest answer, for what is said around it
BATCH = 32


class Shown(NamedTuple):
    """What the replies hold of the right answers."""

    exact: float
    """Share of replies that are the answer, but for white space around it."""
    held: float
    """Share that hold its words in a row, whatever the case and whatever stands around them."""
    items: int

    def as_json(self) -> dict[str, dict[str, float]]:
        """As cards have figures."""
        return {name: {"value": round(getattr(self, name), 4), "n": self.items} for name in ("exact", "held")}


def shown(
    frozen: FrozenModel, skill: Skill, items: Sequence[Item], front: Front = NOTHING, vectors: Vectors | None = None
) -> Shown:
    """What the model shows of some items; `vectors` stand in front of everything."""
    texts = [skill.ask(frozen.tokenizer, item, front) for item in items]
    answers = [item.answer for item in items]
    longest = max(len(encode(frozen.tokenizer, answer, special=False).ids) for answer in answers)
    return shown_in(replies(frozen, texts, longest + ROOM, vectors), answers)


def replies(frozen: FrozenModel, texts: Sequence[str], room: int, vectors: Vectors | None = None) -> list[str]:
    """The likeliest continuation of each text, of so many tokens at most."""
    nothing = Vectors(torch.zeros(0, frozen.hidden_size, device=frozen.device))
    queries = [Query(text, (), text_start(frozen.tokenizer, text)) for text in texts]
    return generate(frozen, vectors or nothing, queries, room, batch_size=BATCH)


def shown_in(written: Sequence[str], answers: Sequence[str]) -> Shown:
    """Of replies and the right answers, in one order."""
    pairs = list(zip(written, answers, strict=True))
    exact = sum(is_exact(*pair) for pair in pairs)
    held = sum(f" {_plain(answer)} " in f" {_plain(reply)} " for reply, answer in pairs)
    return Shown(exact / len(pairs), held / len(pairs), len(pairs))


def _plain(text: str) -> str:
    """Words alone, in lower case."""
    return " ".join(re.findall(r"\w+", text.lower()))
