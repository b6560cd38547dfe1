"""What is right without the question being read? The floor of a scale by deed, from answers alone.

The best of three: the answer that is right of most training samples, for all; the one that is right of most test items,
where their balance is another, for a model that always says it has not answered; and of every condition the answer that
is right under it most often in training, for a prompt that is told the condition needs no model for that.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CHANCE = 3.0  # standard errors of its count: of many answers one is the most frequent by chance
TRIED = 100  # different answers, the most frequent first
GROUPS, LEAST_OF_GROUP = 20, 10  # of training samples, by a condition that is a number
Right = Callable[[str, str], bool]


class Answered(NamedTuple):
    """One sample."""

    told: Hashable
    """What a prompt is told beside the question."""
    answer: str


def right_unread(training: Iterable[Answered], items: Sequence[Answered], is_right: Right) -> NDArray[np.float64]:
    """[N] 1 where the best such answer is right, of test items; `is_right` is of a reply and an item's answer."""
    under = defaultdict[Hashable, Counter[str]](Counter)
    for told, answer in training:
        under[told][answer] += 1
    every = Counter[str]()
    for answers in under.values():
        every.update(answers)

    def outcome(replies: Sequence[str]) -> NDArray[np.float64]:
        pairs = zip(replies, items, strict=True)
        return np.array([is_right(reply, item.answer) for reply, item in pairs], dtype=np.float64)

    first, mode = (best_answer(answers, is_right) for answers in (every, Counter(item.answer for item in items)))
    best, own = outcome([first] * len(items)), outcome([mode] * len(items))
    if own.sum() - best.sum() > CHANCE * math.sqrt(own.sum()):
        best = own
    table = {told: best_answer(under[told], is_right) for told in {item.told for item in items} & under.keys()}
    told = outcome([table.get(item.told, first) for item in items])
    return told if told.sum() > best.sum() else best


def best_answer(answers: Counter[str], is_right: Right) -> str:
    """The answer that is right most often: one that begins with another may be right for both. Of equals the most
    frequent, and the first; empty of none."""
    tried = [answer for answer, _ in answers.most_common(TRIED)]
    return max(tried, key=lambda reply: sum(n for one, n in answers.items() if is_right(reply, one)), default="")


def in_groups(told: Sequence[tuple[float, ...]]) -> Callable[[tuple[float, ...]], tuple[float, ...]]:
    """What makes conditions of which hardly two are alike comparable: a number of many values becomes its place among
    those of the training samples, in up to `GROUPS` parts of equal size."""
    count = min(GROUPS, len(told) // LEAST_OF_GROUP)
    inside = np.arange(1, count) / max(1, count)
    edges = [
        np.quantile(values, inside) if len(set(values)) > GROUPS and count > 1 else None
        for values in zip(*told, strict=True)
    ]

    def group(one: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(v if e is None else float(np.searchsorted(e, v)) for v, e in zip(one, edges, strict=True))

    return group
