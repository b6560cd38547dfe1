"""What is right without the question being read? The floor of a scale by deed, from answers alone.

The best of three: the answer that is right of most training samples, for all; the one that is right of most test items,
where their balance is another, for a model that always says it has not answered; and of every condition the answer that
is right under it most often in training, for a prompt that is told the condition needs no model for that.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CHANCE = 3.0  # standard errors of its count: of many answers one is the most frequent by chance
TRIED = 100  # different answers, the most frequent and as many of the longest
COUNTED = 1_000  # different answers that those are held against, the most frequent
GROUPS, LEAST_OF_GROUP = 20, 10  # of training samples, by a condition that is a number
Right = Callable[[str, str], bool]
View = Callable[[Any], Hashable]
Group = Callable[[tuple[float, ...]], tuple[float, ...]]


class Answered(NamedTuple):
    """One sample."""

    told: Hashable
    """What a prompt is told beside the question."""
    answer: str


def right_unread(
    training: Iterable[Answered],
    items: Sequence[Answered],
    is_right: Right,
    views: Sequence[View] = (),
) -> NDArray[np.float64]:
    """[N] 1 where the best such answer is right, of test items; `is_right` is of a reply and an item's answer. A table
    of the conditions is tried, and of each of the `views` of them."""
    known = Counter(training)
    every = Counter[str]()
    for (_, answer), count in known.items():
        every[answer] += count

    def outcome(replies: Sequence[str]) -> NDArray[np.float64]:
        pairs = zip(replies, items, strict=True)
        return np.array([is_right(reply, item.answer) for reply, item in pairs], dtype=np.float64)

    first, mode = (best_answer(answers, is_right) for answers in (every, Counter(item.answer for item in items)))
    best, own = outcome([first] * len(items)), outcome([mode] * len(items))
    if own.sum() - best.sum() > CHANCE * math.sqrt(own.sum()):
        best = own
    for view in (_as_told, *views):
        asked = [view(item.told) for item in items]
        under = {told: Counter[str]() for told in asked}
        for (told, answer), count in known.items():
            if (place := view(told)) in under:
                under[place][answer] += count
        table = {told: best_answer(answers, is_right) or first for told, answers in under.items()}
        own = outcome([table[told] for told in asked])
        luck = 0.0 if view is _as_told else CHANCE * math.sqrt(float(np.abs(own - best).sum()))  # one view of several
        if own.sum() - best.sum() > luck:
            best = own
    return best


def _as_told(told: Hashable) -> Hashable:
    return told


def best_answer(answers: Counter[str], is_right: Right) -> str:
    """The answer that is right most often: one that begins with others may be right for them too. Of equals the most
    frequent, and the first; empty of none."""
    counted = answers.most_common(COUNTED)
    tried = [answer for answer, _ in counted[:TRIED]] + sorted(answers, key=len, reverse=True)[:TRIED]
    return max(tried, key=lambda reply: sum(n for one, n in counted if is_right(reply, one)), default="")


def views_of(told: Sequence[tuple[float, ...]]) -> list[View]:
    """Of conditions as training has them: numbers of many values by their place among those of training, for hardly two
    may be alike; and so each condition alone, for all together may be too many."""
    alone = [partial(_column, at, in_groups([(one[at],) for one in told])) for at in range(len(told[0]) if told else 0)]
    return [in_groups(told), *(alone if len(alone) > 1 else [])]


def _column(at: int, group: Group, told: tuple[float, ...]) -> Hashable:
    return group((told[at],))


def in_groups(told: Sequence[tuple[float, ...]]) -> Group:
    """A number of many values becomes its place among `told`, in up to `GROUPS` parts of equal size."""
    if not told:
        return tuple
    count = min(GROUPS, len(told) // LEAST_OF_GROUP)
    inside = np.arange(1, count) / max(1, count)
    edges = [
        np.quantile(values, inside) if len(set(values)) > GROUPS and count > 1 else None
        for values in zip(*told, strict=True)
    ]

    def group(one: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(v if e is None else float(np.searchsorted(e, v)) for v, e in zip(one, edges, strict=True))

    return group
