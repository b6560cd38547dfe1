"""Are intervals, shares and brackets those that one works out by hand?"""

import math
import subprocess
import sys

import numpy as np
import pytest

from soft_prompts.stats.bootstrap import Interval, Scores, drawn_means, interval, over_seeds
from soft_prompts.stats.brackets import bracket
from soft_prompts.stats.items import Items
from soft_prompts.stats.proportions import wilson
from soft_prompts.stats.scales import BEATEN, Anchor, Ends, measured

CLUSTER = np.repeat(np.arange(40), 3)


def alike(value: float, count: int = 120) -> Scores:
    return Scores(np.full(count, value), np.ones(count))


def noisy(value: float, spread: float = 0.5, seed: int = 0) -> Scores:
    sums = value + spread * np.random.default_rng(seed).standard_normal(120)
    return Scores(sums, np.ones(120))


def test_draws_of_clusters_against_a_slow_loop():
    generator = np.random.default_rng(1)
    scores = Scores(generator.standard_normal(30), generator.integers(1, 5, 30).astype(float))
    cluster = np.repeat([7, 3, 9, 1, 5], 6)
    rows = drawn_means([scores], cluster, 4000)[:, 0]
    by_hand = [scores.sums.sum() / scores.weights.sum()]
    members = [np.flatnonzero(cluster == name) for name in np.unique(cluster)]
    for _ in range(4000):
        some = np.concatenate([members[pick] for pick in generator.integers(0, 5, 5)])
        by_hand.append(scores.sums[some].sum() / scores.weights[some].sum())
    assert rows[0] == pytest.approx(by_hand[0])
    assert rows[1:].std() == pytest.approx(np.std(by_hand[1:]) * (5 / 4) ** 0.5, rel=0.05)


def test_seeds_are_drawn_again_with_their_own_error():
    """Three seeds at 0, 1 and 5 whatever the items: the draws spread as s / root 3 does."""
    found = over_seeds(np.tile(np.array([0.0, 1.0, 5.0]), (20_001, 1)))
    assert found[0] == pytest.approx(2.0)
    assert found[1:].mean() == pytest.approx(2.0, abs=0.05)
    assert found[1:].std() == pytest.approx(np.std([0.0, 1.0, 5.0], ddof=1) / 3**0.5, rel=0.02)
    same = np.random.default_rng(0).standard_normal((50, 1))
    np.testing.assert_allclose(over_seeds(np.repeat(same, 4, axis=1)), same[:, 0])
    np.testing.assert_allclose(over_seeds(same), same[:, 0])


def test_draws_have_the_standard_error_of_a_mean():
    values = np.random.default_rng(2).standard_normal(12)
    rows = drawn_means([Scores(values, np.ones(12))], np.arange(12), 40_000)[1:, 0]
    assert rows.std() == pytest.approx(values.std(ddof=1) / 12**0.5, rel=0.02)


def test_equal_clusters_give_equal_draws():
    one, both = (drawn_means([noisy(0.0)] * count, CLUSTER, 30) for count in (1, 2))
    assert (both[:, 0] == one[:, 0]).all()
    assert (both[:, 0] == both[:, 1]).all()


def test_an_interval_is_of_ranks_and_wants_five_clusters():
    rows = np.concatenate([[7.0], np.random.default_rng(0).permutation(np.arange(1, 1001.0))])
    assert interval(rows, 5) == (7, 25, 975)
    assert interval(rows, 4) == (7, None, None)


def test_outcomes_that_were_not_asked_do_not_count():
    items = Items(np.zeros(4), *[np.ones(4, dtype=np.int64)] * 3, outcome=np.array([1.0, np.nan, 0.0, 1.0]))
    assert Scores.of_outcome(items).mean == pytest.approx(2 / 3)
    assert Scores.of_loss(Items(np.array([2.0, 4.0]), *[np.array([1, 3])] * 2, np.array([0, 1]))).mean == -1.5


def by_deed(outcomes: dict[int, float], floors: list[Anchor], ceiling: Anchor) -> dict[int, Interval]:
    rates = {
        tokens: Scores((np.arange(120) < 120 * rate).astype(float), np.ones(120)) for tokens, rate in outcomes.items()
    }
    return dict(measured(rates, Ends(floors, ceiling), np.arange(120), "deed", 200).shares)


def test_shares_by_deed_by_hand():
    draws = tuple(alike(value) for value in (0.1, 0.4, 0.2))
    shares = by_deed(
        {0: 0.2, 1: 0.6}, [Anchor("constant", (alike(0.1),)), Anchor("placebo", draws)], Anchor("exact", known=1.0)
    )
    assert [shares[0].value, shares[1].value] == pytest.approx([0.0, 0.5])  # the floor is .2, the median of the draws


def test_where_all_outcomes_are_alike_wilson_says_how_sure():
    shares = by_deed({4: 1.0}, [Anchor("constant", (alike(0.0),))], Anchor("exact", known=1.0))
    assert shares[4].low == pytest.approx(1 - 1.96**2 / (120 + 1.96**2), abs=1e-4)
    assert shares[4].high == 1


def test_outcomes_of_right_and_wrong_are_wilsons_trials():
    for right in (0, 1, 7, 20):
        outcome = (np.arange(20) < right).astype(float)
        assert Scores(outcome, np.ones(20)).bounds(np.arange(20)) == wilson(right, 20)
        twice = Scores(np.repeat(outcome, 2), np.ones(40))  # two alike of a cluster say no more than one
        assert twice.bounds(np.repeat(np.arange(20), 2)) == wilson(right, 20)


DRAWN = {
    "all alike": lambda generator, n: np.full(n, 0.46),
    "alike, but one in thirty": lambda generator, n: np.where(generator.random(n) < 1 / 30, 1.0, 0.001),
    "in the middle": lambda generator, n: generator.beta(5, 5, n),
    "at the ends": lambda generator, n: generator.beta(0.5, 0.5, n),
    "low": lambda generator, n: generator.beta(1, 9, n),
    "four of a cluster": lambda generator, n: generator.binomial(4, generator.beta(1, 1, n)) / 4,
    "right and wrong": lambda generator, n: generator.binomial(1, 0.3, n).astype(float),
}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("clusters", [5, 12, 64])
@pytest.mark.parametrize("count", [200, pytest.param(2_000, marks=pytest.mark.slow)])
def test_a_shares_interval_holds_the_truth(name: str, clusters: int, count: int):
    """As often as it says, within what so many tries can show, whatever the outcomes are like."""
    generator = np.random.default_rng(1)
    truth = DRAWN[name](generator, 1_000_000).mean()
    held, width = 0, 0.0
    for _ in range(count):
        scores = Scores(DRAWN[name](generator, clusters), np.ones(clusters))
        low, high = scores.bounds(np.arange(clusters))
        drawn = interval(drawn_means([scores], np.arange(clusters), 200)[:, 0], clusters)
        held += min(low, drawn.low or 0) <= truth <= max(high, drawn.high or 1)
        width += high - low
    assert held / count >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / count)
    wilsons = {5: 0.66, 12: 0.49, 64: 0.24}  # at a half
    assert name == "right and wrong" or width / count < 0.95 * wilsons[clusters]


def test_shares_by_loss_by_hand():
    ends = Ends([Anchor("frequencies", (alike(-3.5),))], Anchor("lora", (alike(-1.0),)))
    found = measured({0: alike(-3.0), 4: alike(-1.5)}, ends, CLUSTER, "loss", 50)
    assert [found.shares[count].value for count in (0, 4)] == pytest.approx([0.2, 0.8])
    assert (found.floor_score, found.ceiling_score, found.wrong) == (-3.5, -1.0, None)


@pytest.mark.parametrize(
    ("floor", "ceiling", "prompt", "wrong"),
    [
        (alike(-2.0), alike(-2.0), -2.0, "no better than"),
        (alike(-2.0), alike(-1.95), -2.0, "not 5% better"),
        (noisy(-2.0), noisy(-1.85, seed=1), -2.0, "not 3 standard errors better"),
        (alike(-2.0), alike(-1.0), -1.0 + 1.1 * BEATEN, "do better than the ceiling"),
        (alike(-2.0), alike(-1.0), -1.0 + 0.9 * BEATEN, None),
    ],
)
def test_when_a_scale_is_not_sound(floor, ceiling, prompt, wrong):
    ends = Ends([Anchor("frequencies", (floor,))], Anchor("lora", (ceiling,)))
    found = measured({4: alike(prompt)}, ends, CLUSTER, "loss", 400)
    assert (found.wrong is None) == (wrong is None)
    assert wrong is None or wrong in str(found.wrong)
    assert wrong is None or not found.rows


LOW, DOUBT, HIGH = Interval(0.1, 0.0, 0.2), Interval(0.5, 0.3, 0.7), Interval(0.9, 0.8, 1.0)
UNKNOWN = Interval(0.9, None, None)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({0: LOW, 1: LOW, 4: HIGH, 16: HIGH}, ("shown", 1, 4, ())),
        ({0: LOW, 1: DOUBT, 4: HIGH}, ("shown", 0, 4, (1,))),
        ({0: DOUBT, 1: HIGH}, ("shown", None, 1, (0,))),
        ({0: HIGH, 1: LOW}, ("shown", None, 0, ())),
        ({0: LOW, 1: HIGH, 4: LOW, 16: HIGH}, ("shown", 0, 1, ())),  # a witness is a witness
        ({0: LOW, 1: DOUBT, 4: LOW, 16: HIGH}, ("shown", 4, 16, ())),
        ({0: LOW, 4: LOW}, ("not_reached", 4, None, ())),
        ({0: LOW, 4: LOW, 16: DOUBT}, ("not_reached", 4, None, (16,))),
        ({0: LOW, 4: UNKNOWN}, ("not_reached", 0, None, (4,))),
    ],
)
def test_brackets_by_hand(shares, expected):
    found = bracket(shares, 0.5)
    assert (found.state, found.more_than, found.at_most, found.in_doubt) == expected


def test_no_bracket_without_a_share():
    with pytest.raises(ValueError, match="no share"):
        bracket({}, 0.5)


def test_nothing_here_loads_torch():
    modules = ", ".join(f"soft_prompts.stats.{name}" for name in ("contrasts", "scales", "brackets", "bits"))
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
