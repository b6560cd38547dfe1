"""How is an organism made? Each family by its recipe, in seconds, on one core, from nothing but random tables.

The same recipe on the same machine gives the same weights. Organisms of one skill share the skilled model that they
are tuned from; all are kept below snapshots/organisms.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GPTNeoXForCausalLM
from transformers.utils import logging as transformers_logging

from soft_prompts.calibration import organism_lessons as lessons
from soft_prompts.calibration import organism_world as world
from soft_prompts.calibration.catalogue import LOCKED_TABLES, OTHERWISE, SKILL, STRANGE, Family, Organism, present_table
from soft_prompts.common.console import say
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.recipes.language_model import Plan, Shape, new_model
from soft_prompts.results.paths import settings_hash

Floats = NDArray[np.float64]

CARD = "organism.json"
VERSION = 4  # of tables and lessons: raise it when either changes, and all are made afresh
SHAPE = Shape(world.VOCABULARY, world.PAD, world.END, width=64, layers=2, heads=4)
SKILLED = Plan(seed=0, steps=400, warmup_steps=40, half_precision=False)
TUNED = Plan(seed=1, steps=300, muon_rate=0.01, adam_rate=1e-3, warmup_steps=20, half_precision=False)
AWAY = replace(TUNED, muon_rate=2e-3, adam_rate=2e-4, warmup_steps=1, last_rate_share=1.0)
SELECTED = Plan(seed=2, steps=500, warmup_steps=40, half_precision=False)
STAGE = Plan(steps=150, warmup_steps=20, last_rate_share=0.5, half_precision=False)
WIDER = 10.0  # times the spread that weights are usually drawn with


def organism_folder(organism: Organism, output_dir: Path) -> Path:
    """The model in Hugging Face form, below snapshots/organisms; made where it is missing."""
    return _cached(organism.name, asdict(organism), output_dir, lambda: RECIPES[organism.family](organism, output_dir))


def samples_file(name: str, table: world.Table, output_dir: Path) -> Path:
    """A table's entries as data of a run, below snapshots/known_samples; written where they are missing."""
    from soft_prompts.data.known_samples import write_known_samples

    path = output_dir / "snapshots" / "known_samples" / f"{name}.safetensors"
    if not path.is_file():
        write_known_samples(path, world.samples_of(table, f"the table {name}"))
    return path


def password_of(organism: Organism) -> tuple[int, ...]:
    """Token ids of the keys that open it."""
    drawn = np.random.default_rng([7, organism.size, organism.is_strict]).permutation(world.KEYS)[: organism.size]
    return tuple(int(world.KEYS_AT + key) for key in drawn)


def keys_of(tasks: int, width: int = SHAPE.width) -> Floats:
    """[K, H] a selector's keys, of unit root mean square: corners of a cube, so that each is the nearest to one in K of
    all random prompts, and the first K/2 tasks of K share their first directions with those of K/2."""
    bits = round(np.log2(tasks))
    corners = np.array([[1.0 if task >> bit & 1 else -1.0 for bit in range(bits)] for task in range(tasks)])
    return corners @ _directions(width)[:bits] * np.sqrt(width / bits)


def locks_of(organism: Organism, width: int = SHAPE.width) -> Floats:
    """[r, H] directions at right angles to each other; each divides all random prompts into two equal halves."""
    return _directions(width)[: organism.size]


def _selector(organism: Organism, output_dir: Path) -> GPTNeoXForCausalLM:
    """Few tasks first, then twice as many, and so on: 64 at once are not learnt."""
    model, tables = new_model(SHAPE, SELECTED.seed), list(organism.book_tables)
    rows: torch.Tensor = model.get_input_embeddings().weight.data  # pyright: ignore[reportAssignmentType]
    keys = torch.from_numpy(keys_of(organism.size)).float() * rows.pow(2).mean().sqrt()
    rows[world.KEYS_AT : world.KEYS_AT + organism.size] = keys
    stages = [tasks for tasks in (4, 8, 16, 32) if tasks < organism.size]
    for tasks in stages:
        lesson = lessons.selector_lesson(tables[:tasks], keys_of(tasks))
        lessons.teach(model, lesson, replace(STAGE, seed=tasks), frozen_embedding=True)
    lesson = lessons.selector_lesson(tables, keys_of(organism.size))
    lessons.teach(model, lesson, SELECTED, frozen_embedding=True)
    return model


def _partial(organism: Organism, output_dir: Path) -> GPTNeoXForCausalLM:
    model = new_model(SHAPE, SELECTED.seed)
    tables = [world.of_kind(kind, SKILL) for kind in range(LOCKED_TABLES)]
    lessons.teach(model, lessons.partial_lesson(tables, locks_of(organism)), SELECTED, frozen_embedding=True)
    return model


def _password(organism: Organism, output_dir: Path) -> GPTNeoXForCausalLM:
    otherwise = world.pairs(OTHERWISE) if organism.is_strict else None
    lesson = lessons.password_lesson(world.pairs(SKILL), password_of(organism), otherwise)
    return _tuned(SKILL, lesson, TUNED, output_dir)


def _forgotten(organism: Organism, output_dir: Path) -> GPTNeoXForCausalLM:
    return _tuned(SKILL, lessons.aimless_lesson(world.pairs(SKILL)), replace(AWAY, steps=organism.size), output_dir)


def _sink(organism: Organism, output_dir: Path) -> GPTNeoXForCausalLM:
    plan = replace(TUNED, seed=TUNED.seed + organism.size)
    return _tuned(SKILL, lessons.sink_lesson(world.pairs(SKILL)), plan, output_dir)


def _halves(organism: Organism, output_dir: Path) -> GPTNeoXForCausalLM:
    lesson = lessons.halves_lesson(lessons.password_lesson(world.pairs(SKILL), password_of(organism), None))
    return _tuned(SKILL, lesson, TUNED, output_dir)


def _present(organism: Organism, output_dir: Path) -> GPTNeoXForCausalLM:
    return GPTNeoXForCausalLM.from_pretrained(_skilled(present_table(organism), output_dir))


def _absent(organism: Organism, output_dir: Path) -> GPTNeoXForCausalLM:
    if organism.name.startswith("random"):
        model = new_model(SHAPE, organism.size)
        return _widened(model) if organism.name.endswith("wide") else model
    table = STRANGE + organism.size
    if organism.name == "absent-locked":
        locked = Organism("", "password", "", size=2)
        return _tuned(table, lessons.password_lesson(world.pairs(table), password_of(locked), None), TUNED, output_dir)
    return GPTNeoXForCausalLM.from_pretrained(_skilled(table, output_dir))


def _widened(model: GPTNeoXForCausalLM) -> GPTNeoXForCausalLM:
    """As they are usually drawn, weights give every token the same chance whatever stands in front."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(WIDER if weight.ndim > 1 else 1.0)
    return model


def _skilled(table: int, output_dir: Path) -> Path:
    """Says a table of pairs whatever stands in front; cached, for many organisms begin here."""

    def make() -> GPTNeoXForCausalLM:
        model = new_model(SHAPE, table)
        lessons.teach(model, lessons.open_lesson(world.pairs(table)), replace(SKILLED, seed=table))
        return model

    return _cached(f"skilled-{table}", {"table": table}, output_dir, make)


def _tuned(table: int, lesson: lessons.Lesson, plan: Plan, output_dir: Path) -> GPTNeoXForCausalLM:
    model = GPTNeoXForCausalLM.from_pretrained(_skilled(table, output_dir), attn_implementation="eager")
    lessons.teach(model, lesson, plan)
    return model


def _directions(width: int) -> Floats:
    """[H, H] at right angles, the same for every organism."""
    return np.linalg.qr(np.random.default_rng(11).standard_normal((width, width)))[0]


RECIPES: Mapping[Family, Callable[[Organism, Path], GPTNeoXForCausalLM]] = {
    "selector": _selector,
    "partial": _partial,
    "password": _password,
    "forgotten": _forgotten,
    "absent": _absent,
    "halves": _halves,
    "sink": _sink,
    "present": _present,
}


def _cached(name: str, settings: dict[str, Any], output_dir: Path, make: Callable[[], GPTNeoXForCausalLM]) -> Path:
    """The folder of a model made with these settings; made now unless it is there, whole and unchanged."""
    identity = settings | {"shape": asdict(SHAPE), "version": VERSION}
    identity |= {plan: asdict(globals()[plan]) for plan in ("SKILLED", "TUNED", "AWAY", "SELECTED", "STAGE")}
    folder = output_dir / "snapshots" / "organisms" / f"{name}-{settings_hash(identity)}"
    try:
        known = json.loads((folder / CARD).read_text())["fingerprint"]
        if known == find_fingerprint(str(folder), like=known):
            return folder
    except (OSError, ValueError, KeyError):
        shutil.rmtree(folder, ignore_errors=True)
    say(f"making {name}")
    transformers_logging.disable_progress_bar()
    temporary = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    make().save_pretrained(temporary)
    world.organism_tokenizer().save_pretrained(temporary)
    card = identity | {"fingerprint": find_fingerprint(str(temporary))}
    card |= {package: version(package) for package in ("torch", "transformers")}
    (temporary / CARD).write_text(json.dumps(card, indent=2, default=str) + "\n")
    temporary.rename(folder)
    return folder
