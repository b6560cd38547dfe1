"""Does bisection stop where the answer is known within a factor of two, and do seeds and controls go where it rests?"""

import itertools
import math

import pytest

from soft_prompts.experiments.evidence.resolution import (
    controlled_counts,
    doubted_count,
    middle,
    most_new_counts,
    next_count,
    seeded_counts,
)
from soft_prompts.stats.brackets import Bracket


def bracket_of(truth: float, tried: list[int]) -> Bracket:
    """As a measure without error would read it."""
    reached = [count for count in tried if count >= truth]
    return Bracket(
        0.5,
        "shown" if reached else "not_reached",
        max((count for count in tried if count < truth), default=None),
        min(reached, default=None),
    )


@pytest.mark.parametrize(("counts", "truth"), itertools.product([(0, 1, 4, 16), (0, 16), (0, 1, 64)], range(1, 18)))
def test_bisection_ends_within_a_factor_of_two_and_holds_the_truth(counts: tuple[int, ...], truth: int) -> None:
    tried, added = list(counts), 0
    while (count := next_count(bracket_of(truth, tried), tried)) is not None:
        assert count not in tried
        tried, added = sorted([*tried, count]), added + 1
    found = bracket_of(truth, tried)
    if truth > max(counts):
        assert found.state == "not_reached"
        assert added == 0
        return
    assert found.more_than is not None
    assert found.at_most is not None
    assert found.more_than < truth <= found.at_most <= 2 * found.more_than + 1
    assert added <= most_new_counts(counts)


def test_the_most_that_bisection_adds_is_reached_by_some_truth() -> None:
    for counts in ([0, 1, 4, 16], [0, 16], [0, 2, 100]):
        added = []
        for truth in range(1, max(counts) + 1):
            tried = list(counts)
            while (count := next_count(bracket_of(truth, tried), tried)) is not None:
                tried = sorted([*tried, count])
            added.append(len(tried) - len(counts))
        assert max(added) == most_new_counts(counts)
    assert most_new_counts([0, 1, 3, 7]) == 0


def test_the_middle_is_that_of_doublings() -> None:
    assert [middle(0, 2), middle(4, 16), middle(0, 16), middle(1, 4)] == [1, 8, 3, 2]
    for low, high in itertools.product(range(6), range(2, 70)):
        if high - low > 1:
            nearest = min(range(low + 1, high), key=lambda c: abs(c + 1 - math.sqrt((low + 1) * (high + 1))))
            assert middle(low, high) == nearest


def test_nothing_is_tried_beside_a_count_in_doubt() -> None:
    doubt = Bracket(0.5, "shown", 1, 16, in_doubt=(4,))
    assert next_count(doubt, [0, 1, 4, 16]) is None
    assert seeded_counts(doubt, [1, 4, 16]) == [1, 4, 16]
    assert controlled_counts(doubt, [1, 4, 16]) == [1, 16]


@pytest.mark.parametrize(
    ("bracket", "seeded", "controlled", "doubted"),
    [
        (Bracket(0.5, "shown", 4, 8), [4, 8], [4, 8], 4),
        (Bracket(0.5, "shown", 0, 1), [1], [1], None),
        (Bracket(0.5, "shown", None, 0), [], [], None),
        (Bracket(0.5, "shown", None, 4, in_doubt=(0, 1)), [1, 4], [4], None),
        (Bracket(0.5, "not_reached", 16, None), [16], [4, 16], 16),
        (Bracket(0.5, "not_reached", 4, None, in_doubt=(16,)), [16], [4, 16], 16),
        (Bracket(0.5, "no_scale"), [], [], None),
        (Bracket(0.5, "no_gap"), [], [], None),
        (None, [], [], None),
    ],
)
def test_seeds_and_controls_stand_at_the_ends(
    bracket: Bracket | None, seeded: list[int], controlled: list[int], doubted: int | None
) -> None:
    counts = [1, 4, 8, 16] if bracket and bracket.at_most == 8 else [1, 4, 16]
    assert seeded_counts(bracket, counts) == seeded
    assert controlled_counts(bracket, counts) == controlled
    assert doubted_count(bracket, counts) == doubted
