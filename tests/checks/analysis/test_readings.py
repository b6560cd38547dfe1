"""Do distances from result files use the right anchors and say what their evidence is? Curves worked out by hand.

Losses are the same for every item, so that intervals have no width and shares are what the formulas say.
"""

import math
from pathlib import Path

import numpy as np
import pytest

from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.results.schema import Metric
from tests.checks.made.results import build_items
from tests.checks.made.simulated_results import SHAPES, simulate
from tests.checks.made.stored_results import CLUSTERS, flat_items, save, save_anchor, save_flat, save_simulated

LOSSES = {0: 3.0, 1: 2.5, 3: 1.5, 7: 1.2}
NO_SKILL, EXACT = 3.5, 1.0  # shares .2, .4, .8, .92


def only(folder: Path, **given) -> Reading:
    (reading,) = read_all([folder], draws=given.pop("draws", 60), **given).readings
    return reading


def of_model(folder: Path, model: str, **given) -> Reading:
    readings = read_all([folder], draws=60, **given).readings
    return next(reading for reading in readings if reading.curve.model == model)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Runs at 0, 1, 3 and 7 tokens with the two anchors that the skill share needs."""
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "no_skill", NO_SKILL)
    save_anchor(tmp_path, "exact", EXACT)
    return tmp_path


def test_a_distance_from_files_by_hand(folder):
    reading = only(folder)
    assert reading.no_distance is None
    found = reading.distance
    assert found is not None
    assert (found.reference, found.saturation) == ("no_skill", "exact")
    assert found.d_50.value == pytest.approx(2**1.25 - 1)
    assert found.d_90.value == pytest.approx(2 ** (2 + 0.1 / 0.12) - 1)
    assert found.auc.value == pytest.approx((0.3 + 0.6 + 0.86) / 3)
    assert [run.tokens for run in reading.runs] == [0, 1, 3, 7]
    assert sorted(reading.anchors) == ["anchor:exact", "anchor:no_skill"]
    assert reading.notes == ()


def test_the_bare_model_is_the_reference_where_there_is_no_no_skill_anchor(tmp_path):
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "exact", EXACT)
    found = only(tmp_path).distance
    assert found is not None
    assert (found.reference, found.d_50.value) == ("zero", pytest.approx(2**1.5 - 1))  # shares 0, .25, .75, .9


@pytest.mark.parametrize(("config", "reference"), [({"share_from": "bare"}, "zero"), ({}, "no_skill")])
def test_a_task_whose_bare_model_has_the_skill_leads_with_the_gap(config, reference, tmp_path):
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "no_skill", NO_SKILL, config=config)
    found = only(tmp_path).distance
    assert found is not None
    assert (found.reference, found.saturation) == (reference, "self")
    assert found.anchors.no_skill == pytest.approx(NO_SKILL)  # known all the same: training information needs it


def test_models_share_the_lowest_anchors_on_the_same_units(folder):
    save_flat(folder, {0: 3.2, 7: 2.0}, model="other")
    save_anchor(folder, "no_skill", 3.4, model="other")
    own, other = of_model(folder, "tiny-chess"), of_model(folder, "other")
    assert own.distance is not None
    assert other.distance is not None
    assert own.distance.anchors[1:] == other.distance.anchors[1:] == pytest.approx((3.4, EXACT))
    assert own.notes == ("no-skill anchor is that of other (frequencies), shared by the models on these items",)
    assert other.notes == ("upper anchor is that of tiny-chess (exact), shared by the models on these items",)
    assert sorted(other.anchors) == ["anchor:no_skill"]


def test_anchors_on_other_units_or_data_are_not_shared(folder):
    units = {"tokens": 0, "model": "other"}
    save(folder, "run", build_items([9.0] * CLUSTERS, [3] * CLUSTERS), **units)
    save(folder, "run", build_items([6.0] * CLUSTERS, [3] * CLUSTERS), **(units | {"tokens": 4}))
    save_flat(folder, {0: 3.0, 4: 2.0}, model="third", data__fingerprint="other data")
    for model in ("other", "third"):
        found = of_model(folder, model).distance
        assert found is not None
        assert (found.reference, found.saturation, found.anchors.no_skill) == ("zero", "self", None)


def test_validation_chooses_among_trained_weights_never_the_test_loss(tmp_path):
    save_flat(tmp_path, LOSSES)
    for rate, loss, validation in ((1e-3, 0.9, 2.0), (2e-3, 1.1, 1.0), (4e-3, 0.8, 3.0)):
        save_anchor(tmp_path, "lora", loss, training__learning_rate=rate, validation=validation)
    found = only(tmp_path).distance
    assert found is not None
    assert (found.saturation, found.anchors.saturation) == ("lora", pytest.approx(1.1))
    save_anchor(tmp_path, "full", 1.05, validation=9.0)
    found = only(tmp_path).distance
    assert found is not None
    assert (found.saturation, found.anchors.saturation) == ("full", pytest.approx(1.05))  # the lower of the two
    save_anchor(tmp_path, "exact", 1.2)
    found = only(tmp_path).distance
    assert found is not None
    assert (found.saturation, found.anchors.saturation) == ("exact", pytest.approx(1.2))  # known, so it goes before


def test_prompts_below_the_upper_anchor_are_noted(tmp_path):
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "lora", 1.4)
    reading = only(tmp_path)
    assert reading.distance is not None
    assert reading.distance.points[-1].share.value == pytest.approx(1.8 / 1.6)
    assert reading.notes == ("prompts did better than the upper anchor (lora): shares go beyond 1",)


def test_placebos_are_the_models_own_at_one_token(folder):
    for seed, loss in enumerate((1.0, 9.0, 2.4, 2.4, 9.0)):
        save_anchor(folder, "placebo", loss, tokens=1, seed=seed)
    for seed in range(5, 15):
        save_anchor(folder, "placebo", 1.0, tokens=7, seed=seed)
    save_anchor(folder, "placebo_bos", 1.0, tokens=1, model="other")
    found = only(folder).distance
    assert found is not None
    assert found.d_50.note is None  # the median leaves a share of .44
    save_anchor(folder, "placebo_bos", 2.0, tokens=1)
    found = only(folder).distance
    assert found is not None
    assert (found.d_50.value, found.d_50.note, found.d_90.note) == (0, "placebo", None)  # BOS: .6


def test_the_seed_is_chosen_by_validation_where_every_run_has_it(tmp_path):
    save(tmp_path, "run", flat_items(3.0), tokens=0)
    for seed, (loss, validation) in enumerate(((1.5, 2.0), (2.0, 1.0))):
        save(tmp_path, "run", flat_items(loss), tokens=4, seed=seed, validation=validation)
    found = only(tmp_path).distance
    assert found is not None
    assert found.points[-1].loss == pytest.approx(2.0)


FLAT = {0: 3.5, 1: 3.0, 3: 3.0, 15: 3.0}  # shares 0, .2, .2, .2


@pytest.fixture
def censored(tmp_path: Path) -> Path:
    save_flat(tmp_path, FLAT, config={"init": "vocabulary"})
    save_anchor(tmp_path, "no_skill", 3.5)
    save_anchor(tmp_path, "exact", 1.0)
    return tmp_path


def trial(folder: Path, battery: str, loss: float, *, validation: float = 1.0, **changes) -> None:
    given = {"tokens": 15, "config": {"init": "vocabulary"}} | changes
    save(folder, f"battery:{battery}", flat_items(loss), validation=validation, **given)


def reason(folder: Path) -> str | None:
    reading = only(folder)
    assert reading.distance is not None
    return reading.distance.d_50.reason


def test_a_ceiling_needs_a_search_start_that_failed(censored):
    assert reason(censored) == "OPTIMISER"
    trial(censored, "rates", 2.99)
    assert reason(censored) == "OPTIMISER"
    trial(censored, "initialisations", 2.95, config={"init": "search"})
    reading = only(censored)
    assert reading.battery is not None
    assert (reading.battery.search, reason(censored)) == (pytest.approx(0.22), "CEILING")
    assert sorted(reading.battery.runs) == ["battery:initialisations", "battery:rates"]


def test_a_trial_that_moves_the_share_makes_it_the_optimisers_fault(censored):
    trial(censored, "initialisations", 2.95, config={"init": "search"})
    trial(censored, "rates", 2.0, validation=2.0)  # better on test, but validation does not choose it
    assert reason(censored) == "CEILING"
    trial(censored, "rates", 2.8, validation=0.5)
    reading = only(censored)
    assert reading.battery is not None
    assert reading.battery.moved == pytest.approx(0.28 - 0.2)
    assert reason(censored) == "OPTIMISER"


def test_a_search_start_that_reaches_the_half_is_no_ceiling_of_it(censored):
    trial(censored, "initialisations", 2.2, validation=2.0, config={"init": "search"})  # share .52
    trial(censored, "rates", 3.0)
    assert reason(censored) == "OPTIMISER"


def test_trials_of_another_curve_do_not_count(censored):
    for changes in ({"tokens": 7}, {"kind": "direct"}, {"model": "other"}, {"mode": "none"}):
        trial(censored, "initialisations", 2.95, **({"config": {"init": "search"}} | changes))
    trial(censored, "initialisations", 2.95, config={"init": "search"}, data__items_fingerprint="other items")
    assert reason(censored) == "OPTIMISER"


def test_failure_rate_and_elasticity_by_hand(censored):
    for seed, loss in enumerate((2.9, 3.0, 3.1, 3.2, 3.5), start=1):  # shares .24, .2, .16, .12, 0
        trial(censored, "seeds", loss, seed=seed)
    save(censored, "battery:seeds", flat_items(3.0), tokens=15, seed=6, status="failed")
    trial(censored, "longer", 2.75, training__steps=1600, validation=2.0)  # .3, after 400 steps .2
    battery = only(censored).battery
    assert battery is not None
    assert (battery.failure_rate, battery.seeds) == (pytest.approx(3 / 6), 6)  # .12, 0 and the failed one
    assert battery.elasticity == pytest.approx(0.05)


def test_a_worse_prompt_of_more_tokens_and_a_better_hard_prompt_are_told(tmp_path):
    save_flat(tmp_path, {0: 3.0, 1: 2.0, 3: 2.2, 7: 1.95, 15: 2.05})
    save_anchor(tmp_path, "exact", 1.0)
    save_anchor(tmp_path, "hard_prompt", 1.85, tokens=3)
    save_anchor(tmp_path, "hard_prompt", 1.86, tokens=7)
    reading = only(tmp_path)
    assert reading.violations == (3,)  # .1 of the gap; at 15 only .05
    assert reading.notes == ("a hard prompt of 3 tokens did better than the trained one: training fell short",)


def code(folder: Path, bits: int, tokens: int, size: float, loss: float, **changes) -> None:
    metrics = {"prompt_bits": Metric(size, None, 100, "bits")}
    save(folder, f"code:{bits}", flat_items(loss), tokens=tokens, metrics=metrics, **changes)


def test_bits_by_hand(folder):
    """The gap is 2.5 nats, so that rounding may cost .05; the prompt that counts is the first at .9, of 7 tokens."""
    for tokens, bits, size, loss in ((3, 4, 300.0, 1.6), (3, 2, 150.0, 2.9), (7, 8, 900.0, 1.21), (7, 4, 500.0, 1.24)):
        code(folder, bits, tokens, size, loss)
    code(folder, 2, 7, 200.0, 1.26)  # costs .06; share .896
    code(folder, 4, 1, 10.0, 1.0, data__items_fingerprint="other items")
    bits = only(folder).bits
    assert bits is not None
    assert (bits.d_50, bits.d_90) == (200.0, 500.0)
    assert bits.prompt is not None
    assert (bits.prompt.tokens, bits.prompt.bits_per_coordinate, bits.prompt.bits) == (7, 4, 500.0)
    assert bits.prompt.lost == pytest.approx(0.04)
    assert bits.break_even_units == pytest.approx(500 * math.log(2) / (3.0 - 1.24))
    thousand, million = bits.lengths[0], bits.lengths[-1]
    assert thousand.bits == pytest.approx(200 + 1000 * 1.26 / math.log(2))
    assert (thousand.tokens, thousand.bits_per_coordinate) == (7, 2)
    assert (million.units, million.tokens, million.bits_per_coordinate) == (1_000_000, 7, 8)


def test_the_bare_model_costs_no_bits(tmp_path):
    save_flat(tmp_path, {0: 1.5, 4: 1.4})
    save_anchor(tmp_path, "no_skill", 3.0)
    save_anchor(tmp_path, "exact", 1.0)
    code(tmp_path, 4, 4, 1e9, 1.4)
    bits = only(tmp_path).bits
    assert bits is not None
    assert (bits.d_50, bits.d_90) == (0, None)
    assert (bits.lengths[0].tokens, bits.lengths[0].bits_per_coordinate) == (0, None)


def test_codes_are_of_the_seed_that_validation_chooses(folder):
    save(folder, "run", flat_items(1.2), tokens=15, validation=2.0)
    save(folder, "run", flat_items(1.3), tokens=15, seed=1, validation=1.0)
    code(folder, 4, 15, 50.0, 1.2)
    code(folder, 4, 15, 60.0, 1.3, seed=1)
    bits = only(folder).bits
    assert bits is not None
    assert [(one.tokens, one.seed) for one in bits.codes] == [(15, 1)]


def control(folder: Path, name: str, losses) -> None:
    save_flat(folder, losses, role=f"control:{name}")


def test_selectivity_by_hand(folder):
    """The task has d_50 = 2^1.25 - 1; 1.25 on the axis of doublings."""
    control(folder, "permuted_targets", {0: 4.0, 1: 3.5, 3: 3.0, 7: 3.0})  # share .2 at most: beyond 7, 3 doublings
    control(folder, "random_weights", {0: 5.0, 7: 2.0})  # shares -.6, .6: .5 at 3 x 1.1 / 1.2
    first, second = only(folder).controls
    assert (first.name, second.name) == ("permuted_targets", "random_weights")
    assert first.distance is not None
    assert first.distance.d_50.censored
    assert first.selectivity == (pytest.approx(3 - 1.25), True)
    assert second.selectivity == (pytest.approx(2.75 - 1.25), False)
    assert first.distance.anchors == pytest.approx((4.0, NO_SKILL, EXACT))


def test_a_control_without_an_upper_anchor_ends_where_the_task_ended(tmp_path):
    save_flat(tmp_path, LOSSES)
    control(tmp_path, "random_strings", {0: 6.0, 7: 3.6})
    (found,) = only(tmp_path).controls
    assert found.distance is not None
    assert found.distance.anchors == pytest.approx((6.0, None, 1.2))
    assert found.distance.d_50.value == pytest.approx(7.0)  # 2.4 of 4.8


def test_a_control_without_its_bare_model_says_so(tmp_path):
    save_flat(tmp_path, LOSSES)
    control(tmp_path, "random_strings", {7: 3.6})
    (found,) = only(tmp_path).controls
    assert (found.distance, found.selectivity.value) == (None, None)
    assert found.no_distance == "no items of 0 tokens to measure the gap from, and no no-skill anchor"


def test_a_distance_becomes_admissible(folder):
    """Labels: 10,000 tokens seen, the tested prompt after 350 of 400 steps, a move for two tokens: 4,375 moves."""
    found = only(folder).distance
    assert found is not None
    assert len(found.failed_rules) == 2
    control(folder, "permuted_targets", {0: 4.0, 7: 3.4})
    bits = 4375 * NO_SKILL / math.log(2) / 10
    code(folder, 4, 7, bits + 1, 1.2)
    found = only(folder).distance
    assert found is not None
    assert found.failed_rules[0].startswith("training labels")
    code(folder, 2, 7, bits - 1, 1.2)
    found = only(folder).distance
    assert found is not None
    assert found.admissible


def test_a_bare_model_that_has_the_skill_needs_no_prompt_to_be_paid_for(tmp_path):
    save_flat(tmp_path, {0: 1.1, 4: 1.1})
    save_anchor(tmp_path, "no_skill", NO_SKILL)
    save_anchor(tmp_path, "exact", EXACT)
    found = only(tmp_path).distance
    assert found is not None
    assert found.d_90.value == 0
    assert found.failed_rules == ("no control tells whether the prompt or the model holds the skill",)


def test_a_task_that_counts_its_distinct_units_is_believed(tmp_path):
    distinct = {"distinct_training_units": Metric(10.0, None, 10, "moves")}
    save_flat(tmp_path, {0: 3.0})
    save(tmp_path, "run", flat_items(1.2), tokens=7, metrics=distinct)
    save_anchor(tmp_path, "no_skill", NO_SKILL)
    save_anchor(tmp_path, "exact", EXACT)
    control(tmp_path, "permuted_targets", {0: 4.0, 7: 3.4})
    code(tmp_path, 2, 7, 6.0, 1.2)  # ten times 6 is more than 10 x 3.5 / ln 2 = 50.5 bits
    found = only(tmp_path).distance
    assert found is not None
    assert len(found.failed_rules) == 1


def test_why_a_curve_has_no_distance(tmp_path, save_run):
    save_run(tokens=0, value=3.0)
    save_run(tokens=4, value=2.0)
    assert only(tmp_path).no_distance == "no run with a prompt has items that give its loss_per_move"
    assert only(tmp_path, draws=0).no_distance == "not asked for"


def test_why_another_curve_has_none(tmp_path):
    save_flat(tmp_path, {0: 3.0}, metrics={"legality": Metric(0.5, 0.1, 9, "share")})
    assert only(tmp_path).no_distance == "no run with a prompt"
    save_flat(tmp_path, {4: 2.0}, metrics={"legality": Metric(0.5, 0.1, 9, "share")})
    assert only(tmp_path, metric="legality").no_distance == "legality is no loss per unit: choose one with --metric"
    save(tmp_path, "run", build_items([4.0] * 3), tokens=8)
    assert only(tmp_path).no_distance == "its runs were tested on different items"


def test_a_token_count_without_items_is_left_out(folder):
    path = save(folder, "run", flat_items(1.0), tokens=31)
    path.with_name(path.name.replace(".json", ".items.safetensors")).unlink()
    reading = only(folder)
    assert reading.distance is not None
    assert [point.tokens for point in reading.distance.points] == [0, 1, 3, 7]
    assert reading.notes == ("no items at 31 tokens, which are left out of the distance",)


def test_no_gap_is_no_reason_to_stop(tmp_path):
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "exact", 3.0)
    control(tmp_path, "permuted_targets", {0: 4.0, 7: 3.4})
    code(tmp_path, 2, 7, 6.0, 1.2)
    reading = only(tmp_path)
    assert reading.distance is not None
    assert (reading.distance.d_50.reason, reading.bits, reading.controls) == ("no gap", None, ())


def noisy(folder: Path, task: str, model: str, scale: float, seed: int) -> None:
    shape = SHAPES[1]._replace(h=SHAPES[1].h * scale)
    save_simulated(folder, simulate(shape, 2, np.random.default_rng(seed)), model, variant=task)


def test_models_are_contrasted_and_tasks_corrected_for(tmp_path):
    """Holm over two tasks: the smaller p-value twice, the larger once, but never below the smaller one's."""
    for task, scales in {"near": (1.0, 1.05), "far": (0.1, 2.0)}.items():
        for model, scale in zip(("first", "second"), scales, strict=True):
            noisy(tmp_path, task, model, scale, 5)
    readings = {(one.curve.variant, one.curve.model): one.contrasts for one in read_all([tmp_path], draws=200).readings}
    assert len(readings) == 4
    (far,), (near,) = readings["far", "first"], readings["near", "first"]
    assert (far.model, far.tasks) == ("second", 2)
    assert far.contrast.high is not None
    assert far.contrast.high < 0
    assert far.contrast.p_value is not None
    assert near.contrast.p_value is not None
    assert far.contrast.p_value < near.contrast.p_value
    assert far.adjusted == pytest.approx(min(2 * far.contrast.p_value, 1))
    assert near.adjusted == pytest.approx(max(near.contrast.p_value, far.adjusted))
    (back,) = readings["far", "second"]
    assert back.contrast.value == pytest.approx(-far.contrast.value)


def test_models_without_a_common_scale_are_not_contrasted(tmp_path):
    for model in ("one", "two"):
        save_flat(tmp_path, LOSSES, model=model)
    assert all(reading.contrasts == () for reading in read_all([tmp_path], draws=20).readings)


def test_a_simulated_curve_is_found_again_from_its_files(tmp_path):
    simulated = simulate(SHAPES[2], 5, np.random.default_rng(1))
    assert len(save_simulated(tmp_path, simulated, "simulated")) == 38
    found = only(tmp_path, draws=400).distance
    assert found is not None
    assert found.d_50.value is not None
    assert abs(math.log2((found.d_50.value + 1) / (5.0 + 1))) < 0.2
    assert found.d_50.low is not None
    assert found.d_50.low < found.d_50.value
    assert not any("one seed" in warning for warning in found.warnings)
