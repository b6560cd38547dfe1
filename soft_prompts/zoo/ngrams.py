"""How well does counting do? The baseline that tiny-text has to beat: a 5-gram with Kneser-Ney smoothing.

Every count gives up a discount, which goes to the shorter history's n-gram; shorter n-grams are counted by how many
different tokens stand before them (Kneser and Ney, 1995, interpolated). An n-gram is one integer, its tokens the
digits, so that all counting is sorting.
"""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
DISCOUNT = 0.75  # the usual value


def ngram_ids(tokens: Integers, length: int, vocabulary: int) -> Integers:
    """The n-gram that ends at each token, from the token number `length` - 1 on. vocabulary ** length must fit."""
    ids = np.zeros(len(tokens) - length + 1, dtype=np.int64)
    for offset in range(length):
        ids = ids * vocabulary + tokens[offset : offset + len(ids)]
    return ids


def lookup(keys: Integers, values: Integers, wanted: Integers) -> Integers:
    """The value beside each wanted key, 0 where there is none; `keys` are sorted."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def counted_ngrams(tokens: Integers, length: int, vocabulary: int, whole: bool) -> tuple[Integers, Integers]:
    """Sorted n-grams and how often each occurs; if not `whole`, how many different tokens stand before it."""
    if whole:
        return np.unique(ngram_ids(tokens, length, vocabulary), return_counts=True)
    longer = np.unique(ngram_ids(tokens, length + 1, vocabulary))
    return np.unique(longer % vocabulary**length, return_counts=True)


def ngram_nats(train: Integers, test: Integers, vocabulary: int, length: int = 5) -> float:
    """Nats of all tokens of `test` but the first `length` - 1, under an n-gram counted on `train`."""
    assert vocabulary**length < 2**63, "n-grams would not fit into 64 bits"
    probability = np.full(len(test) - length + 1, 1 / vocabulary)
    for n in range(1, length + 1):
        grams, counts = counted_ngrams(train, n, vocabulary, n == length)
        starts = np.flatnonzero(np.diff(grams // vocabulary, prepend=-1))  # first n-gram of each history
        histories, followers = grams[starts] // vocabulary, np.diff(starts, append=len(grams))
        wanted = ngram_ids(test, n, vocabulary)[length - n :]
        total = lookup(histories, np.add.reduceat(counts, starts), wanted // vocabulary)
        freed = DISCOUNT * lookup(histories, followers, wanted // vocabulary)
        seen = np.maximum(lookup(grams, counts, wanted) - DISCOUNT, 0)
        probability = np.where(total > 0, (seen + freed * probability) / np.maximum(total, 1), probability)
    return float(-np.log(probability).sum())
