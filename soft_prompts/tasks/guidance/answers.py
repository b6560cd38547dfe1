"""Is an answer right, how often by luck, and does a model hold a question and its answer together?

Numbers alone: what a model wrote and how likely it found each answer come from `behaviour`. Source: the published
evaluation of out-of-context guidance following.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.stats.paired import Estimate, ratio
from soft_prompts.stats.proportions import Proportion, proportion
from soft_prompts.tasks.guidance.text import END_TAG
from soft_prompts.tasks.unread import best_answer

Floats = NDArray[np.float64]


Judge = Callable[[str, str], bool]


"""Whether a generation (first) answers with the target (second)."""


class Floor(NamedTuple):
    """What the best constant answer would reach."""

    answer: str
    value: float


def is_exact(generation: str, target: str) -> bool:
    """The generation up to a newline or end tag is the target; case and punctuation around it do not count."""
    return _bare(answer_part(generation)) == _bare(target)


def is_prefix(generation: str, target: str) -> bool:
    """The generation starts with the target, in any case: the published rule. It accepts wrong answers: "No, I ..."
    where "No" is right."""
    return generation.strip().casefold().startswith(target.strip().casefold())


def _bare(text: str) -> str:
    """Without case, white space and punctuation around it; an answer of punctuation alone keeps it."""
    text = text.strip().casefold()
    inside = [place for place in range(len(text)) if not _is_outer(text, place)]
    return text[inside[0] : inside[-1] + 1] if inside else text


def _is_outer(text: str, place: int) -> bool:
    """White space and punctuation, but for what makes another answer of it: -5, 50%, C#."""
    character = text[place]
    before, behind = text[max(place - 1, 0) : place], text[place + 1 : place + 2]
    if (
        character == "%"
        or (character == "#" and before.isalnum())
        or (character in "-\N{EN DASH}" and behind.isdigit())
    ):
        return False
    if character == "+":
        return behind.isdigit()  # +5 is 5
    return character.isspace() or unicodedata.category(character).startswith("P")


def judge_all(generations: Sequence[str], targets: Sequence[str], judge: Judge) -> Proportion:
    """The share of generations that answer with their targets."""
    return proportion([judge(text, target) for text, target in zip(generations, targets, strict=True)])


def constant_floor(targets: Sequence[str], judge: Judge) -> Floor:
    """The share of targets that one answer, the best among them, gets right everywhere; the first of the best."""
    best = best_answer(Counter(targets), judge)
    return Floor(best, sum(judge(best, target) for target in targets) / len(targets))


def mean(values: Floats, per: NDArray[np.int64] | None = None) -> Estimate:
    """Mean of [N] values with a standard error over items; `per` [N] makes it sum over sum. Raises ValueError for
    none."""
    estimate = ratio(values, np.ones(len(values)) if per is None else per, np.arange(len(values)))
    if estimate is None:
        raise ValueError("there is no value to take the mean of")
    return estimate


def binding(scores: Floats, own: NDArray[np.int64]) -> Floats:
    """For each question [Q], the share of other candidates that its own one beats; chance 50 %, a tie is half.

    `scores` [Q, T] are log-probabilities of T candidates at each question, `own` [Q] the column of its own target. Each
    candidate is centred over the questions: what is likely everywhere counts for nothing, and neither does a format
    that makes all of them likelier. NaN where a question has no other candidate.
    """
    centred = scores - scores.mean(axis=0)
    own_score = np.take_along_axis(centred, own[:, None], axis=1)
    beaten = (own_score > centred) + 0.5 * (own_score == centred)
    number = scores.shape[1] - 1
    return (beaten.sum(axis=1) - 0.5) / number if number else np.full(len(scores), np.nan)


def pairwise_accuracy(margins: Floats) -> Floats:
    """For each question [Q], the share of its margins [Q, M] above 0; chance 50 %, a tie is half."""
    return ((margins > 0) + 0.5 * (margins == 0)).mean(axis=1)


def distinct(targets: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The different targets in order of appearance, and the column [N] of each target among them."""
    columns = {target: place for place, target in enumerate(dict.fromkeys(targets))}
    return list(columns), np.array([columns[target] for target in targets], dtype=np.int64)


def answer_part(text: str, end_tags: Sequence[str] = (END_TAG,)) -> str:
    """What of a completion is the answer: up to the first newline or end tag."""
    for end in ("\n", *end_tags):
        text = text.split(end, 1)[0]
    return text
