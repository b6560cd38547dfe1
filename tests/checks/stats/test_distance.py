"""Are shares, distances, fits, intervals and verdicts those of the measurement's definitions, worked out by hand?"""

import math
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest

from soft_prompts.stats.admissibility import Evidence, failed_rules
from soft_prompts.stats.bootstrap import Anchor, Choice, CurveLosses, best_of_seeds, resample
from soft_prompts.stats.distance import Anchors, Distance, Mark, capability_distance
from soft_prompts.stats.paired import ratio
from soft_prompts.stats.shares import area, first_reaching, fitted, running_minimum, share_of
from tests.checks.made.results import build_items
from tests.checks.made.simulated_results import SHAPES, Measured, simulate

COUNTS = np.array([0, 1, 3, 7])  # 0, 1, 2, 3 on the axis log2(P + 1)
SHARES = np.array([[0.1, 0.3, 0.7, 0.8]])
LOSSES = {0: 3.0, 1: 2.5, 3: 1.5, 7: 1.2}
NO_SKILL, EXACT = Anchor("frequencies", value=3.5), Anchor("exact", value=1.0)


def flat(losses: Mapping[int, float] = LOSSES) -> CurveLosses:
    """Every item of four clusters has the same loss, so that nothing but the anchors varies."""
    by_tokens = {tokens: {0: np.full(4, 2 * loss)} for tokens, loss in losses.items()}
    return CurveLosses(by_tokens, np.full(4, 2), np.arange(4))


def distance(losses: Mapping[int, float] = LOSSES, evidence: Evidence | None = None, **anchors: Anchor) -> Distance:
    given = Anchors(**{"no_skill": NO_SKILL, "saturation": EXACT, **anchors})
    return capability_distance(flat(losses), given, evidence=evidence or Evidence(), draws=200)


def test_shares_by_hand():
    found = share_of(np.array([[3.5, 2, 0.5], [1, 1, 1]]), np.array([3.0, 1]), np.array([1.0, 1]))
    assert found[0] == pytest.approx([-0.25, 0.5, 1.25])
    assert np.isnan(found[1]).all()
    assert running_minimum(np.array([[3, 1, 2, 0.5]])).tolist() == [[3, 1, 1, 0.5]]


def test_marks_are_interpolated_on_the_axis_of_doublings():
    assert first_reaching(SHARES, COUNTS, 0.5) == pytest.approx([2**1.5 - 1])  # half way from .3 at 1 to .7 at 3
    assert first_reaching(SHARES, COUNTS, 0.7) == pytest.approx([3])
    assert first_reaching(SHARES, COUNTS, 0.1) == pytest.approx([0])
    assert first_reaching(SHARES, COUNTS, 0.9).tolist() == [math.inf]
    assert first_reaching(SHARES[:, 1:], COUNTS[1:], 0.2) == pytest.approx([1])
    assert np.isnan(first_reaching(SHARES * np.nan, COUNTS, 0.5)).all()


def test_area_by_hand():
    assert area(SHARES, COUNTS) == pytest.approx([(0.2 + 0.5 + 0.75) / 3])
    assert area(np.ones((1, 4)), np.array([0, 2, 9, 40])) == pytest.approx([1])


def test_fits_find_the_curve_that_made_the_shares():
    counts = np.array([0, 1, 2, 4, 8, 16, 32, 64])
    hill = fitted(0.9 / (1 + (5 / np.maximum(counts, 1e-9)) ** 1.7), counts)
    assert hill is not None
    assert hill.form == "hill"
    assert (hill.a, hill.h, hill.b) == pytest.approx((0.9, 5, 1.7), rel=1e-3)
    assert hill.error < 1e-3 < hill.rival_error
    power = fitted(0.1 * counts**0.5, counts)
    assert power is not None
    assert (power.form, power.h) == ("power", None)
    assert (power.a, power.b) == pytest.approx((0.1, 0.5), rel=1e-3)
    assert fitted(np.arange(4) / 4, COUNTS) is None


def test_a_whole_distance_by_hand():
    found = distance()
    # shares (3.5 - L) / 2.5: .2 .4 .8 .92
    assert [point.share.value for point in found.points] == pytest.approx([0.2, 0.4, 0.8, 0.92])
    assert found.d_50.value == pytest.approx(2**1.25 - 1)
    assert found.d_90.value == pytest.approx(2 ** (2 + 0.1 / 0.12) - 1)
    assert found.auc.value == pytest.approx((0.3 + 0.6 + 0.86) / 3)
    assert found.points[-1].gain.value == pytest.approx(1.8)
    assert found.points[-1].gain_bits == pytest.approx(1.8 / math.log(2))
    assert found.anchors == pytest.approx((3, 3.5, 1))
    assert (found.d_50.low, found.d_50.high) == pytest.approx((found.d_50.value, found.d_50.value))


def test_the_other_reference_starts_from_the_bare_model():
    found = capability_distance(flat(), Anchors(saturation=EXACT), "zero", draws=20)
    assert [point.share.value for point in found.points] == pytest.approx([0, 0.25, 0.75, 0.9])
    without = {tokens: loss for tokens, loss in LOSSES.items() if tokens}
    given = capability_distance(flat(without), Anchors(None, EXACT, zero=Anchor("zero", value=3.0)), "zero", draws=20)
    assert given.d_50.value == pytest.approx(found.d_50.value)
    with pytest.raises(ValueError, match="no-skill anchor"):
        capability_distance(flat(), Anchors())
    with pytest.raises(ValueError, match="zero anchor"):
        capability_distance(flat(without), Anchors(), "zero")


def test_a_worse_prompt_of_more_tokens_does_not_count():
    found = distance(LOSSES | {7: 2.0})
    assert (found.points[-1].loss, found.points[-1].best) == pytest.approx((2, 1.5))
    assert found.points[-1].share.value == pytest.approx(0.8)


def test_the_bare_model_may_have_it_or_a_placebo_explain_it():
    assert distance({0: 2.0, 4: 1.1}).d_50.value == 0
    explained = distance(placebos=(Anchor("random", (np.full(4, 4.0), np.full(4, 8.0), np.full(4, 2.0))),))
    assert (explained.d_50.value, explained.d_50.note) == (0, "placebo")  # median 4 / 2 = 2 nats: share .6
    assert explained.d_90.value
    assert explained.d_90.note is None


def test_no_gap_has_no_distance():
    noisy = distance(saturation=Anchor("lora", value=1.0, stderr=1.0))  # 2.5 nats are 2.5 stderr
    assert (noisy.d_50.value, noisy.d_50.reason, noisy.d_50.censored) == (None, "no gap", False)
    assert noisy.auc.value is None
    assert distance(saturation=Anchor("lora", value=1.0, stderr=0.7)).d_50.value is not None
    assert distance(saturation=Anchor("lora", value=4.0)).d_90.reason == "no gap"


def test_draws_that_are_censored_open_the_interval():
    found = distance(saturation=Anchor("lora", value=1.0, stderr=0.1))
    assert found.d_90.low is not None
    assert found.d_90.low < 6.2
    assert found.d_90.high is None
    assert 0.2 < found.d_90.censored_draws < 0.6
    beyond = distance({0: 3.5, 4: 1.3}, saturation=Anchor("lora", value=1.0, stderr=0.1)).d_90  # share .88
    assert (beyond.value, beyond.low, beyond.high) == (None, 4, None)
    assert beyond.low_of_draws is not None
    assert beyond.low_of_draws < 4
    assert found.d_50.high is not None


def test_self_is_never_censored_and_never_admissible():
    given = Anchors(NO_SKILL)
    known = Evidence(overfit_nats=0.0, selectivity=5.0)
    found = capability_distance(flat({0: 3.4, 1: 3.3, 4: 3.2}), given, evidence=known, draws=20)
    assert found.points[-1].share.value == pytest.approx(1)
    assert not found.d_90.censored
    assert not found.admissible
    assert found.failed_rules == ("no upper anchor from outside: the share is of the gain seen at the most tokens",)


FLAT, RISING = {0: 3.5, 1: 3.0, 3: 3.0, 15: 2.95}, {0: 3.5, 3: 3.0, 15: 2.5}


@pytest.mark.parametrize(
    ("losses", "evidence", "reason"),
    [
        (FLAT, Evidence(search_failed=True), "CEILING"),
        (FLAT, Evidence(), "OPTIMISER"),
        (FLAT, Evidence(search_failed=True, optimiser_moved=0.06), "OPTIMISER"),
        (RISING, Evidence(search_failed=True, optimiser_moved=0.05), "BUDGET"),
        (RISING, Evidence(most_tokens=29), "CONTEXT"),
        (RISING, Evidence(most_tokens=30), "BUDGET"),
        ({0: 9.0, 1: 6.0, 3: 4.0, 15: 3.5}, Evidence(search_failed=True), "CEILING"),  # less sure, no more able
        ({0: 3.5, 1: 3.5}, Evidence(search_failed=True), "BUDGET"),  # one doubling cannot be flat over two
    ],
)
def test_censoring_says_why(losses: dict[int, float], evidence: Evidence, reason: str):
    found = distance(losses, evidence).d_50
    assert (found.value, found.low, found.high, found.censored) == (None, max(losses), None, True)
    assert found.reason == reason


def test_admissibility_by_hand():
    # 1,000 units x 3.5 nats / ln 2 = 5,049 bits: ten times 504, not 506
    known = Evidence(training_units=1000, prompt_bits=504.0, selectivity=1.0)
    assert distance(evidence=known).admissible
    assert failed_rules("exact", 3.5, 2.5, Evidence(training_units=1000, prompt_bits=506.0, selectivity=1.0))
    assert not failed_rules("exact", 3.5, 2.5, Evidence(overfit_nats=0.049, selectivity=1.0))  # 2 % of 2.5 is .05
    assert len(failed_rules("exact", 3.5, 2.5, Evidence(overfit_nats=0.051, selectivity=0.9))) == 2
    assert len(failed_rules("self", None, 2.5, Evidence())) == 3


def test_the_seed_is_chosen_on_other_items_than_it_is_scored_on():
    # one half says seed 0 (1 < 2), which has 4 on the other; that says seed 1 (2 < 4), which has 2 on the first
    resampled = resample([np.array([1.0, 4]), np.array([2.0, 2])], np.ones(2, int), np.arange(2), 0)
    everyone = np.ones((1, 2), dtype=bool)
    assert best_of_seeds(resampled, everyone, Choice())[0] == pytest.approx([3])
    assert best_of_seeds(resampled, everyone, Choice(np.array([[0.1, 0.2]])))[0] == pytest.approx([2.5])
    assert best_of_seeds(resampled, everyone, Choice(np.array([[0.2, 0.1]])))[0] == pytest.approx([2])


def test_validation_counts_only_where_every_run_has_it():
    by_tokens = {4: {0: np.array([1.0, 4]), 1: np.array([2.0, 2])}}
    for validation, loss in (({4: {0: 0.1, 1: 0.2}}, 2.5), ({4: {0: 0.1}}, 3.0), ({}, 3.0)):
        losses = CurveLosses(by_tokens, np.ones(2, int), np.arange(2), validation)
        assert capability_distance(losses, Anchors(NO_SKILL, EXACT), draws=20).points[0].loss == pytest.approx(loss)


def test_a_missing_seed_is_no_loss():
    by_tokens = {0: {0: np.full(4, 3.0)}, 1: {0: np.full(4, 2.0), 1: np.full(4, 1.5)}, 2: {1: np.full(4, 1.2)}}
    losses = CurveLosses(by_tokens, np.ones(4, int), np.arange(4))
    found = capability_distance(losses, Anchors(NO_SKILL, EXACT), draws=200)
    assert [point.loss for point in found.points] == pytest.approx([3, 1.5, 1.2])
    assert "one seed at 2 tokens" in found.warnings[0]
    assert found.points[2].share.low is not None


def test_seeds_widen_the_interval_to_both_sides():
    def interval(seeds: int) -> Mark:
        by_tokens = {0: {0: np.full(4, 3.0)}, 7: {seed: np.full(4, 1.8 + 0.2 * seed) for seed in range(seeds)}}
        return capability_distance(CurveLosses(by_tokens, np.ones(4, int), np.arange(4)), Anchors(NO_SKILL, EXACT)).d_50

    alone, several = interval(1), interval(4)
    assert alone.value is not None
    assert alone.low == alone.value == alone.high
    assert several.low is not None
    assert several.high is not None
    assert several.low < alone.value < several.high


def test_resampled_clusters_have_the_error_of_a_ratio():
    draw = np.random.default_rng(3)
    cluster, units = np.repeat(np.arange(50), 4), draw.integers(1, 9, 200)
    sums = units * 2.0 + draw.standard_normal(50)[cluster] + draw.standard_normal(200)
    resampled = resample([sums, sums + units], units, cluster, 2_000).whole()
    known = ratio(sums, units, cluster)
    assert known is not None
    assert resampled[0, 0] == pytest.approx(known.value)
    assert np.std(resampled[1:, 0]) == pytest.approx(known.stderr, rel=0.1)
    assert resampled[:, 1] - resampled[:, 0] == pytest.approx(1)  # the same clusters for every column


def test_equal_losses_give_equal_distances_whatever_the_order():
    simulated = simulate(SHAPES[0], 3, np.random.default_rng(5))
    turned = dict(reversed(simulated.losses.by_tokens.items()))
    losses = CurveLosses(turned, simulated.losses.units, simulated.losses.cluster)
    first, second = (capability_distance(each, simulated.anchors, draws=100) for each in (simulated.losses, losses))
    assert first.to_json() == second.to_json()


def test_stored_items_are_taken_as_they_are():
    items = {0: {0: build_items([6.0, 6], [2, 2])}, 4: {1: build_items([2.0, 4], [2, 2])}}
    losses = CurveLosses.from_items(items)
    found = capability_distance(losses, Anchors(NO_SKILL, EXACT), draws=20)
    assert [point.loss for point in found.points] == pytest.approx([3, 1.5])
    with pytest.raises(ValueError, match="same items"):
        CurveLosses.from_items(items | {8: {0: build_items([2.0, 4], [2, 3])}})
    with pytest.raises(ValueError, match="no run has items"):
        CurveLosses.from_items({})


def test_losses_that_do_not_fit_are_refused():
    for by_tokens in ({}, {0: {0: np.ones(3)}}, {0: {0: np.array([1.0, np.nan])}}, {-1: {0: np.ones(2)}}):
        with pytest.raises(ValueError, match="losses"):
            CurveLosses(by_tokens, np.ones(2, int), np.arange(2))
    with pytest.raises(ValueError, match="anchor lora"):
        Anchor("lora")


def test_a_distance_needs_no_torch():
    code = "import sys, soft_prompts.stats.contrasts, soft_prompts.stats.bits; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_known_hill_curves_are_found_again_and_averaged_seeds_do_worse():
    _check(Measured.over(48), most_bias=0.1, least_coverage=0.88)


@pytest.mark.slow
def test_intervals_cover_the_truth_in_a_thousand_simulations(capsys: pytest.CaptureFixture[str]):
    measured = Measured.over(1_000)
    with capsys.disabled():
        print(f"\n{measured.summary()}")
    _check(measured, most_bias=0.1, least_coverage=0.92)


def _check(measured: Measured, most_bias: float, least_coverage: float) -> None:
    bias, averaged = (np.nanmean(errors, axis=0) for errors in (measured.errors, measured.averaged))
    assert abs(bias[0]) < most_bias
    assert measured.covered.mean() >= least_coverage
    assert (averaged > 3 * bias).all()
    assert np.isnan(measured.averaged).sum() > 3 * np.isnan(measured.errors).sum()
