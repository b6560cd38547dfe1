"""Which published organisms have a card, and what is known of each? `soft-prompts models --catalogue`.

A card is a file of `zoo/catalogue`, and its name a name of a model.
"""

import textwrap
from pathlib import Path

from soft_prompts.common.errors import UsageError, near_match
from soft_prompts.models.sources.card import Card, read_card
from soft_prompts.zoo import CATALOGUE

CARDS: dict[str, Path] = {
    name: CATALOGUE / f"{name}.yaml" for name in sorted(path.stem for path in CATALOGUE.glob("*.yaml"))
}
COLUMNS = 80
HEAD = """Cards of published organisms: what loading each takes, and what is known of it.
Give a name to --models; its files come from a model hub.
"""


def listing(names: tuple[str, ...]) -> str:
    """A line for every card where `names` is empty, else the cards as they stand; raises UsageError."""
    for name in names:
        if name not in CARDS:
            raise UsageError(f"card is {name}; {near_match(name, list(CARDS))}give one of {', '.join(CARDS)}")
    if names:
        return "\n".join(f"{CARDS[name]}\n\n{CARDS[name].read_text(encoding='utf-8')}" for name in names)
    width = max(map(len, CARDS))
    lines = [_folded(f"{name:<{width}} {_in_short(read_card(name))}", width + 1) for name in CARDS]
    return "\n".join([HEAD, *lines, "", "A whole card: soft-prompts models --catalogue NAME"])


def _folded(line: str, indent: int) -> str:
    return textwrap.fill(line, COLUMNS, subsequent_indent=" " * indent, break_on_hyphens=False)


def _in_short(card: Card) -> str:
    """The first sentence of what is known."""
    return (card.notes or "").split(". ")[0].strip().rstrip(".") + "."
