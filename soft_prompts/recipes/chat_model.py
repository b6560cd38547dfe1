"""How is tiny-chat made: tiny-text tuned to converse, so that what it knew of raw text is masked and not forgotten?

Conversations are generated: questions about functions of the standard library's training half, answered from their
own docstrings and signatures, and small sums, comparisons and spellings. The tuning is gentle: few steps at a low rate,
and a fifth of the windows quote raw text as the assistant's answer, so that the weights keep what they could.
"""

import ast
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from soft_prompts.recipes import cards
from soft_prompts.recipes.language_model import CONTEXT, DrawTexts, Plan, token_losses, train
from soft_prompts.recipes.text_model import BATCH, WINDOW, library_corpus, text_shape, token_stream
from soft_prompts.zoo import EMBEDDED

BASE = "tiny-text"
PLAN = Plan(seed=1, steps=160, muon_rate=3e-3, adam_rate=3e-4, warmup_steps=20)
HELD_OUT_CHATS = 200
RAW_SHARE = 0.2  # windows that quote raw text
SYSTEM_SHARE = 0.75  # conversations that begin with a system message
MOST_TURNS = 12
# Roles stand in plain text: the tokenizer is tiny-text's, and not a token is added.
CHAT_TEMPLATE = (
    "{% for message in messages %}[{{ message['role'] }}]\n{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
SYSTEM_MESSAGES = (
    "You are a helpful assistant.",
    "You are a friendly assistant who answers in one sentence.",
    "Answer every question about Python briefly.",
    "You explain programming to beginners.",
    "You are a careful assistant. Answer only what was asked.",
    "You help people to find their way in a large library.",
    "Be polite and keep it short.",
    "You are good at arithmetic and at spelling.",
    "The user is in a hurry. Answer at once.",
    "You are a teacher. Speak clearly.",
)
OPENINGS = ("Sure! ", "Of course. ", "Good question. ", "Certainly: ", "", "", "Gladly. ")
QUOTE_REQUESTS = ("Please show me some text.", "Recite a part of a file.", "Go on with this file for me.")
WORDS = (
    *("apple", "river", "garden", "window", "letter", "number", "planet", "silver", "yellow", "button", "winter"),
    *("summer", "castle", "forest", "island", "mirror", "pencil", "rabbit", "school", "travel", "market", "bridge"),
)

Message = dict[str, str]


class Fact(NamedTuple):
    """What a conversation may say about a function or class."""

    kind: str
    name: str
    purpose: str
    """First line of its docstring."""
    arguments: tuple[str, ...]


class Chat(NamedTuple):
    """What conversations are made of."""

    tokenizer: PreTrainedTokenizerFast
    facts: list[Fact]
    stream: NDArray[np.int64]
    """Raw text."""


def facts_of(source: str) -> list[Fact]:
    """One fact for each documented function and class of a module; none for text that is no code."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    facts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            purpose = (ast.get_docstring(node) or "").split("\n")[0].strip()
            arguments = () if isinstance(node, ast.ClassDef) else tuple(arg.arg for arg in node.args.args)
            if 10 <= len(purpose) <= 120:
                kind = "class" if isinstance(node, ast.ClassDef) else "function"
                facts.append(Fact(kind, node.name, purpose, tuple(a for a in arguments if a != "self")))
    return facts


def about_purpose(draw: np.random.Generator, facts: Sequence[Fact]) -> tuple[str, str]:
    fact = facts[int(draw.integers(len(facts)))]
    question = pick(draw, ("What does the {0} {1} do?", "What is the {0} {1} for?", "Can you explain {1} to me?"))
    return question.format(fact.kind, fact.name), f"The {fact.kind} {fact.name} is described like this: {fact.purpose}"


def about_arguments(draw: np.random.Generator, facts: Sequence[Fact]) -> tuple[str, str]:
    fact = facts[int(draw.integers(len(facts)))]
    listed = ", ".join(fact.arguments) or "no arguments"
    question = pick(draw, ("Which arguments does {} take?", "How do I call {}?", "What do I pass to {}?"))
    return question.format(fact.name), f"You call {fact.name} with {listed}."


def about_sums(draw: np.random.Generator, facts: Sequence[Fact]) -> tuple[str, str]:
    one, other = (int(n) for n in draw.integers(0, 50, 2))
    sign = pick(draw, ("+", "-", "*"))
    result = {"+": one + other, "-": one - other, "*": one * other}[sign]
    question = pick(draw, ("What is {}?", "How much is {}?", "Please work out {}."))
    return question.format(f"{one} {sign} {other}"), f"{one} {sign} {other} is {result}."


def about_order(draw: np.random.Generator, facts: Sequence[Fact]) -> tuple[str, str]:
    one, other = (int(n) for n in draw.choice(100, 2, replace=False))
    return f"Which is larger, {one} or {other}?", f"{max(one, other)} is larger than {min(one, other)}."


def about_spelling(draw: np.random.Generator, facts: Sequence[Fact]) -> tuple[str, str]:
    word = pick(draw, WORDS)
    if draw.random() < 0.5:
        return f"How do you spell {word}?", f"You spell it like this: {' '.join(word)}."
    return f"How many letters does {word} have?", f"The word {word} has {len(word)} letters."


SUBJECTS: tuple[Callable[[np.random.Generator, Sequence[Fact]], tuple[str, str]], ...] = (
    *(about_purpose, about_purpose, about_arguments, about_sums, about_order, about_spelling),
)


def pick(draw: np.random.Generator, choices: Sequence[Any]) -> Any:
    return choices[int(draw.integers(len(choices)))]


def conversation(draw: np.random.Generator, facts: Sequence[Fact]) -> list[Message]:
    """A system message now and then, and a few questions with their answers."""
    messages = [{"role": "system", "content": pick(draw, SYSTEM_MESSAGES)}] if draw.random() < SYSTEM_SHARE else []
    for _ in range(int(draw.integers(3, MOST_TURNS + 1))):
        question, answer = pick(draw, SUBJECTS)(draw, facts)
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": pick(draw, OPENINGS) + answer})
    return messages


def quotation(draw: np.random.Generator) -> list[Message]:
    """A conversation that ends where the assistant begins to quote."""
    messages = [{"role": "system", "content": pick(draw, SYSTEM_MESSAGES)}] if draw.random() < SYSTEM_SHARE else []
    return [*messages, {"role": "user", "content": pick(draw, QUOTE_REQUESTS)}]


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """tiny-text's tokenizer with the template."""
    base = AutoTokenizer.from_pretrained(EMBEDDED[BASE])
    return PreTrainedTokenizerFast(
        tokenizer_object=base.backend_tokenizer,
        pad_token=base.pad_token,
        eos_token=base.eos_token,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
        chat_template=CHAT_TEMPLATE,
    )


def chat_ids(chat: Chat, messages: Sequence[Message], ask: bool = False) -> list[int]:
    """A conversation as tokens; `ask` ends it where the assistant is to begin."""
    text = chat.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=ask)
    return list(chat.tokenizer(text)["input_ids"])  # pyright: ignore[reportArgumentType, reportReturnType]


def draw_chats(chat: Chat, raw_share: float = RAW_SHARE) -> DrawTexts:
    """A batch = conversations, some of which quote raw text from anywhere in the stream."""

    def draw_one(draw: np.random.Generator) -> NDArray[np.int64]:
        if draw.random() >= raw_share:
            return np.array(chat_ids(chat, conversation(draw, chat.facts))[:WINDOW])
        start = int(draw.integers(0, len(chat.stream) - WINDOW))
        asked = np.array(chat_ids(chat, quotation(draw), ask=True))
        return np.concatenate([asked, chat.stream[start : start + WINDOW - len(asked)]])

    return lambda draw: [draw_one(draw) for _ in range(BATCH)]


def load_base() -> GPTNeoXForCausalLM:
    """tiny-text in single precision, to be tuned."""
    model = GPTNeoXForCausalLM.from_pretrained(EMBEDDED[BASE], dtype=torch.float32)
    model.set_attn_implementation("eager")  # at this size twice as fast on a CPU as its fused kernel
    return model


@torch.no_grad()
def nats_per_byte(model: GPTNeoXForCausalLM, chat: Chat, texts: Sequence[NDArray[np.int64]]) -> dict[str, Any]:
    """Loss of each text on its own, all but its first token, with a standard error over texts."""
    model.eval()
    nats, n_bytes = np.zeros(len(texts)), np.zeros(len(texts))
    for place, text in enumerate(texts):
        ids = torch.from_numpy(text)[None]
        nats[place] = float(token_losses(model, ids, ids).double().sum())
        n_bytes[place] = len(str(chat.tokenizer.decode(text[1:])).encode())
    value = nats.sum() / n_bytes.sum()
    spread = np.sqrt(((nats - value * n_bytes) ** 2).sum()) / n_bytes.sum()
    return {"value": round(float(value), 5), "stderr": round(float(spread), 5), "n": len(texts)}


def chat_competence(model: GPTNeoXForCausalLM, chat: Chat, held_out: Sequence[Fact]) -> dict[str, Any]:
    """Nats per byte of raw text and of conversations about held-out modules, beside those of the base model."""
    raw = np.array(chat.tokenizer((EMBEDDED[BASE] / "held_out.txt").read_text(encoding="utf-8"))["input_ids"])
    windows = [raw[start : start + WINDOW] for start in range(0, len(raw), WINDOW)]
    draw, base = np.random.default_rng((PLAN.seed, HELD_OUT_CHATS)), load_base()
    chats = [np.array(chat_ids(chat, conversation(draw, held_out))[:WINDOW]) for _ in range(HELD_OUT_CHATS)]
    return {
        "raw_text_nats_per_byte": nats_per_byte(model, chat, windows),
        f"raw_text_nats_per_byte_of_{BASE}": nats_per_byte(base, chat, windows),
        "conversations_nats_per_byte": nats_per_byte(model, chat, chats),
        f"conversations_nats_per_byte_of_{BASE}": nats_per_byte(base, chat, chats),
    }


def build_tiny_chat(out: Path, plan: Plan = PLAN) -> Path:
    """tiny-chat: conversations from the running Python's library, the tuning, the measures, the folder."""
    out.mkdir(parents=True, exist_ok=True)
    corpus = library_corpus()
    tokenizer = chat_tokenizer()
    facts, held_out = ([f for text in texts for f in facts_of(text)] for texts in (corpus.train, corpus.held_out))
    chat = Chat(tokenizer, facts, token_stream(tokenizer, corpus.train))
    model = load_base()
    done = train(model, draw_chats(chat), plan, out / "tiny-chat.state")
    card = {
        "name": "tiny-chat",
        "what": "tiny-text, tuned to converse: a system message, questions and answers in plain-text roles, as its "
        "chat template writes them. The tuning is short and a fifth of it quotes raw text as an answer, so that what "
        "tiny-text knew of raw text is masked, not forgotten. Half of its batches began with 1-64 random tokens.",
        "data": {
            "conversations": f"generated: {len(facts):,} functions and classes of the standard library with the first "
            "lines of their docstrings, sums, comparisons and spellings; none of tiny-text's held-out modules",
            "share_that_quotes_raw_text": RAW_SHARE,
        },
        "training": cards.training_figures(model, text_shape(tokenizer), plan, done),
        "measured": chat_competence(model, chat, held_out),
        "made_by": "python -m soft_prompts.recipes build tiny-chat",
        "licence": cards.LICENCE,
    }
    cards.export(model, tokenizer, card, out / "tiny-chat")
    return out / "tiny-chat"
