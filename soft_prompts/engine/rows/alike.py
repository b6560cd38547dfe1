"""Which texts of a batch begin alike, as chats of one template do, and questions behind the same worked examples?"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

Ids = Int[NDArray, " _"]


class Alike(NamedTuple):
    """Texts that begin alike."""

    places: list[int]
    tokens: int
    """That all of them begin with."""


def alike(texts: Sequence[Ids], head: int) -> list[Alike]:
    """Groups of texts that stand behind the same positions, `head` of them: those that go on alike for so many tokens
    as save most positions, where each group has a head to itself."""
    order = sorted(range(len(texts)), key=lambda place: texts[place].tolist())
    common = [_common(texts[one], texts[other]) for one, other in pairwise(order)]
    return max(
        ([*_runs(order, common, least)] for least in sorted({0, *common})),
        key=lambda groups: sum((len(group.places) - 1) * (head + group.tokens) for group in groups),
    )


def _common(one: Ids, other: Ids) -> int:
    """Tokens that both begin with; each keeps one of its own."""
    length = max(0, min(len(one), len(other)) - 1)
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if len(differ) else length


def _runs(order: Sequence[int], common: Sequence[int], least: int) -> Iterator[Alike]:
    """Neighbours in order that have so many tokens alike."""
    cuts = [0, *(number for number, tokens in enumerate(common, 1) if tokens < least), len(order)]
    for start, end in pairwise(cuts):
        yield Alike(list(order[start:end]), min(common[start : end - 1], default=0))
