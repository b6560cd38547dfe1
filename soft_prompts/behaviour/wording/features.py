"""Which words does a text hold, as numbers? TF-IDF of one- and two-word phrases, rows of length 1."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from soft_prompts.data.texts.words import words_of

LEAST_TEXTS = 2  # that a phrase stands in; others say nothing of texts not seen


class Vocabulary(NamedTuple):
    """Phrases and what each weighs: log((1 + N) / (1 + n)) + 1 for n of N texts that hold it."""

    places: dict[str, int]
    weights: np.ndarray


def read_vocabulary(texts: Sequence[str]) -> Vocabulary:
    """Of the texts that a classifier or a clustering may learn from."""
    counts: dict[str, int] = {}
    for text in texts:
        for gram in set(_grams(text)):
            counts[gram] = counts.get(gram, 0) + 1
    kept = sorted(gram for gram, count in counts.items() if count >= LEAST_TEXTS)
    weights = [np.log((1 + len(texts)) / (1 + counts[gram])) + 1 for gram in kept]
    return Vocabulary({gram: at for at, gram in enumerate(kept)}, np.array(weights))


def tf_idf(texts: Sequence[str], vocabulary: Vocabulary) -> Any:
    """Sparse [N, F] of scipy; a text without a known phrase is a row of zeros."""
    from scipy import sparse  # takes seconds to load

    rows, columns = list[int](), list[int]()
    for row, text in enumerate(texts):
        known = [vocabulary.places[gram] for gram in _grams(text) if gram in vocabulary.places]
        rows += [row] * len(known)
        columns += known
    shape = (len(texts), len(vocabulary.places))
    counts = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    weighted = counts.multiply(vocabulary.weights[None]).tocsr()
    lengths = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sparse.diags(1 / np.where(lengths > 0, lengths, 1.0)) @ weighted


def _grams(text: str) -> list[str]:
    words = words_of(text)
    return [*words, *(f"{one} {other}" for one, other in pairwise(words))]
