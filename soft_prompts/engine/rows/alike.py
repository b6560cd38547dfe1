"""Which texts of a batch begin alike, as chats of one template do, and questions behind the same worked examples?"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

WORTH = 0.05  # of all work: so much has to be saved before a second attention, or a second row, costs less
CALL = 16  # positions that take as long as one more call of attention
LEVELS = 32  # lengths of a beginning that are tried

Ids = Int[NDArray, " _"]


class Alike(NamedTuple):
    """Texts that begin alike."""

    places: list[int]
    tokens: int
    """That all of them begin with."""


def alike(texts: Sequence[Ids], head: int, quantum: int) -> list[Alike]:
    """Groups of texts that stand behind the same positions, `head` of them: those that go on alike for so many tokens
    as leave least to do, where each group has a head to itself and the rest of a text is filled up to a multiple of
    `quantum`. One group that shares no text, where the others would be hardly less."""
    order = sorted(range(len(texts)), key=lambda place: texts[place].tolist())
    common = [_common(texts[one], texts[other]) for one, other in pairwise(order)]
    levels = sorted(set(common) - {0})
    levels = levels[:: -(-len(levels) // LEVELS)] if levels else []
    work = partial(_work, lengths=[len(text) for text in texts], head=head, quantum=quantum)
    plain = [Alike(list(range(len(texts))), 0)]
    best = min(([*_runs(order, common, least)] for least in [0, *levels]), key=work)
    return best if work(best) < (1 - WORTH) * work(plain) else plain


def _work(groups: Sequence[Alike], lengths: Sequence[int], head: int, quantum: int) -> int:
    """Positions, and what each call of attention costs beside them: texts of one length and group share one."""
    positions, calls = 0, set[tuple[int, int]]()
    for number, group in enumerate(groups):
        begun = head + group.tokens if len(group.places) > 1 else 0
        rests = [(0 if begun else head) + lengths[place] - (group.tokens if begun else 0) for place in group.places]
        filled = [-(-rest // quantum) * quantum for rest in rests]
        positions += begun + sum(filled)
        calls |= {(number if begun else -1, length) for length in filled} | {(-2, begun)}
    return positions + CALL * len(calls)


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
