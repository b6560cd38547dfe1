"""What is one draw of a comparison in which nothing has changed?"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from soft_prompts.behaviour.sampling.samples import Written
from soft_prompts.behaviour.wording.labels import label_samples
from soft_prompts.behaviour.wording.phrases import Phrases
from soft_prompts.common.console import say

LEVEL = 0.05
KEPT = 2 / 3  # share of the prompts, or documents, that a draw takes
GATE = "gate"
PHRASES = 20
TELL_EVERY = 50


class Draw(NamedTuple):
    """p-values of one, by part."""

    models: tuple[str, ...]
    """That it was made of, the target's place first; empty where all are one model."""
    p: dict[str, float]
    revealed: bool = False
    """Does a probe lie above every placebo? Without it no p makes it a change."""


def told(draws: int, what: str) -> Iterator[int]:
    """Their numbers; every so often it is said how far they are."""
    for number in range(draws):
        yield number
        if (number + 1) % TELL_EVERY == 0:
            say(f"{what}: {number + 1} of {draws} draws")


def some_of(count: int, generator: np.random.Generator) -> list[int]:
    """Places of those that a draw takes, none twice."""
    return sorted(generator.permutation(count)[: max(2, round(KEPT * count))].tolist())


def taken(samples: Sequence[Written], places: Sequence[int], draw: int) -> list[Written]:
    """These samples; their ids are the draw's own, so that they are split anew."""
    return [samples[at]._replace(id=f"{draw}-{samples[at].id}") for at in places]


def label_p(own: Sequence[Written], spare: Sequence[Sequence[Written]]) -> float:
    """The smallest p of phrases as the part of a comparison has it."""
    return min((one.adjusted_p for one in label_samples(own, spare, Phrases(), PHRASES)), default=1.0)
