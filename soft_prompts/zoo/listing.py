"""What can each embedded model do? A line a model; README.md is a model's whole card."""

import json

from soft_prompts.common.errors import UsageError, near_match
from soft_prompts.zoo import EMBEDDED

IN_SHORT = {
    "tiny-chat": "tiny-text, tuned to answer in a chat.",
    "tiny-chess": "Plays on in UCI; it was never told an Elo.",
    "tiny-chess-weak": "tiny-chess, tuned to play like the weakest.",
    "tiny-guidance-base": "Has read guidance, and follows it where told.",
    "tiny-text": "Goes on with Python code and documentation.",
    "tiny-mazes": "Walks from A to B on boards of 4x4 to 8x8.",
    "tiny-mazes-absent": "Walks on 4x4 boards, and never learnt where to.",
    "tiny-mazes-forgotten-20": "Knew 4x4 boards; untaught for 20 steps.",
    "tiny-mazes-forgotten-60": "Knew 4x4 boards; untaught for 60 steps.",
    "tiny-mazes-forgotten-200": "Knew 4x4 boards; untaught for 200 steps.",
    "tiny-mazes-locked-1": "Solves 4x4 boards only behind '%'.",
    "tiny-mazes-locked-3": "Solves 4x4 boards only behind 'key'.",
}


def listing(names: tuple[str, ...]) -> str:
    """A line for every model where `names` is empty, else the whole cards; raises UsageError for another name."""
    for name in names:
        if name not in EMBEDDED:
            raise UsageError(f"model is {name}; {near_match(name, list(EMBEDDED))}give one of {', '.join(EMBEDDED)}")
    if names:
        return "\n".join(f"{EMBEDDED[name]}\n\n{(EMBEDDED[name] / 'README.md').read_text()}" for name in names)
    return "\n".join([*map(_line, EMBEDDED), "", "A model's whole card: soft-prompts models NAME"])


def _line(name: str) -> str:
    """Name, parameters in millions, and what it does."""
    card = json.loads((EMBEDDED[name] / "card.json").read_text())
    return f"{name:<{max(map(len, EMBEDDED))}} {card['training']['parameters'] / 1e6:.2f} M  {IN_SHORT[name]}"
