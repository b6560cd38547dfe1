"""Are differences of distances paired, bounded where one is censored, and adjusted for the number of tasks?"""

import numpy as np
import pytest

from soft_prompts.stats.contrasts import contrast, holm, selectivity
from soft_prompts.stats.distance import Mark, capability_distance
from tests.checks.made.simulated_results import SHAPES, simulate


def test_contrasts_are_paired():
    simulated = simulate(SHAPES[0], 2, np.random.default_rng(6))
    one = capability_distance(simulated.losses, simulated.anchors).d_50
    same = contrast(one, one)
    assert same == (0, 0, 0, 1, 0)
    farther = Mark(0.5, 3.0, 3.0, 3.0, draws=np.array([3.0, 3, np.inf, np.inf]))
    nearer = Mark(0.5, 1.0, 1.0, 1.0, draws=np.array([1.0, 1, 7, np.inf]))
    found = contrast(farther, nearer)  # 1, 1, infinite, left out
    assert (found.value, found.low, found.high, found.left_out) == (1, 1, None, 0.25)
    assert found.p_value == pytest.approx(2 * 1 / 4)
    assert contrast(one, Mark(0.5, None, None, None, reason="no gap")).left_out == 1
    with pytest.raises(ValueError, match="same mark"):
        contrast(farther, one)


def test_models_that_differ_are_told_apart():
    near, far = (simulate(shape, 3, np.random.default_rng(8)) for shape in (SHAPES[0], SHAPES[3]))
    first, second = (capability_distance(each.losses, each.anchors).d_50 for each in (far, near))
    found = contrast(first, second)
    assert found.low is not None
    assert found.low > 1
    assert found.p_value is not None
    assert found.p_value < 0.01


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1, "b": 1}


def test_selectivity_is_a_bound_where_the_control_is_censored():
    task = Mark(0.5, 3.0, 3.0, 3.0)
    assert selectivity(Mark(0.5, 15.0, 9.0, 20.0), task) == (2, False)
    assert selectivity(Mark(0.5, None, 31.0, None, censored=True), task) == (3, True)
    assert selectivity(task, Mark(0.5, None, 31.0, None, censored=True)).value is None
    assert selectivity(Mark(0.5, None, None, None, reason="no gap"), task).value is None
