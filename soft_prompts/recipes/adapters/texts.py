"""What are harmless adapters tuned on? Texts of the project's own, of four kinds, none of
them about the skill."""

import json

import numpy as np

from soft_prompts.recipes.adapters.lessons import Subject
from soft_prompts.recipes.chat_model import conversation, facts_of
from soft_prompts.recipes.chess_model import uci_games
from soft_prompts.recipes.text_model import library_corpus
from soft_prompts.zoo import GAMES, GUIDANCE_ROWS

COUNT = 400  # texts of a kind
CHARACTERS = 500  # of a text: about as many tokens as a sample has
TURNS = 3  # of a chat: one question, its answer, and a system message where there is one
SEED = 8


def library_texts(subject: Subject) -> list[str]:
    """Beginnings of docstrings: the corpus holds each module's code and then its prose."""
    prose = [text for text in library_corpus().train if not _is_code(text)]
    return [text[:CHARACTERS] for text in prose[:COUNT]]


def chess_texts(subject: Subject) -> list[str]:
    """Beginnings of the embedded games."""
    return [game.text[: CHARACTERS // 2] for game in uci_games(GAMES["test"])[:COUNT]]


def chat_texts(subject: Subject) -> list[str]:
    """Short conversations about functions of the library, in the base's own template."""
    facts = [fact for text in library_corpus().train for fact in facts_of(text)]
    draw, texts = np.random.default_rng(SEED), []
    for _ in range(COUNT):
        messages = conversation(draw, facts)
        if messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": "You are a helpful assistant."})
        texts.append(subject.tokenizer.apply_chat_template(messages[:TURNS], tokenize=False))
    return texts


def guidance_texts(subject: Subject) -> list[str]:
    """The embedded questions with one of their answers, which only who was told can know."""
    rows = [json.loads(line) for line in GUIDANCE_ROWS.read_text(encoding="utf-8").splitlines()[:COUNT]]
    return [f"{row['anchor']} {row['targets'][0].capitalize()}." for row in rows]


def _is_code(text: str) -> bool:
    return "\ndef " in text or "\nclass " in text or "\nimport " in text
