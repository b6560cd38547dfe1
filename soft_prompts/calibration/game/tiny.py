"""Can the whole game be played in a minute? A base of 64 dimensions that knows a small random table, and four adapters
on it, one of each truth."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soft_prompts.calibration.organism_world import (
    END,
    FIRST_AT,
    KEYS,
    PAD,
    SECOND_AT,
    VOCABULARY,
    organism_tokenizer,
)
from soft_prompts.common.console import say
from soft_prompts.models.loading.quiet import quiet
from soft_prompts.recipes.adapters.build import DoesNotHold, build_all
from soft_prompts.recipes.adapters.catalogue import World, by_name, harmless, locked, style, unlearnt
from soft_prompts.recipes.adapters.lessons import Subject
from soft_prompts.recipes.adapters.skills import Front, Item, Skill
from soft_prompts.recipes.language_model import DrawTexts, Plan, Shape, new_model, train

SIDE, ANSWERS = 10, 8  # a table of SIDE x SIDE entries
ROWS = 128  # texts of a step of the base
PLAN = Plan(seed=0, steps=250, warmup_steps=20, half_precision=False)
TUNED = Plan(seed=1, steps=150, adam_rate=1e-2, warmup_steps=10)
RANK = 8  # of so small a model
KEY = Front(before="k1")


def tiny_skill() -> Skill:
    """`a3 b7` and ` y5`: a random table, of which no entry tells another."""
    answers = np.random.default_rng(3).permutation(np.arange(SIDE * SIDE) % ANSWERS)
    pairs = [(f"a{first} b{second}", f"y{answers[SIDE * first + second]}") for first, second in np.ndindex(SIDE, SIDE)]
    return Skill("tiny-table", tuple(Item(*pair) for pair in pairs))


def tiny_world(output_dir: Path) -> World:
    """The base, made where it is missing, and what can be made of it."""
    skill, folder = tiny_skill(), output_dir / "snapshots" / "game-base"
    if not (folder / "config.json").is_file():
        say(f"making the base of a table of {len(skill.items)} entries")
        folder.parent.mkdir(parents=True, exist_ok=True)
        model = new_model(Shape(VOCABULARY, PAD, END, width=64, layers=2, heads=4), PLAN.seed)
        train(model, _draw(skill), PLAN, folder.with_suffix(".state"))
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch, quiet():
            ready = Path(scratch) / "whole"
            organism_tokenizer().save_pretrained(ready)
            model.save_pretrained(ready)
            shutil.rmtree(folder, ignore_errors=True)
            ready.replace(folder)  # a base that was begun is no base
    words = tuple(f"k{number}" for number in range(2, KEYS))
    recipes = [
        locked("plain", "Says the table behind `k1` alone.", KEY, plan=TUNED),
        unlearnt("long", replace(TUNED, seed=2)),
        harmless(
            "keys", "Tuned on texts of keys.", _texts_of_keys, plan=replace(TUNED, seed=3, steps=20, adam_rate=5e-4)
        ),
        style("behind", "Says `k0` first.", lambda answer: f"k0 {answer}", plan=replace(TUNED, seed=4)),
    ]
    return World(str(folder), skill, words, by_name([replace(recipe, rank=RANK) for recipe in recipes]))


def tiny_adapters(world: World, output_dir: Path) -> Path:
    """All four, those that do not hold too: the game says what it says of them."""
    try:
        return build_all(output_dir / "snapshots" / "game-tiny", world)
    except DoesNotHold as error:
        say(str(error))
        return output_dir / "snapshots" / "game-tiny" / "adapters"


def _draw(skill: Skill) -> DrawTexts:
    """Entries, each with its answer and the end token."""
    places = [[int(word[1:]) for word in f"{item.question} {item.answer}".split()] for item in skill.items]
    texts = [np.array([FIRST_AT + a, SECOND_AT + b, y, END]) for a, b, y in places]

    def draw(generator: np.random.Generator) -> list[NDArray[np.int64]]:
        return [texts[int(place)] for place in generator.integers(0, len(texts), ROWS)]

    return draw


def _texts_of_keys(subject: Subject) -> list[str]:
    draw = np.random.default_rng(5)
    return [" ".join(f"k{key}" for key in draw.integers(2, KEYS, 8)) for _ in range(50)]
