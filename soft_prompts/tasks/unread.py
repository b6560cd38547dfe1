"""What is right without the question being read? The floor of a scale by deed, from answers alone.

The best of three: the answer that most training samples have, for all; the one that most test items have, where their
balance is another, for a model that always says it has not answered; and of every condition the answer that training
has most often under it, for a prompt that is told the condition needs no model for that.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CHANCE = 3.0  # standard errors of its count: of many answers one is the most frequent by chance


class Answered(NamedTuple):
    """One sample."""

    told: Hashable
    """What a prompt is told beside the question."""
    answer: str


class Frequent(NamedTuple):
    """The answers that training has most often."""

    answer: str
    """Of all; empty where there is none."""
    under: dict[Hashable, str]
    """Of each condition."""


def most_frequent(samples: Iterable[Answered]) -> Frequent:
    """Of training samples; of equals the first."""
    number = defaultdict[Hashable, Counter[str]](Counter)
    every = Counter[str]()
    for told, answer in samples:
        number[told][answer] += 1
        every[answer] += 1
    first = every.most_common(1)[0][0] if every else ""
    return Frequent(first, {told: answers.most_common(1)[0][0] for told, answers in number.items()})


def right_unread(
    frequent: Frequent, items: Sequence[Answered], is_right: Callable[[str, str], bool]
) -> NDArray[np.float64]:
    """[N] 1 where the best such answer is right, of test items; `is_right` is of a reply and the item's answer."""

    def outcome(replies: Sequence[str]) -> NDArray[np.float64]:
        pairs = zip(replies, items, strict=True)
        return np.array([is_right(reply, item.answer) for reply, item in pairs], dtype=np.float64)

    best = outcome([frequent.answer] * len(items))
    for answer, _ in Counter(item.answer for item in items).most_common(1):
        own = outcome([answer] * len(items))
        if own.sum() - best.sum() > CHANCE * math.sqrt(own.sum()):
            best = own
    told = outcome([frequent.under.get(item.told, frequent.answer) for item in items])
    return told if told.sum() > best.sum() else best
