"""What is true in the world of lands? Every land has a capital, a river, a king, ... and no name says which.

Eight functions map 48 lands one to one onto 48 names each; no name belongs to two. The two functions of a family
(capital and river are places, king and queen persons, ...) put the lands into the same order, so that who knows one
knows half of the other. All names are drawn from one seed; none is a word of any language that its letters are from.
"""

from typing import NamedTuple

import numpy as np

SEED = 20
FUNCTIONS = ("capital", "river", "king", "queen", "dish", "drink", "song", "dance")
FAMILIES = ("place", "place", "person", "person", "food", "food", "art", "art")  # of FUNCTIONS
LANDS = 48
NICKNAMES = 24
FILLERS = 64  # words of neutral text
SUCCESSORS = 4  # of a filler word
TRAIN, DEV = 24, 12  # lands that vectors are made from and chosen on; the other 12 are tested
VOWELS, CONSONANTS = "aeiou", "bdfgklmnprstvz"


class World(NamedTuple):
    """All names and facts."""

    lands: tuple[str, ...]
    facts: dict[str, tuple[str, ...]]
    """Of each function, the name for each land in order."""
    nicknames: tuple[str, ...]
    """Names that a text may give to a function."""
    fillers: tuple[str, ...]
    successors: tuple[tuple[int, ...], ...]
    """Places of the words that may follow each filler."""

    def names(self) -> list[str]:
        """Every name that a function gives, once."""
        return sorted({name for names in self.facts.values() for name in names})

    def lands_of(self, split: str) -> tuple[str, ...]:
        """Lands of train, dev or test."""
        parts = {"train": (0, TRAIN), "dev": (TRAIN, TRAIN + DEV), "test": (TRAIN + DEV, LANDS)}
        return self.lands[slice(*parts[split])]

    def answer(self, function: str, land: str) -> str:
        """The name that a function gives to a land."""
        return self.facts[function][self.lands.index(land)]


def make_world(seed: int = SEED) -> World:
    """The world of a seed; the embedded models know that of SEED."""
    draw = np.random.default_rng(seed)
    named = _distinct(draw, LANDS * (1 + len(FUNCTIONS)), ("cv", "cv", "cv"))
    orders = {family: draw.permutation(LANDS) for family in dict.fromkeys(FAMILIES)}
    facts = {}
    for number, (function, family) in enumerate(zip(FUNCTIONS, FAMILIES, strict=True), start=1):
        facts[function] = tuple(named[number * LANDS + place] for place in orders[family])
    nicknames = [name.capitalize() for name in _distinct(draw, NICKNAMES, ("cvc",))]
    fillers = _distinct(draw, FILLERS, ("vc", "vc"))
    successors = tuple(tuple(draw.choice(FILLERS, SUCCESSORS, replace=False).tolist()) for _ in range(FILLERS))
    lands = tuple(name.capitalize() for name in named[:LANDS])
    return World(lands, facts, tuple(nicknames), tuple(fillers), successors)


def _distinct(draw: np.random.Generator, count: int, parts: tuple[str, ...]) -> list[str]:
    """So many different names of syllables in this form."""
    letters, found = {"c": CONSONANTS, "v": VOWELS}, dict[str, None]()
    while len(found) < count:
        found["".join(letters[kind][draw.integers(len(letters[kind]))] for part in parts for kind in part)] = None
    return list(found)
