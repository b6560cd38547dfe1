"""What do controls, training losses, trials and planted secrets say of a curve? Each state of each check, by hand."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soft_prompts.analysis.checks import Check
from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.results.schema import Metric
from tests.checks.made.stored_results import (
    CLUSTERS,
    flat_items,
    save,
    save_anchor,
    save_battery,
    save_control,
    save_flat,
    save_power,
    save_skill,
)

OPEN = {0: (3.5, 0.1), 1: (3.4, 0.1), 4: (1.2, 0.9)}
"""Of four tokens; one token does nothing."""
SHUT = {0: (3.5, 0.0), 1: (3.4, 0.0), 4: (3.4, 0.0)}


def only(folder: Path) -> Reading:
    (reading,) = read_all([folder], draws=60).readings
    return reading


def check(folder: Path, name: str) -> Check:
    return only(folder).checks[name]


def test_shares_of_a_control_by_hand(tmp_path: Path) -> None:
    """From its own bare model to the task's ceiling: (.4 - .2) / (1 - .2); the task's (.9 - .1) / (1 - .1)."""
    save_skill(tmp_path, OPEN)
    save_control(tmp_path, {0: (3.5, 0.2), 4: (3.0, 0.4)})
    (control,) = only(tmp_path).controls
    assert control.name == "permuted_targets"
    assert control.shares[4].value == pytest.approx(0.25)
    assert control.behind[4].value == pytest.approx(0.8 / 0.9 - 0.25)


def test_shares_of_a_control_by_loss_by_hand(tmp_path: Path) -> None:
    """From 3.4 to 1.0 nats the control gains .6 of 2.4; the task 1.5 of 2.0."""
    save_flat(tmp_path, {0: 3.0, 4: 1.5})
    save_anchor(tmp_path, "no_skill", 3.5)
    save_anchor(tmp_path, "exact", 1.0)
    save_flat(tmp_path, {0: 3.4, 4: 2.8}, role="control:random_weights")
    (control,) = only(tmp_path).controls
    assert control.shares[4].value == pytest.approx(0.6 / 2.4)
    assert control.behind[4].value == pytest.approx(1.5 / 2.0 - 0.6 / 2.4)


@pytest.mark.parametrize(
    ("outcomes", "state", "figure"),
    [
        ({"permuted_targets": 0.1}, "passed", 0.8 / 0.9),
        ({"permuted_targets": 0.1, "random_weights": 0.3}, "passed", 0.8 / 0.9 - 0.2 / 0.9),
        ({"permuted_targets": 0.1, "random_weights": 0.8}, "failed", 0.1 / 0.9),
        ({}, "unknown", None),
    ],
)
def test_the_nearest_control_decides_where_the_mark_is_reached(
    outcomes: dict[str, float], state: str, figure: float | None, tmp_path: Path
) -> None:
    save_skill(tmp_path, OPEN)
    for name, outcome in outcomes.items():
        save_control(tmp_path, {0: (3.5, 0.1), 4: (3.0, outcome)}, name)
    found = check(tmp_path, "specific")
    assert found.state == state
    assert found.figure == (None if figure is None else pytest.approx(figure))
    if len(outcomes) > 1:
        assert found.text.startswith("random weights")


def test_a_control_at_another_count_tells_nothing(tmp_path: Path) -> None:
    save_skill(tmp_path, OPEN)
    save_control(tmp_path, {0: (3.5, 0.1), 1: (3.0, 0.1)})
    assert check(tmp_path, "specific")[:3] == ("unknown", None, "no control at 4 tokens")


def test_a_control_whose_items_are_others_than_it_claims_tells_nothing(tmp_path: Path) -> None:
    save_skill(tmp_path, OPEN)
    save_control(tmp_path, {0: (3.5, 0.1)})
    (bare,) = tmp_path.rglob("control-*.json")
    path = save(tmp_path, "control:permuted_targets", flat_items((3.0, 0.1), CLUSTERS - 1), tokens=4)
    claimed = json.loads(path.read_text("utf-8"))
    claimed["data"]["items_fingerprint"] = json.loads(bare.read_text("utf-8"))["data"]["items_fingerprint"]
    path.write_text(json.dumps(claimed), "utf-8")
    assert check(tmp_path, "specific").state == "unknown"


def training(value: float, unit: str = "nats/move") -> dict[str, Metric]:
    return {"training_loss": Metric(value, 0.0, 256, unit)}


@pytest.mark.parametrize(
    ("metrics", "state", "figure"),
    [
        (training(1.2 - 0.2), "passed", 0.08),  # of the 2.5 nats from frequencies to the exact source
        (training(1.2 - 0.3), "failed", 0.12),
        (training(1.2 + 0.5), "passed", -0.2),
        (training(1.2, "nats/token"), "unknown", None),
        ({"training_loss": Metric(None, reason="no samples")}, "unknown", None),
        ({}, "unknown", None),
    ],
)
def test_training_against_test_by_hand(
    metrics: dict[str, Metric], state: str, figure: float | None, tmp_path: Path
) -> None:
    save_skill(tmp_path, OPEN, metrics=metrics)
    bare = next(path for path in tmp_path.rglob("run-*.json") if json.loads(path.read_text())["prompt"]["tokens"] == 0)
    text = json.loads(bare.read_text("utf-8"))
    text["metrics"].pop("training_loss", None)
    bare.write_text(json.dumps(text), "utf-8")
    found = check(tmp_path, "generalises")
    assert (found.state, found.figure) == (state, None if figure is None else pytest.approx(figure))


def test_what_the_bare_model_finds_easier_is_no_overfitting(tmp_path: Path) -> None:
    """Its training samples lie .5 nats under its test items as well: content, and nothing learnt by heart."""
    save_skill(tmp_path, {4: (1.2, 0.9)}, metrics=training(0.6))
    save(tmp_path, "run", flat_items((3.5, 0.1)), tokens=0, determined=True, metrics=training(3.0))
    found = check(tmp_path, "generalises")
    assert (found.state, found.figure) == ("passed", pytest.approx(0.1 / 2.5))


def search_of(folder: Path) -> Check:
    return check(folder, "search")


def test_every_state_of_the_search(tmp_path: Path) -> None:
    save_skill(tmp_path, SHUT)
    assert search_of(tmp_path)[:3] == ("unknown", None, "no other rates, starts or steps were tried at 4 tokens")
    save_battery(tmp_path, 4, (3.4, 0.02), searched=False)
    assert search_of(tmp_path).state == "unknown"
    assert search_of(tmp_path).text.endswith("no search start was tried")
    save_battery(tmp_path, 4, (3.4, 0.02))
    assert search_of(tmp_path).text.endswith("power unknown")
    save_power(tmp_path, 4, [0.9])
    assert search_of(tmp_path).state == "unknown"
    assert search_of(tmp_path).text.endswith("power unknown: 1 of 10 searches were made")
    assert search_of(tmp_path).was_stopped
    save_power(tmp_path, 4, [0.9] * 7 + [0.1] * 2)
    assert search_of(tmp_path).state == "passed"
    assert search_of(tmp_path).text.endswith("planted secrets of 4 tokens are found in 8 of 10 such searches")
    save_power(tmp_path, 4, [0.49])
    assert search_of(tmp_path).state == "failed"  # 8 of 11


@pytest.mark.parametrize(("share", "state"), [(0.04, "passed"), (0.06, "failed")])
def test_a_last_round_that_still_moves_the_share_was_not_the_last(share: float, state: str, tmp_path: Path) -> None:
    save_skill(tmp_path, SHUT, validation=2.0)
    save_battery(tmp_path, 4, (3.4, 0.0), validation=2.0)
    save(tmp_path, "battery:seeds", flat_items((3.3, share)), tokens=4, validation=1.9)
    save_power(tmp_path, 4, [0.9] * 8)
    found = search_of(tmp_path)
    assert (found.state, found.figure) == (state, pytest.approx(share))


def test_trials_before_the_last_round_do_not_move_it(tmp_path: Path) -> None:
    save_skill(tmp_path, SHUT, validation=2.0)
    save_battery(tmp_path, 4, (3.3, 0.2), validation=1.9)
    save_power(tmp_path, 4, [0.9] * 8)
    assert search_of(tmp_path).figure == pytest.approx(0.0)


def test_where_the_mark_is_reached_the_search_is_that_of_the_count_below(tmp_path: Path) -> None:
    save_skill(tmp_path, OPEN)
    assert search_of(tmp_path).text.endswith("at 1 token")
    save_battery(tmp_path, 1, (3.4, 0.1))
    save_power(tmp_path, 1, [1.0] * 8)
    assert search_of(tmp_path).state == "passed"


def test_a_lowest_end_of_nothing_needs_no_search(tmp_path: Path) -> None:
    save_skill(tmp_path, {0: (3.5, 0.0), 1: (1.2, 0.9)})
    assert search_of(tmp_path).state == "passed"


def test_trials_at_a_count_of_which_the_grids_own_run_failed(tmp_path: Path) -> None:
    save_skill(tmp_path, SHUT)
    save(tmp_path, "run", flat_items((3.4, 0.0)), tokens=16, status="failed")
    save_battery(tmp_path, 16, (3.4, 0.0))
    assert search_of(tmp_path).figure == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ([(1, [1.0, 1.0]), (4, [0.5, 0.49, 0.9])], (4, 2, 3)),  # of the most tokens; half of the gap is enough
        ([(2, [0.1])], (2, 0, 1)),
    ],
)
def test_power_by_hand(
    planted: Sequence[tuple[int, list[float]]], expected: tuple[int, int, int], tmp_path: Path
) -> None:
    save_skill(tmp_path, SHUT)
    for tokens, shares in planted:
        save_power(tmp_path, tokens, shares)
    power = only(tmp_path).power
    assert power is not None
    assert power[:3] == expected


def test_locks_that_copies_were_taught_speak_where_secrets_do_not(tmp_path: Path) -> None:
    save_skill(tmp_path, SHUT)
    save_battery(tmp_path, 4, (3.4, 0.02))
    save_power(tmp_path, 1, [1.0, 0.1, *[None] * 8])
    save_power(tmp_path, 1, [0.9] * 5 + [None] * 5, "taught")
    assert search_of(tmp_path).state == "unknown"
    assert search_of(tmp_path).text.endswith("power unknown: only 5 copies learnt a lock")
    save_power(tmp_path, 1, [0.5] * 4 + [0.49], "taught")
    assert search_of(tmp_path).state == "passed"
    assert search_of(tmp_path).text.endswith(
        "plain locks of 1 token taught to copies of it are opened in 9 of 10 such searches"
    )
    save_power(tmp_path, 1, [0.1] * 6)
    assert search_of(tmp_path).text.endswith("planted secrets of 1 token are found in 1 of 8 such searches")


def test_locks_count_for_their_own_question(tmp_path: Path) -> None:
    """And none of a longer search or of another model's copies."""
    save_skill(tmp_path, SHUT)
    save_power(tmp_path, 4, [0.9] * 8, "taught", training__steps=401)
    save_power(tmp_path, 4, [0.9] * 8, "taught", model="other")
    save_power(tmp_path, 2, [0.9] * 7 + [0.1], "taught", experiment="skip_tokens")
    assert only(tmp_path).power is None
    save_power(tmp_path, 2, [0.9, 0.1])
    save_power(tmp_path, 1, [0.9] * 3, "taught")
    assert only(tmp_path).power == (1, 3, 3, 400, "taught", 3, True)


@pytest.mark.parametrize(("how", "counts"), [("planted", True), ("taught", False)])
def test_secrets_of_other_model_files_tell_nothing_and_those_of_other_data_come_second(
    how: str, counts: bool, tmp_path: Path
) -> None:
    save_skill(tmp_path, SHUT, model__fingerprint="v2:1")
    save_power(tmp_path, 4, [0.9] * 8, how, model__fingerprint="v2:2")
    assert only(tmp_path).power is None
    save_power(tmp_path, 4, [0.9] * 8, how, model__fingerprint="v2:1", data__fingerprint="another")
    assert ((power := only(tmp_path).power) and power[:6]) == ((4, 8, 8, 400, how, 8) if counts else None)
    save_power(tmp_path, 1, [0.1] * 9, how, model__fingerprint="v2:1")
    assert (power := only(tmp_path).power)
    assert power[:6] == (1, 0, 9, 400, how, 9)


def test_a_copied_folder_counts_nothing_twice(tmp_path: Path) -> None:
    save_skill(tmp_path / "one", SHUT)
    save_battery(tmp_path / "one", 4, (3.4, 0.02))
    save_power(tmp_path / "one", 4, [0.9] * 4)
    before = search_of(tmp_path)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert search_of(tmp_path) == before
    assert before.text.startswith("5 trials")


def test_secrets_of_longer_searches_or_other_models_tell_nothing(tmp_path: Path) -> None:
    save_skill(tmp_path, SHUT)
    save_power(tmp_path, 4, [0.9] * 8, training__steps=401)
    save_power(tmp_path, 4, [0.9] * 8, model="other")
    assert only(tmp_path).power is None


def test_overfitting_that_luck_may_have_made_is_in_doubt(tmp_path: Path) -> None:
    """Fewer items, or items that differ more: the next command asks for more of them."""
    losses = np.linspace(0.2, 2.2, 40)
    save_skill(tmp_path, {0: (3.0, 0.0), 4: (1.2, 0.9)}, command="soft-prompts run chess --evidence standard")
    spread = replace(flat_items((1.2, 0.9)), loss_nats=losses * flat_items((1.2, 0.9)).scored_units)
    save(tmp_path, "run", spread, tokens=4, determined=True, metrics=training(0.9), command="soft-prompts run chess")
    found = check(tmp_path, "generalises")
    assert (found.state, found.text.endswith("in doubt")) == ("unknown", True)
    assert found.figure is not None
    assert 0 < found.figure < 0.3
