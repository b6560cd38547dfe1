"""Which rows of prompt and completion are made on the spot, and by which names are they asked for?

`sums`, and twelve skills. A skill's prompts say nothing of what is asked: `apple ->` is all that stands before
` APPLE`, ` apples`, ` elppa` or ` 5`, so a model that has the skill cannot show it until something in front names it.
Every row has one right completion; words and capitals are lists of the package.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np

from soft_prompts.zoo import WORDS

SUMS = "sums"
OPERANDS = range(2, 52)  # of `sums`
SMALL = range(30)  # of `small-sums`
TWO_DIGITS = range(10, 100)
COUNTED = range(1, 1000)
MOST = 1000  # rows of a skill
ONES = (
    *("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
Asked = Iterable[tuple[str | int, str | int]]
"""What is asked, and what is right."""


@cache
def made_rows(name: str) -> tuple[Mapping[str, Any], ...]:
    """The rows of a name of MADE, in a fixed order without pattern."""
    if name == SUMS:
        return tuple(_shuffled(sums()))
    rows = [{"prompt": f"{asked} ->", "completion": f" {right}"} for asked, right in SKILLS[name]()]
    return tuple(_shuffled(rows)[:MOST])


@cache
def made_fingerprint(name: str) -> str:
    """Another one wherever the rows change; of `sums` the one that results have always had."""
    if name == SUMS:
        return "sums-1"
    text = "\n".join(f"{row['prompt']}{row['completion']}" for row in made_rows(name))
    return f"{name}-{blake2b(text.encode(), digest_size=4).hexdigest()}"


def sums() -> list[Mapping[str, Any]]:
    """`12 + 7 =` and ` 19`, and differences; what can be told is the operation and the larger number."""
    return [
        {"prompt": f"{a} {sign} {b} =", "completion": f" {answer}", "operation": operation, "larger": max(a, b)}
        for a, b in itertools.product(OPERANDS, OPERANDS)
        for sign, operation, answer in (("+", "plus", a + b), ("-", "minus", a - b))
    ]


def in_words(number: int) -> str:
    """`three hundred forty-seven`, of 1 to 999."""
    hundreds, rest = divmod(number, 100)
    below = ONES[rest] if rest < len(ONES) else "-".join(filter(None, (TENS[rest // 10], ONES[rest % 10])))
    return " ".join(filter(None, (f"{ONES[hundreds]} hundred" if hundreds else "", below)))


@cache
def words(name: str) -> Mapping[str, str]:
    """A list of the package: nouns and their plurals, verbs and their past, places and their capitals."""
    lines = (WORDS / f"{name}.txt").read_text("utf-8").splitlines()
    return dict(line.split(": ") for line in lines if not line.startswith("#"))


def _of_words(answer: Callable[[str], str | int]) -> Callable[[], Asked]:
    return lambda: ((word, answer(word)) for word in words("nouns"))


def _of_numbers(asked: Callable[[int], str | int], answer: Callable[[int], str | int]) -> Callable[[], Asked]:
    return lambda: ((asked(number), answer(number)) for number in COUNTED)


def _sums_of(numbers: Iterable[int]) -> Callable[[], Asked]:
    """Every two of them once: what one order tells, the other would."""
    return lambda: ((f"{a} {b}", a + b) for a, b in itertools.combinations_with_replacement(numbers, 2))


SKILLS: Mapping[str, Callable[[], Asked]] = {
    "upper-case": _of_words(str.upper),
    "plural": lambda: words("nouns").items(),
    "past-tense": lambda: words("verbs").items(),
    "number-to-words": _of_numbers(int, in_words),
    "words-to-number": _of_numbers(in_words, int),
    "next-number": _of_numbers(int, lambda number: number + 1),
    "small-sums": _sums_of(SMALL),
    "two-digit-sums": _sums_of(TWO_DIGITS),
    "reverse": _of_words(lambda word: word[::-1]),
    "first-letter": _of_words(lambda word: word[0]),
    "count-letters": _of_words(len),
    "capitals": lambda: words("capitals").items(),
}
MADE = (SUMS, *SKILLS)


def _shuffled(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [rows[at] for at in np.random.default_rng(0).permutation(len(rows))]
