"""Are the four checks' figures right? Which prompts count, generalises, specific and search: by hand."""

from pathlib import Path

import pytest

from soft_prompts.analysis.checks import Check
from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.results.schema import Metric
from tests.checks.made.stored_results import (
    flat_items,
    save,
    save_anchor,
    save_battery,
    save_control,
    save_flat,
    save_power,
    save_skill,
)

FLAT = {0: (3.0, 0.0), 1: (2.0, 0.0), 4: (2.0, 0.0)}


def only(folder: Path) -> Reading:
    (reading,) = read_all([folder], draws=60).readings
    return reading


def check(folder: Path, name: str) -> Check:
    return only(folder).checks[name]


def at(reading: Reading, tokens: int):
    return next(point for point in reading.points if point.tokens == tokens)


def test_battery_prompts_count_and_validation_chooses_among_them(tmp_path):
    save_skill(tmp_path, {0: (3.0, 0.0)})
    save_flat(tmp_path, {4: (2.0, 0.1)}, validation=2.0, determined=True)
    save(tmp_path, "battery:rates", flat_items((1.5, 1.0)), tokens=4, validation=3.0)  # best on test, not chosen
    assert at(only(tmp_path), 4).outcome.value == pytest.approx(0.1)
    save(tmp_path, "battery:initialisations", flat_items((1.8, 0.9)), tokens=4, validation=1.0)
    save(tmp_path, "battery:rates", flat_items((1.1, 1.0)), tokens=4)  # without validation: never chosen
    reading = only(tmp_path)
    assert reading.deed is not None
    assert reading.deed.half.at_most == 4
    assert reading.deed.witness[0.5].result.role == "battery:initialisations"
    assert (at(reading, 4).value, at(reading, 4).outcome.value) == (pytest.approx(1.8), pytest.approx(0.9))
    assert len(reading.prompts) == 4
    assert len(reading.runs) == 2


def test_a_battery_prompt_may_be_the_only_one_of_its_count(tmp_path):
    save_skill(tmp_path, FLAT)
    save(tmp_path, "battery:half", flat_items((1.2, 1.0)), tokens=2)
    reading = only(tmp_path)
    assert reading.deed is not None
    assert (reading.deed.half.more_than, reading.deed.half.at_most) == (1, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "direct"},
        {"model": "other"},
        {"mode": "none"},
        {"data__fingerprint": "other"},
        {"data__items_fingerprint": "other"},
        {"status": "failed"},
    ],
)
def test_trials_of_another_curve_or_that_failed_do_not_count(changes, tmp_path):
    save_skill(tmp_path, FLAT)
    save(tmp_path, "battery:rates", flat_items((1.2, 1.0)), tokens=4, validation=0.1, **changes)
    assert at(only(tmp_path), 4).outcome.value == 0


def test_gain_and_improved_by_hand(tmp_path):
    """A quarter of the items lose a nat a unit, the others gain one: half a nat is gained."""
    save_skill(tmp_path, {0: (3.0, 0.0)})
    items = flat_items((2.0, 0.0))
    items.loss_nats[:10] = 8.0
    save(tmp_path, "run", items, tokens=4, determined=True)
    point = at(only(tmp_path), 4)
    assert (point.gain.value, point.improved) == (pytest.approx(0.5), pytest.approx(0.75))
    assert point.gain.low < 0.5 < point.gain.high


@pytest.mark.parametrize(
    ("training", "unit", "state", "figure"),
    [
        (1.95, "nats/move", "passed", 0.02),  # .05 of 2.5 nats
        (1.755, "nats/move", "passed", 0.098),
        (1.70, "nats/move", "failed", 0.12),  # two errors of .01 are .008 of the gap
        (1.70, "nats/token", "unknown", None),
        (None, "nats/move", "unknown", None),
    ],
)
def test_generalises_by_hand(training, unit, state, figure, tmp_path):
    save_skill(tmp_path, {0: (3.0, 0.0)})
    metrics = {"training_loss": Metric(training, 0.0, 256, unit, None if training else "none")}
    save_flat(tmp_path, {4: (2.0, 1.0)}, determined=True, metrics=metrics)
    found = check(tmp_path, "generalises")
    assert found.state == state
    assert found.figure == (None if figure is None else pytest.approx(figure))


def test_control_shares_by_hand(tmp_path):
    """From its own bare model to the task's ceiling: (.4 - .2) / (1 - .2); the task (.7 - .1) / (1 - .1)."""
    save_skill(tmp_path, {0: (3.0, 0.1), 1: (1.2, 0.7)})
    save_control(tmp_path, {0: (4.0, 0.2), 1: (3.0, 0.4)})
    (control,) = only(tmp_path).controls
    assert control.name == "permuted_targets"
    assert control.shares[1].value == pytest.approx(0.25)
    assert control.behind[1].value == pytest.approx(2 / 3 - 0.25)


def test_the_nearest_control_tells(tmp_path):
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (1.2, 1.0)})
    save_control(tmp_path, {0: (4.0, 0.0), 1: (3.0, 0.1)})
    save_control(tmp_path, {0: (4.0, 0.0), 1: (3.0, 0.8)}, "random_weights")
    found = check(tmp_path, "specific")
    assert (found.state, found.figure) == ("failed", pytest.approx(0.2))
    assert found.text.startswith("random weights gain 0.20 of the scale less")


def test_a_control_without_its_bare_model_or_with_nothing_to_gain_tells_nothing(tmp_path):
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (1.2, 1.0)})
    save_control(tmp_path, {1: (3.0, 0.1)})
    save_control(tmp_path, {0: (3.0, 1.0), 1: (3.0, 1.0)}, "random_weights")
    assert check(tmp_path, "specific") == Check("unknown", None, "no control at 1 token")
    save_control(tmp_path, {0: (4.0, 0.0)})
    assert check(tmp_path, "specific").state == "passed"


def test_a_mark_not_reached_wants_a_control_alike(tmp_path):
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (2.0, 0.3), 4: (2.0, 0.3)})
    save_control(tmp_path, {0: (4.0, 0.0), 4: (3.0, 0.1)})
    assert check(tmp_path, "specific").state == "passed"
    save_control(tmp_path, {0: (4.0, 0.0), 4: (3.0, 0.01)}, "random_strings")
    found = check(tmp_path, "specific")
    assert (found.state, found.figure) == ("failed", pytest.approx(0.29))


def search(folder: Path) -> Check:
    save_skill(folder, FLAT)
    return check(folder, "search")


def test_a_search_with_nothing_tried_is_unknown(tmp_path):
    assert search(tmp_path) == Check("unknown", None, "no other rates, starts or steps were tried at 4 tokens")


def test_a_search_without_a_search_start_is_unknown(tmp_path):
    save_battery(tmp_path, 4, (2.0, 0.0), searched=False)
    save_power(tmp_path, 2, [0.9] * 8)
    found = search(tmp_path)
    assert (found.state, found.figure) == ("unknown", 0.0)
    assert found.text.endswith("no search start was tried")


def test_a_search_of_unknown_power_is_unknown(tmp_path):
    save_battery(tmp_path, 4, (2.0, 0.0))
    found = search(tmp_path)
    assert (found.state, found.text[-13:]) == ("unknown", "power unknown")


@pytest.mark.parametrize(("found", "of", "state"), [(8, 10, "passed"), (7, 10, "failed"), (7, 7, "unknown")])
def test_a_search_that_finds_four_of_five_secrets_suffices(found, of, state, tmp_path):
    """Of eight at least."""
    save_battery(tmp_path, 4, (2.0, 0.0))
    save_power(tmp_path, 2, [0.5] * found + [0.49] * (of - found))
    assert search(tmp_path).state == state


@pytest.mark.parametrize(("outcome", "state"), [(0.05, "passed"), (0.051, "failed")])
def test_a_search_whose_last_round_moved_the_share_fails(outcome, state, tmp_path):
    save_battery(tmp_path, 4, (2.0, 0.0), validation=2.0)
    save(tmp_path, "battery:longer", flat_items((1.9, outcome)), tokens=4, validation=1.0)
    save_power(tmp_path, 2, [0.9] * 8)
    found = search(tmp_path)
    assert (found.state, found.figure) == (state, pytest.approx(outcome))


def test_what_earlier_rounds_moved_does_not_count(tmp_path):
    save_battery(tmp_path, 4, (2.0, 0.0), validation=2.0)
    save(tmp_path, "battery:rates", flat_items((1.9, 0.3)), tokens=4, validation=1.0)
    assert search(tmp_path).figure == 0


def test_a_search_at_another_count_does_not_count(tmp_path):
    save_battery(tmp_path, 1, (2.0, 0.0))
    save_power(tmp_path, 2, [0.9] * 8)
    assert search(tmp_path).state == "unknown"


@pytest.mark.parametrize(("smaller", "state"), [(0.0, "unknown"), (1.0, "passed")])
def test_the_lower_end_of_a_bracket_is_the_searchs(smaller, state, tmp_path):
    """Found at 4 tokens, not at 1: one may have been missed. Found at 1: nothing smaller could be."""
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (2.0, smaller), 4: (1.2, 1.0)})
    assert check(tmp_path, "search").state == state


def test_power_is_of_the_longest_secrets(tmp_path):
    save_skill(tmp_path, FLAT)
    save_power(tmp_path, 1, [0.9] * 5)
    save_power(tmp_path, 4, [0.5, 0.4, 0.6], training__steps=300)
    save_power(tmp_path, 4, [0.9], tokens=4)  # with a shorter prompt
    save_power(tmp_path, 8, [0.9], training__steps=401)  # in more steps than the curve's own prompts took
    save_power(tmp_path, 8, [0.9], model="other")
    power = only(tmp_path).power
    assert power == (4, 2, 3, 300)
    assert power is not None
    assert power.text == "planted secrets of 4 tokens are found in 2 of 3 such searches"


def test_runs_on_other_items_end_the_reading_and_not_the_command(tmp_path):
    save_skill(tmp_path, FLAT)
    save(tmp_path, "run", flat_items((1.0, 1.0), 3), tokens=8)
    save_flat(tmp_path, {0: 3.0, 4: 2.0}, model="other")
    save_anchor(tmp_path, "no_skill", 3.5, model="other")
    readings = read_all([tmp_path], draws=20).readings
    mixed = next(one for one in readings if one.curve.model == "tiny-chess")
    assert (mixed.deed, mixed.loss, mixed.verdict.word) == (None, None, "NO SCALE")
    assert mixed.verdict.why == "its runs were tested on different items"
    assert [point.gain is None for point in mixed.points] == [False, False, False, True]


def test_controls_on_other_items_are_left_out(tmp_path):
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (1.2, 1.0)})
    save_control(tmp_path, {0: (4.0, 0.0)})
    save(tmp_path, "control:permuted_targets", flat_items((3.0, 0.0), 20), tokens=1)
    assert check(tmp_path, "specific").state == "unknown"
    save_control(tmp_path, {1: (3.0, 0.0)})
    assert check(tmp_path, "specific").state == "passed"
