"""Where is the next prompt worth most, once the bracket of a curve is read? Counts inside it, and counts that want more
seeds or a control."""

import itertools
import math
from collections.abc import Collection, Iterable

from soft_prompts.stats.brackets import Bracket


def is_read(bracket: Bracket | None) -> bool:
    """Is there a scale with a gap, so that counts can be told apart?"""
    return bracket is not None and bracket.state in ("shown", "not_reached")


def next_count(bracket: Bracket | None, tried: Collection[int]) -> int | None:
    """The count to try next: half way between the ends on log2(P + 1). None where at_most <= 2 more_than + 1, where
    nothing lies between, or where a count between them was tried: it is in doubt, and seeds resolve it."""
    if bracket is None or bracket.at_most is None or bracket.more_than is None:
        return None
    low, high = bracket.more_than, bracket.at_most
    if high <= 2 * low + 1 or any(low < count < high for count in tried):
        return None
    return middle(low, high)


def middle(low: int, high: int) -> int:
    """The whole number between two counts, neither of them, that is nearest to their geometric middle; counted from 1,
    since a bare model has 0 tokens."""
    return min(high - 1, max(low + 1, round(math.sqrt((low + 1) * (high + 1))) - 1))


def most_new_counts(tried: Iterable[int]) -> int:
    """How many counts bisection can add at most, wherever among the counts tried the bracket lies."""
    counts = sorted({0, *tried})
    return max((_most_between(low, high) for low, high in itertools.pairwise(counts)), default=0)


def _most_between(low: int, high: int) -> int:
    if high <= 2 * low + 1:
        return 0
    between = middle(low, high)
    return 1 + max(_most_between(low, between), _most_between(between, high))


def seeded_counts(bracket: Bracket | None, tried: Collection[int]) -> list[int]:
    """Counts of which several seeds are wanted: both ends and what is in doubt between them, without 0; of a mark that
    is not reached the largest."""
    if bracket is None or not is_read(bracket):
        return []
    if bracket.at_most is None:
        return sorted(set(tried) - {0})[-1:]
    return sorted({count for count in (bracket.more_than, bracket.at_most, *bracket.in_doubt) if count})


def controlled_counts(bracket: Bracket | None, tried: Collection[int]) -> list[int]:
    """Counts that a control is wanted at: both ends of the bracket without 0; the two largest of a mark that is not
    reached."""
    if bracket is None or not is_read(bracket):
        return []
    if bracket.at_most is None:
        return sorted(set(tried) - {0})[-2:]
    return sorted({count for count in (bracket.more_than, bracket.at_most) if count})


def doubted_count(bracket: Bracket | None, tried: Collection[int]) -> int | None:
    """The count at which the search is to be doubted: the lower end, of a mark that is not reached the largest count.
    None where nothing or the bare model alone falls short, or was tried."""
    if bracket is None or not is_read(bracket):
        return None
    return max(tried, default=None) if bracket.at_most is None else bracket.more_than or None
