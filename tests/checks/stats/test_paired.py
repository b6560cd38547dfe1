"""Are the standard errors of losses and paired differences those that one works out by hand?"""

import math

import numpy as np
import pytest

from soft_prompts.stats.paired import SeedValue, mean_over_seeds, paired_difference, ratio

UNITS, CLUSTER = [2, 1, 2, 1], [0, 0, 1, 1]
BARE, FOUR, FOUR_SEED_1 = [8.0, 4, 6, 6], [6.0, 3, 6, 5], [4.0, 3, 6, 5]


def test_ratio_estimator_by_hand():
    # d = -2 -1 0 -1, units 6: D = -2/3; residuals d - D u = -2/3 -1/3 4/3 -1/3; clusters -1 and 1; 2/1 * 2 / 36
    estimate = ratio(np.array(FOUR) - np.array(BARE), np.array(UNITS), np.array(CLUSTER))
    assert estimate is not None
    assert estimate.value == pytest.approx(-2 / 3)
    assert estimate.stderr == pytest.approx(1 / 3)
    assert estimate[2:] == (4, 2)
    assert ratio(np.ones(2), np.zeros(2, int), np.arange(2)) is None
    alone = ratio(np.ones(2), np.ones(2, int), np.zeros(2, int))
    assert alone is not None
    assert alone.stderr is None


def test_ratio_interval_covers_the_truth():
    draw = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        cluster = np.repeat(np.arange(60), 4)
        units = draw.integers(5, 40, 240)
        sums = units * (2.0 + 0.3 * draw.standard_normal(60)[cluster]) + draw.standard_normal(240)
        estimate = ratio(sums, units, cluster)
        assert estimate is not None
        assert estimate.stderr is not None
        covered += abs(estimate.value - 2.0) <= 1.96 * estimate.stderr
    assert 0.91 <= covered / 400 <= 0.98


def test_a_mean_over_seeds_carries_items_and_seeds():
    assert mean_over_seeds([SeedValue(0, 3.0, 0.1)]) == (3.0, pytest.approx(0.1))
    # items .1^2, seeds .08 / 2
    assert mean_over_seeds([SeedValue(0, 3.0, 0.1), SeedValue(1, 3.4, 0.1)]) == pytest.approx((3.2, math.sqrt(0.05)))
    assert mean_over_seeds([SeedValue(0, 3.0, None), SeedValue(1, 3.4, 0.1)]) == (pytest.approx(3.2), None)
    assert mean_over_seeds([SeedValue(0, None, None), SeedValue(1, 3.4, 0.1)]) == (None, None)


def test_a_paired_difference_over_seeds_by_hand():
    losses = {0: np.array(FOUR), 1: np.array(FOUR_SEED_1)}
    paired = paired_difference(losses, {0: np.array(BARE)}, np.array(UNITS), np.array(CLUSTER))
    assert paired is not None
    estimate, seeds = paired
    # mean d = -3 -1 0 -1: D = -5/6, cluster residuals -1.5 and 1.5: 2 * 4.5 / 36; seeds -2/3 and -1: (1/18) / 2
    assert estimate.value == pytest.approx(-5 / 6)
    assert estimate.stderr == pytest.approx(math.sqrt(0.25 + 1 / 36))
    assert [seed.value for seed in seeds] == pytest.approx([-2 / 3, -1])


def test_equal_seeds_are_paired_with_each_other():
    units, cluster = np.array(UNITS), np.array(CLUSTER)
    shifted = {seed: np.array(loss) + 3 * units for seed, loss in ((0, FOUR), (1, FOUR_SEED_1))}
    same = {0: np.array(FOUR), 1: np.array(FOUR_SEED_1)}
    paired = paired_difference(shifted, same, units, cluster)
    assert paired is not None
    assert paired[0].value == pytest.approx(3)
    assert paired[0].stderr == pytest.approx(0, abs=1e-12)
