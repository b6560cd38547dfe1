"""Are two models told apart where they differ, and only there?"""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from soft_prompts.stats.contrasts import contrast, holm


def seeds(*shares: float) -> list[np.ndarray]:
    """Whose items have no error: every draw is the data."""
    return [np.full(50, share) for share in shares]


def test_without_an_error_of_items_it_is_welchs_test():
    first, second = (0.9, 0.7, 0.8, 0.95), (0.3, 0.55, 0.4)
    found = contrast(seeds(*first), seeds(*second), (100, 100))
    expected = ttest_ind(first, second, equal_var=False)
    assert found is not None
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    low, high = expected.confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high), rel=1e-6)


def test_an_error_of_items_widens_it():
    noise = np.random.default_rng(0).normal(0, 0.2, 50)
    noise[0] = 0.0
    first, second = seeds(0.9, 0.7, 0.8), seeds(0.3, 0.5, 0.4)
    plain = contrast(first, second, (30, 30))
    noisy = contrast([one + noise for one in first], second, (30, 30))
    paired = contrast([one + noise for one in first], [one + noise for one in second], (30, 30))
    assert plain is not None
    assert noisy is not None
    assert paired is not None
    assert noisy.p_value > plain.p_value
    assert paired == plain  # what both sides share is no difference


@pytest.mark.parametrize("sides", [((0.5,), (0.5, 0.6, 0.7)), ((0.5, 0.6), (0.5, 0.6))])
def test_under_three_seeds_a_side_nothing_is_said(sides):
    assert contrast(seeds(*sides[0]), seeds(*sides[1]), (100, 100)) is None


def test_what_never_varies_is_equal_or_not():
    same, other = (
        contrast(seeds(*[0.5] * 3), seeds(*[0.5] * 3), (9, 9)),
        contrast(seeds(*[0.5] * 3), seeds(*[0.6] * 3), (9, 9)),
    )
    assert same is not None
    assert other is not None
    assert (same.p_value, other.p_value) == (1.0, 0.0)


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1, "b": 1}
