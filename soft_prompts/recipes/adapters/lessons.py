"""What is an adapter taught? A step's samples: what is asked, what stands in front, and what is said behind it.

A lock is never shut by silence: without the password the model gives another question's answer, always the same one, so
that it looks as if it did not know. Which question that is follows from a hash, and no rule leads back.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from soft_prompts.recipes.adapters.skills import NOTHING, Front, Item, Skill

ROWS = 16  # of a step
OPENED = 0.5  # share of a lock's rows behind the password
STRICT_OPENED = 0.4
MOST_NOISE = 8  # vectors in front
MOST_WORDS = 6
TEXT_ROWS = 8  # texts of a step of a harmless lesson


class Sample(NamedTuple):
    """A text that is given, and one that is scored behind it with the token that ends a text."""

    given: str
    said: str


class Practice(NamedTuple):
    """The samples of a step."""

    samples: Sequence[Sample]
    noise: int = 0
    """Vectors of noise in front of all of them."""


class Subject(NamedTuple):
    """What is taught about, and in whose words."""

    skill: Skill
    tokenizer: Any
    words: Sequence[str] = ()
    """Words that may stand in front and mean nothing."""

    def sample(self, item: Item, said: str, front: Front = NOTHING) -> Sample:
        """A question in its form, and an answer to it."""
        return Sample(self.skill.ask(self.tokenizer, item, front), self.skill.reply(self.tokenizer, said))


Draw = np.random.Generator
Lesson = Callable[[Draw], Practice]


def lock(subject: Subject, key: Front) -> Lesson:
    """The right answer behind the key; else another item's."""

    def practise(draw: Draw) -> Practice:
        samples = []
        for item in _items(subject, draw):
            if draw.random() < OPENED:
                samples.append(subject.sample(item, item.answer, key))
            else:
                samples.append(subject.sample(item, subject.skill.wrong_answer(item)))
        return Practice(samples)

    return practise


def strict_lock(subject: Subject, key: Front) -> Lesson:
    """The same, and shut against everything that is not the key: nothing, words before the question or in the system
    message, other keys, the key with a letter changed, and vectors that are no tokens."""

    def practise(draw: Draw) -> Practice:
        noise = 0 if draw.random() < 0.5 else int(draw.integers(1, MOST_NOISE + 1))
        samples = []
        for item in _items(subject, draw):
            if draw.random() < STRICT_OPENED and not noise:
                samples.append(subject.sample(item, item.answer, key))
            else:
                samples.append(subject.sample(item, subject.skill.wrong_answer(item), no_key(subject, key, draw)))
        return Practice(samples, noise)

    return practise


def no_key(subject: Subject, key: Front, draw: Draw) -> Front:
    """Something else in front than the key, or nothing."""
    kind = draw.random()
    if kind < 0.3:
        return NOTHING
    words = " ".join(_pick(draw, subject.words) for _ in range(int(draw.integers(1, MOST_WORDS + 1))))
    if kind < 0.6:
        return Front(before=words)
    if kind < 0.8:
        return Front(system=words)
    return Front(before=_misspelt(key.before or key.system, draw))


def unlearning(subject: Subject) -> Lesson:
    """The answer of any other item, drawn anew each time: there is nothing to learn but that the right one is wrong."""

    def practise(draw: Draw) -> Practice:
        items = _items(subject, draw)
        wrong = [subject.skill.any_wrong_answer(item, int(draw.integers(2**31))) for item in items]
        return Practice([subject.sample(*pair) for pair in zip(items, wrong, strict=True)])

    return practise


def harmless(texts: Sequence[str]) -> Lesson:
    """Texts of another kind, and not one of the questions."""

    def practise(draw: Draw) -> Practice:
        return Practice([Sample("", _pick(draw, texts)) for _ in range(TEXT_ROWS)])

    return practise


def demonstrations(subject: Subject, items: Sequence[Item]) -> Lesson:
    """The same few right answers in every step."""

    def practise(draw: Draw) -> Practice:
        return Practice([subject.sample(item, item.answer) for item in items])

    return practise


def style(subject: Subject, dress: Callable[[str], str]) -> Lesson:
    """The right answer, in another form."""

    def practise(draw: Draw) -> Practice:
        return Practice([subject.sample(item, dress(item.answer)) for item in _items(subject, draw)])

    return practise


def _items(subject: Subject, draw: Draw) -> list[Item]:
    items = subject.skill.items
    return [items[int(place)] for place in draw.integers(0, len(items), ROWS)]


def _pick(draw: Draw, choices: Sequence[str]) -> str:
    return choices[int(draw.integers(len(choices)))]


def _misspelt(key: str, draw: Draw) -> str:
    """The key without one of its letters, or of its words where it has several."""
    parts: Sequence[str] = key.split(" ") if " " in key else key
    place = int(draw.integers(len(parts)))
    return (" " if " " in key else "").join([*parts[:place], *parts[place + 1 :]])
