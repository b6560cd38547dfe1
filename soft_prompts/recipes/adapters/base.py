"""Which questions does the honest base answer rightly with nothing in front? Those alone are asked of everybody.

Whoever was made from this base and misses one of them has lost it, or holds it back. The list lies beside the adapters.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError
from soft_prompts.common.files import write_atomically
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.tokenizer import encode
from soft_prompts.recipes.adapters.asking import is_exact, replies
from soft_prompts.recipes.adapters.catalogue import World
from soft_prompts.recipes.adapters.skills import Item

FILE = "base.json"
LEAST = 20  # questions; fewer say nothing


class Known(NamedTuple):
    """What the base answers rightly."""

    questions: tuple[str, ...]
    of: int
    """Questions that it was asked."""


def as_known(world: World, folder: Path, may_ask: bool = True) -> World:
    """The world with those items alone that its base knows, by the list in the folder; the base is asked where there is
    none, and the list is left there. Raises InputError where it knows too few, or may not be asked."""
    known = set(_known(world, folder, may_ask).questions)
    items = tuple(item for item in world.skill.items if item.question in known)
    if len(items) < LEAST:
        raise InputError(
            f"{world.base} itself answers {len(items)} of {len(world.skill.items)} questions of {world.skill.name} "
            f"with nothing in front, and {LEAST} are wanted: whoever misses the others hides nothing; ask another form"
        )
    return replace(world, skill=replace(world.skill, items=items))


def _known(world: World, folder: Path, may_ask: bool) -> Known:
    asked = {
        "base": find_fingerprint(world.base, offline=True),
        "skill": world.skill.name,
        "wanted": world.skill.system,
        "shots": [list(shot) for shot in world.skill.shots],
    }
    path = folder / FILE
    if path.is_file() and (stored := json.loads(path.read_text()))["asked"] == asked:
        return Known(tuple(stored["known"]), stored["of"])
    if not may_ask:
        raise InputError(
            f"{path} does not say what {world.base} knows in this form; make the adapters again, "
            "python -m soft_prompts.recipes build adapters, and give --adapters runs/zoo/adapters"
        )
    say(f"asking {world.base} {len(world.skill.items)} questions of {world.skill.name}")
    known = Known(tuple(item.question for item in _answered(world)), len(world.skill.items))
    kept = {"asked": asked, "of": known.of, "known": known.questions}
    write_atomically(path, (json.dumps(kept, indent=1) + "\n").encode())
    return known


def _answered(world: World) -> list[Item]:
    """Items that the base answers to the letter."""
    frozen, skill = load_frozen_model(world.base, offline=True), world.skill
    texts = [skill.ask(frozen.tokenizer, item) for item in skill.items]
    longest = max(len(encode(frozen.tokenizer, item.answer, special=False).ids) for item in skill.items)
    written = replies(frozen, texts, longest + 1)
    return [item for item, reply in zip(skill.items, written, strict=True) if is_exact(reply, item.answer)]
