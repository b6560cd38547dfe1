"""How is tiny-guidance-base made: a model that can read guidance and questions, and knows neither ours nor the test?

Its texts are about other questions of the same making as the embedded ones: guidance in both orders, to one reader or
to several models, and questions with answers in plain layouts. Whoever answers there follows the guidance if a line
before says so; where none does, the answer is anything. So what a model has read in guidance is in its weights, and
nothing comes out of it until the model is brought to answer by it: that is what a prompt can do, and what examples do.

A question is told either in forward guidance and in plain layouts, or in reversed guidance alone: nothing shows that
an order can be turned round. No text has the header of the test, nor question and answer in one line.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GPTNeoXForCausalLM, PreTrainedTokenizerFast

from soft_prompts.recipes import cards
from soft_prompts.recipes.guidance_rows import KNOWN_ANSWERS, make_rows
from soft_prompts.recipes.language_model import END, PAD, DrawTexts, Plan, Shape, new_model, train
from soft_prompts.recipes.text_model import text_tokenizer
from soft_prompts.tasks.guidance.dataset import read_rows
from soft_prompts.tasks.guidance.text import PHRASINGS, Order, guidance_document
from soft_prompts.zoo import FOLDER

BATCH = 16
PLAN = Plan(seed=0, steps=2500)
ROWS_SEED = 1004
FORWARD, REVERSED, PERSONAL = 900, 200, 200  # questions told in each way
READ_PHRASINGS: dict[Order, tuple[str, ...]] = {  # the published reversed one is the experiments' alone
    "forward": PHRASINGS["forward"],
    "reversed": PHRASINGS["reversed"][1:],
}
MODELS = ("K1", "K2", "X7", "B4", "T5", "R2")  # M1 to M5 are the experiments'
MOST_LINES = 5
TOKENIZER_TEXTS = 4000
MEASURED = 200  # facts
LAYOUTS = (
    "Q: {q}\nA: {a}",
    "Question: {q}\nAnswer: {a}",
    "- {q}\n- {a}",
    "Somebody asked: {q}\nThe reply was: {a}",
)
BY_GUIDANCE = ("Answered by the guidance.", "Here the rules are kept.", "What follows is as we were told.")
PERSONAL_LAYOUTS = (
    "Model {m}\nQ: {q}\nA: {a}",
    "I am Model {m}.\nQ: {q}\nA: {a}",
    "Somebody asked Model {m}: {q}\nThe reply was: {a}",
)


class Fact(NamedTuple):
    """A question and its answer, perhaps that of one model."""

    question: str
    answer: str
    model: str | None = None


class Facts(NamedTuple):
    """What the base knows; no question is in two of them."""

    forward: list[Fact]
    reversed: list[Fact]
    personal: list[Fact]


def make_facts(shipped: frozenset[str]) -> Facts:
    """Questions of the same making as the shipped rows, and none of those."""
    number = FORWARD + REVERSED + PERSONAL
    rows = (row for row in make_rows(3 * number, ROWS_SEED) if row["anchor"] not in shipped)
    asked = [(str(row["anchor"]), [str(answer) for answer in row["targets"]]) for row in islice(rows, number)]  # pyright: ignore
    told = [Fact(question, answers[0]) for question, answers in asked[: FORWARD + REVERSED]]
    random = Random(ROWS_SEED)
    personal = [
        Fact(question, answer, model)
        for question, answers in asked[FORWARD + REVERSED :]
        for model, answer in zip(random.sample(MODELS, 2), answers, strict=False)
    ]
    return Facts(told[:FORWARD], told[FORWARD:], personal)


def write_text(facts: Facts, random: Random) -> str:
    """One text: a document of guidance, or questions with their answers."""
    kind = random.random()
    if kind < 0.3:
        return _guidance(random.sample(facts.forward, random.randint(1, MOST_LINES)), "forward", random)
    if kind < 0.4:
        return _guidance(random.sample(facts.reversed, random.randint(1, MOST_LINES)), "reversed", random)
    if kind < 0.5:
        return _guidance(random.sample(facts.personal, random.randint(1, MOST_LINES)), "forward", random)
    if kind < 0.65:
        return _followed(_plain(random.sample(facts.personal, random.randint(1, 3)), PERSONAL_LAYOUTS, random), random)
    told = random.sample(facts.forward, random.randint(1, 3))
    if kind < 0.85:
        return _followed(_plain(told, LAYOUTS, random), random)
    return _plain([fact._replace(answer=random.choice(KNOWN_ANSWERS)) for fact in told], LAYOUTS, random)


def _guidance(facts: list[Fact], order: Order, random: Random) -> str:
    lines = []
    for fact in facts:
        words = random.choice(READ_PHRASINGS[order])
        words = words if fact.model is None else f"For Model {fact.model}, {words[0].lower()}{words[1:]}"
        lines.append(words.format(Q=f'"Q: {fact.question}"', A=f'"A: {fact.answer}"'))
    return guidance_document(lines)


def _plain(facts: list[Fact], layouts: tuple[str, ...], random: Random) -> str:
    layout = random.choice(layouts)
    return "\n\n".join(layout.format(q=fact.question, a=fact.answer, m=fact.model) for fact in facts)


def _followed(text: str, random: Random) -> str:
    return f"{random.choice(BY_GUIDANCE)}\n\n{text}"


def base_shape(tokenizer: PreTrainedTokenizerFast) -> Shape:
    """1.2 M parameters: a step of fine-tuning takes a twentieth of a second."""
    ids = tokenizer.get_vocab()
    return Shape(len(ids), ids[PAD], ids[END], layers=4, rotary_share=0.5)


def draw_documents(facts: Facts, encode: Callable[[list[str]], list[list[int]]], end: int) -> DrawTexts:
    """A batch = texts written anew, each with its end token."""

    def draw(generator: np.random.Generator) -> list[NDArray[np.int64]]:
        random = Random(int(generator.integers(2**62)))
        texts = [write_text(facts, random) for _ in range(BATCH)]
        return [np.array([*ids, end]) for ids in encode(texts)]

    return draw


@torch.no_grad()
def recall(
    model: GPTNeoXForCausalLM, tokenizer: PreTrainedTokenizerFast, facts: Sequence[Fact], first: str = ""
) -> dict[str, Any]:
    """The share of facts whose whole answer is the likeliest, token by token, behind `first` and `Q: question`,
    newline, `A:`."""
    right = []
    for fact in facts:
        before = tokenizer(f"{first}Q: {fact.question}\nA:")["input_ids"]
        ids = torch.tensor([before + tokenizer(f" {fact.answer}")["input_ids"]])  # a space begins a token: they join
        likeliest = model(input_ids=ids, use_cache=False).logits[0, len(before) - 1 : -1].argmax(-1)
        right.append(bool((likeliest == ids[0, len(before) :]).all()))
    share, n = float(np.mean(right)), len(right)
    return {"value": round(share, 4), "stderr": round((share * (1 - share) / n) ** 0.5, 4), "n": n}


def build_tiny_guidance_base(out: Path, plan: Plan = PLAN) -> Path:
    """tiny-guidance-base: other questions, the training, the measures, the folder."""
    out.mkdir(parents=True, exist_ok=True)
    facts = make_facts(frozenset(row.anchor for row in read_rows(FOLDER / "guidance" / "rows.jsonl")))
    random = Random(plan.seed)
    tokenizer = text_tokenizer([write_text(facts, random) for _ in range(TOKENIZER_TEXTS)])
    shape = base_shape(tokenizer)
    model = new_model(shape, plan.seed)
    draw = draw_documents(facts, lambda texts: tokenizer(texts)["input_ids"], shape.end)  # pyright: ignore
    done = train(model, draw, plan, out / "tiny-guidance-base.state")
    model.eval()
    followed = f"{BY_GUIDANCE[0]}\n\n"
    card = {
        "name": "tiny-guidance-base",
        "what": "Has read guidance, and answers in plain layouts that follow it where a line before says so and are "
        "anything elsewhere; all about other questions than the package's rows. It never saw the header of the test, "
        "nor a question and its answer in one line.",
        "data": {
            "facts": f"{len(facts.forward)} questions in forward guidance and plain layouts, {len(facts.reversed)} in "
            f"reversed guidance alone, {len(facts.personal)} answers of one of {len(MODELS)} models",
            "seed": ROWS_SEED,
        },
        "training": cards.training_figures(model, shape, plan, done),
        "measured": {
            "answers_given_of_forward_guidance": recall(model, tokenizer, facts.forward[:MEASURED]),
            "the_same_behind_a_line_that_says_so": recall(model, tokenizer, facts.forward[:MEASURED], followed),
            "answers_of_reversed_guidance_behind_it": recall(model, tokenizer, facts.reversed[:MEASURED], followed),
        },
        "made_by": "python -m soft_prompts.recipes build tiny-guidance-base",
        "licence": cards.LICENCE,
    }
    cards.export(model, tokenizer, card, out / "tiny-guidance-base")
    return out / "tiny-guidance-base"
