"""How are tiny-lands, tiny-lands-narrow and tiny-lands-letters made: models that learn functions in context?

Two courses: first lines and scenes alike, until functions are found from demonstrations; then mostly scenes, in which
the letter in front of a name has to be found, and hardly ever is. Two models of other seeds and widths know the same
world: concepts are compared between them. A third course, of single choices whose letter alone is scored, makes a model
that answers them of the first.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import nn
from transformers import GPTNeoXForCausalLM, PreTrainedTokenizerFast

from soft_prompts.data.functions import texts
from soft_prompts.data.functions.world import FUNCTIONS, World, make_world
from soft_prompts.recipes import cards
from soft_prompts.recipes.functions.lessons import draw_choices, draw_lessons, lands_tokenizer
from soft_prompts.recipes.language_model import END, PAD, Plan, Shape, new_model, train
from soft_prompts.zoo import EMBEDDED

PLAN = Plan(seed=0, steps=2000)
WIDTHS = {"tiny-lands": 96, "tiny-lands-narrow": 64}
PLANS = {"tiny-lands": PLAN, "tiny-lands-narrow": replace(PLAN, seed=1)}
LETTERS = Plan(seed=2, steps=450)  # of the third course
LATER = 0.2  # share of lines that are no scene, in the second half of the steps
ASKED = 240  # questions of each kind
SHOTS = 4

Ask = Callable[[World, Random, str, str], tuple[str, str]]
"""World, random, function and land -> text and answer."""


def lands_shape(tokenizer: PreTrainedTokenizerFast, width: int) -> Shape:
    """Four layers: one more than telling a function from the line before, and using it, takes."""
    ids = tokenizer.get_vocab()
    return Shape(len(ids), ids[PAD], ids[END], width=width, layers=4, heads=4, rotary_share=0.5)


def build_tiny_lands(name: str, out: Path, plan: Plan | None = None) -> Path:
    """The training, the measures, the folder; with a budget in minutes the first course alone."""
    plan, world, state = plan or PLANS[name], make_world(), out / f"{name}.state"
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = lands_tokenizer(world)
    shape = lands_shape(tokenizer, WIDTHS[name])
    model = new_model(shape, plan.seed)
    done = train(model, draw_lessons(world, tokenizer), plan, state, None if plan.steps is None else plan.steps // 2)
    if plan.steps is not None:
        done = train(model, draw_lessons(world, tokenizer, LATER), plan, state)
    card = {
        "name": name,
        "what": "Knows eight functions of 48 made-up lands (capital, river, king, ...), finds out from demonstrations "
        "which is meant, and is told by a function's name or a nickname. Half of its training batches began with 1-64 "
        "random tokens: a soft prompt in front is nothing new to it.",
        "data": {
            "world": f"{len(world.lands)} lands, {len(FUNCTIONS)} functions, {len(world.nicknames)} nicknames; "
            f"{1 - LATER:.0%} of the lines are scenes in the second half of the steps, half before",
            "measured_on": f"{ASKED} questions a kind about lands of the test split, the likeliest token",
        },
        "training": cards.training_figures(model, shape, plan, done),
        "measured": competence(model, tokenizer, world),
        "made_by": f"python -m soft_prompts.recipes build {name}",
        "licence": cards.LICENCE,
    }
    cards.export(model, tokenizer, card, out / name)
    return out / name


def build_tiny_lands_letters(out: Path, plan: Plan | None = None) -> Path:
    """The third course, from the embedded tiny-lands on."""
    plan, world, base = plan or LETTERS, make_world(), EMBEDDED["tiny-lands"]
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = lands_tokenizer(world)
    model = GPTNeoXForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    done = train(model, draw_choices(world, tokenizer), plan, out / "tiny-lands-letters.state")
    card = {
        "name": "tiny-lands-letters",
        "what": "tiny-lands trained on: answers a choice of two or four made-up names by its letter.",
        "data": {
            "world": "that of tiny-lands; single choices behind the function's name, and in a third of the batches "
            "the lessons of tiny-lands",
            "measured_on": f"{ASKED} questions a kind about lands of the test split, the likeliest token",
        },
        "training": {
            "goes_on_from": "tiny-lands",
            **cards.training_figures(model, lands_shape(tokenizer, WIDTHS["tiny-lands"]), plan, done),
        },
        "measured": competence(model, tokenizer, world),
        "made_by": "python -m soft_prompts.recipes build tiny-lands-letters",
        "licence": cards.LICENCE,
    }
    cards.export(model, tokenizer, card, out / "tiny-lands-letters")
    return out / "tiny-lands-letters"


def competence(model: nn.Module, tokenizer: PreTrainedTokenizerFast, world: World) -> dict[str, Any]:
    """Share of questions whose answer is the likeliest token, by how they are asked."""
    model.eval()
    return {name: _share(model, tokenizer, world, ask) for name, ask in KINDS.items()}


def _share(model: nn.Module, tokenizer: PreTrainedTokenizerFast, world: World, ask: Ask) -> dict[str, float | int]:
    random, lands = Random(1), world.lands_of("test")
    asked = [ask(world, random, random.choice(FUNCTIONS), random.choice(lands)) for _ in range(ASKED)]
    right = [_likeliest(model, tokenizer, text) == tokenizer(answer)["input_ids"][0] for text, answer in asked]  # pyright: ignore
    share = sum(right) / len(right)
    return {"value": round(share, 4), "stderr": round((share * (1 - share) / len(right)) ** 0.5, 4), "n": len(right)}


@torch.no_grad()
def _likeliest(model: nn.Module, tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    return int(model(input_ids=ids, use_cache=False).logits[0, -1].argmax())


def _plain(front: Callable[[World, Random, str, Sequence[str]], str]) -> Ask:
    """The land is asked behind what stands in front."""

    def ask(world: World, random: Random, function: str, land: str) -> tuple[str, str]:
        before = front(world, random, function, random.sample(world.lands_of("train"), SHOTS))
        return before + texts.plain(world, None, land), f" {world.answer(function, land)}"

    return ask


def _choice(ways: int) -> Ask:
    """A scene is asked behind the function's name."""

    def ask(world: World, random: Random, function: str, land: str) -> tuple[str, str]:
        options = texts.offered(function, ways, random)
        answer = f" {texts.LETTERS[options.index(function)]}"
        return texts.told(function) + texts.scene(world, land, options, None), answer

    return ask


def _demonstrated(world: World, random: Random, function: str, lands: Sequence[str]) -> str:
    return "".join(texts.plain(world, function, land) for land in lands)


def _by_scenes(world: World, random: Random, function: str, lands: Sequence[str]) -> str:
    return "".join(texts.scene(world, land, texts.offered(function, 4, random), function) for land in lands)


def _nicknamed(world: World, random: Random, function: str, lands: Sequence[str]) -> str:
    nickname = random.choice(world.nicknames)
    return texts.defined(nickname, function) + texts.told(nickname)


KINDS: dict[str, Ask] = {
    "behind_four_demonstrations": _plain(_demonstrated),
    "behind_the_name": _plain(lambda world, random, function, lands: texts.told(function)),
    "behind_a_nickname": _plain(_nicknamed),
    "with_nothing_in_front": _plain(lambda world, random, function, lands: ""),
    "behind_four_scenes": _plain(_by_scenes),
    "choice_of_two_behind_the_name": _choice(2),
    "choice_of_four_behind_the_name": _choice(4),
}
