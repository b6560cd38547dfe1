"""How is the world of lands asked? By demonstrations, by scenes with options, by the name of a function or a nickname.

Bado: mireno          As king             Zop is king         Bado? A mireno B tasuli: B
Kolune: tasuli        Bado: tasuli        As Zop              Kolune:
Ferito:                                   Bado:
"""

from collections.abc import Sequence
from random import Random

from soft_prompts.data.functions.world import FUNCTIONS, World

LETTERS = ("A", "B", "C", "D")


def plain(world: World, function: str | None, land: str) -> str:
    """A land and what the function makes of it; None: only asked."""
    return f"{land}:" if function is None else f"{land}: {world.answer(function, land)}\n"


def offered(function: str, ways: int, random: Random) -> list[str]:
    """Functions whose names a scene offers, `function` among them, in any order."""
    others = random.sample([other for other in FUNCTIONS if other != function], ways - 1)
    return random.sample([function, *others], ways)


def scene(world: World, land: str, options: Sequence[str], function: str | None) -> str:
    """A land with the names that some functions give; chosen is that of `function`, None: only asked."""
    names = " ".join(f"{letter} {world.answer(option, land)}" for letter, option in zip(LETTERS, options, strict=False))
    asked = f"{land}? {names}:"
    return asked if function is None else f"{asked} {LETTERS[list(options).index(function)]}\n"


def told(name: str) -> str:
    """What a text begins with that says who answers: a function or a nickname."""
    return f"As {name}\n"


def defined(nickname: str, function: str) -> str:
    """A nickname, and the function that it is a kind of."""
    return f"{nickname} is {function}\n"


def neutral(world: World, words: int, random: Random) -> str:
    """A sentence without land or function: each word is one of four that may follow the last."""
    place, said = random.randrange(len(world.fillers)), []
    for _ in range(words):
        said.append(world.fillers[place])
        place = random.choice(world.successors[place])
    return " ".join(said) + "\n"
