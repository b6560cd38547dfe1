"""How is a language model asked to propose a difference, and whether a text shows it? All in the same words."""

import math
import re
from collections.abc import Sequence

SHOWN = 12  # texts of either side in a question
CHARACTERS = 160  # of each
YES, NO = " yes", " no"
THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)|\A.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
REFUSAL = re.compile(
    r"(?:i'?m |i am )(?:sorry|unable)\b|sorry[,.!]|i (?:can't|cannot|can not|won't)\b|as an ai\b", re.IGNORECASE
)
MARKS = r"[\s*_\"'`\u201c\u2018(\[{$>-]{0,12}"
# "no idea" and "yes or no" are neither
ENDS = r"(?=[\s*_\"'`\u201d\u2019)\]}$]{0,12}(?:$|[.,;:!\n\u2013\u2014]|-(?!\w)))"
# The other word, right behind the first, takes it back.
OTHER = r"[\s,;/|?-]{0,12}(?:(?:or|and|but)\b(?:\s+also)?[\s-]{0,12})?%s\b|[\s.!]{0,12}%s" + ENDS
FIRST = re.compile(
    rf"{MARKS}(?:(yes|no){ENDS}|(yes)\b(?!\s*(?:/|or\b|and\b))|(no) (?:it|this|that|the|there|because|since)\b)",
    re.IGNORECASE,
)
BEFORE = r"(?:[.!?:\n]|\banswer(?: is| would be)?\b|\bwould say\b|\\boxed)"
LATER = re.compile(rf"{BEFORE}{MARKS}(yes|no){ENDS}", re.IGNORECASE)


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
    """The statements of an answer, each once, in order; a refusal is none."""
    lines = (re.sub(r"^[\s\-*•]*(\d+[.)])?\s*", "", line).strip() for line in THOUGHT.sub("", answer).splitlines())
    said = (line for line in lines if len(line) > 2 and not REFUSAL.match(line.replace("\u2019", "'")))
    return list(dict.fromkeys(said))[:most]


def yes_or_no(answer: str) -> float:
    """1 for yes, 0 for no, NaN for what is neither: nothing, a refusal, `maybe`, or both.

    Thoughts between <think> marks are not read. What the answer begins with counts; where that is neither word, those
    that stand alone behind a sentence, a colon, a line, `answer is` or `would say`, and they must agree.
    """
    said = THOUGHT.sub("", answer)
    if found := FIRST.match(said):
        first = next(filter(None, found.groups())).lower()
        other = "no" if first == "yes" else "yes"
        is_both = re.match(OTHER % (other, other), said[found.end() :], re.IGNORECASE)
        return math.nan if is_both else float(first == "yes")
    words = {one.lower() for one in LATER.findall(said)}
    return float("yes" in words) if len(words) == 1 else math.nan


def _listed(texts: Sequence[str]) -> str:
    step = max(1, len(texts) // SHOWN)
    return "\n".join(f"- {_short(text)}" for text in texts[::step][:SHOWN])


def _short(text: str) -> str:
    return " ".join(text.split())[:CHARACTERS]
