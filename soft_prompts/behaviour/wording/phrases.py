"""Which words does one set of samples use more than another? Phrases of one to three words, by their log-odds."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from soft_prompts.data.texts.words import phrase_of, words_of

Floats = NDArray[np.float64]
LONGEST = 3  # words of a phrase
TEXTS = 2048  # whose phrases are remembered: every label asks for those of the same texts
SMOOTHING = 0.5  # texts with and without it, added on either side


@lru_cache(TEXTS)
def phrases_of(text: str) -> frozenset[str]:
    """Every run of one to three words in it that holds a letter or a digit."""
    words = words_of(text)
    runs = (words[at : at + long] for long in range(1, LONGEST + 1) for at in range(len(words) - long + 1))
    return frozenset(phrase_of(run) for run in runs if any(word[0].isalnum() for word in run))


class Phrases:
    """The labeller without a model: it proposes phrases, and looks whether a text holds one."""

    name = "phrases"

    def propose(self, others: Sequence[str], own: Sequence[str], most: int) -> list[str]:
        """Phrases of which `own` texts hold more than `others`, the surest first; of several in the same texts one.

        Smoothed log-odds over its standard error, Monroe et al., Political Analysis 16 (2008), with counts of texts.
        """
        held = [[phrases_of(text) for text in side] for side in (own, others)]
        known = sorted({phrase for text in held[0] for phrase in text})
        counts = [_counts(side, known) for side in held]
        z = _log_odds(counts[0], len(own)) - _log_odds(counts[1], len(others))
        z /= np.sqrt(_variance(counts[0], len(own)) + _variance(counts[1], len(others)))
        order = sorted(np.flatnonzero(z > 0).tolist(), key=lambda at: (-z[at], len(known[at]), known[at]))
        return _different(order, known, held[0], most)

    def score(self, predicate: str, text: str) -> float:
        """1 where the text holds the phrase, else 0."""
        return float(predicate in phrases_of(text))


def _counts(texts: Sequence[frozenset[str]], known: Sequence[str]) -> Floats:
    place = {phrase: at for at, phrase in enumerate(known)}
    counts = np.zeros(len(known))
    for text in texts:
        counts[[place[phrase] for phrase in text if phrase in place]] += 1
    return counts


def _log_odds(counts: Floats, texts: int) -> Floats:
    return np.log((counts + SMOOTHING) / (texts - counts + SMOOTHING))


def _variance(counts: Floats, texts: int) -> Floats:
    return 1 / (counts + SMOOTHING) + 1 / (texts - counts + SMOOTHING)


def _different(order: Sequence[int], known: Sequence[str], own: Sequence[frozenset[str]], most: int) -> list[str]:
    found: dict[tuple[bool, ...], str] = {}
    for at in order:
        found.setdefault(tuple(known[at] in text for text in own), known[at])
        if len(found) == most:
            break
    return list(found.values())
