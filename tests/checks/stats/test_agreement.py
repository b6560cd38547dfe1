"""Are orders and slopes told by the right numbers?"""

import numpy as np
import pytest

from soft_prompts.stats.agreement import rank_correlation, slope


def test_rank_correlation_by_hand() -> None:
    assert rank_correlation([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert rank_correlation([0.1, np.inf, 0.2], [1, 3, 2]) == pytest.approx(1)
    assert rank_correlation([1, 1, 2], [1, 2, 3]) == pytest.approx(1.5 / np.sqrt(1.5 * 2))
    assert rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


def test_slope_by_hand() -> None:
    assert slope([1, 2, 3], [0.2, 1.2, 2.2]) == pytest.approx(1)
    assert slope([1, 1], [0, 2]) is None
