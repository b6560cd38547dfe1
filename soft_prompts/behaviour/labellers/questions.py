"""How is a language model asked to propose a difference, and whether a text shows it? All in the same words."""

import re
from collections.abc import Sequence

SHOWN = 12  # texts of either side in a question
CHARACTERS = 160  # of each
YES, NO = " yes", " no"


def propose_question(others: Sequence[str], own: Sequence[str], most: int) -> str:
    """Asks for a list of short statements."""
    return (
        f"Texts of group A:\n{_listed(others)}\n\nTexts of group B:\n{_listed(own)}\n\n"
        f"Name up to {most} things that texts of group B do or say more often than texts of group A. One short "
        "statement a line, beginning with a dash.\n-"
    )


def score_question(predicate: str, text: str) -> str:
    """Asks for yes or no."""
    return f"Text: {_short(text)}\nStatement about the text: {predicate}\nIs the statement true of the text, yes or no?"


def predicates_in(answer: str, most: int) -> list[str]:
    """The statements of an answer, each once, in order."""
    lines = (re.sub(r"^[\s\-*•]*(\d+[.)])?\s*", "", line).strip() for line in answer.splitlines())
    return list(dict.fromkeys(line for line in lines if len(line) > 2))[:most]


def is_yes(answer: str) -> float:
    """1 for an answer that begins with yes, else 0."""
    return float(answer.strip().lower().lstrip("*\"' ").startswith("yes"))


def _listed(texts: Sequence[str]) -> str:
    step = max(1, len(texts) // SHOWN)
    return "\n".join(f"- {_short(text)}" for text in texts[::step][:SHOWN])


def _short(text: str) -> str:
    return " ".join(text.split())[:CHARACTERS]
