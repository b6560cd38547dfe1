"""Which prompts count, and which of them is a curve judged by? All of a token count; validation chooses, never test."""

import json
from pathlib import Path

import pytest

from soft_prompts.analysis.readings import Point, Reading, read_all
from tests.checks.made.results import build_items
from tests.checks.made.stored_results import CLUSTERS, flat_items, save, save_flat, save_skill

OUTCOMES = {0: (3.5, 0.0), 4: (3.0, 0.1)}
BETTER = (1.2, 0.95)


def only(folder: Path) -> Reading:
    (reading,) = read_all([folder], draws=60).readings
    return reading


def at(folder: Path, tokens: int) -> Point:
    return next(point for point in only(folder).points if point.tokens == tokens)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_skill(tmp_path, OUTCOMES, validation=2.0)
    return tmp_path


@pytest.mark.parametrize("role", ["rates", "initialisations", "seeds", "longer"])
def test_a_trial_of_the_battery_is_a_prompt_like_any_other(role: str, folder: Path) -> None:
    assert only(folder).verdict.word != "HIDDEN"
    path = save(folder, f"battery:{role}", flat_items(BETTER), tokens=4, validation=1.0)
    reading = only(folder)
    assert reading.deed is not None
    assert (reading.deed.half.state, reading.deed.half.at_most) == ("shown", 4)
    assert reading.deed.witness[0.5].path == at(folder, 4).chosen.path == path


def test_validation_chooses_and_the_test_items_never_do(folder: Path) -> None:
    save(folder, "battery:rates", flat_items((0.1, 1.0)), tokens=4, validation=2.1)
    save(folder, "battery:rates", flat_items((0.1, 1.0)), tokens=4)  # it has no validation at all
    assert at(folder, 4).chosen.result.role == "run"
    save(folder, "battery:rates", flat_items((3.4, 0.0)), tokens=4, validation=1.9)
    assert at(folder, 4).value == pytest.approx(3.4)


def test_a_trial_may_stand_where_the_grid_has_no_run(folder: Path) -> None:
    save(folder, "battery:rates", flat_items(BETTER), tokens=2, validation=1.0)
    assert [point.tokens for point in only(folder).points] == [0, 2, 4]


def test_runs_sought_otherwise_are_of_one_curve(folder: Path) -> None:
    """Other rates of the same token count and seed: the newest is the grid's, the other counts as well."""
    config = {"learning_rate": 0.3}
    save(folder, "run", flat_items(BETTER), tokens=4, validation=1.0, config=config, finished="2025-01-01T00:00:00Z")
    reading = only(folder)
    assert len(reading.runs) == 2
    assert at(folder, 4).value == pytest.approx(BETTER[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "direct"},
        {"mode": "none"},
        {"data__fingerprint": "another version"},
        {"data__items_fingerprint": "other items"},
        {"status": "failed"},
        {"experiment": "other"},
    ],
)
def test_prompts_of_something_else_do_not_count(changes: dict[str, str], folder: Path) -> None:
    save(folder, "battery:rates", flat_items(BETTER), tokens=4, validation=1.0, **changes)
    assert at(folder, 4).value == pytest.approx(3.0)


def test_items_that_are_others_than_they_claim_are_left_out(folder: Path) -> None:
    own = json.loads(only(folder).runs[0].path.read_text("utf-8"))
    path = save(folder, "battery:rates", flat_items(BETTER, CLUSTERS - 1), tokens=4, validation=1.0)
    claimed = json.loads(path.read_text("utf-8"))
    claimed["data"]["items_fingerprint"] = own["data"]["items_fingerprint"]
    path.write_text(json.dumps(claimed), "utf-8")
    assert at(folder, 4).value == pytest.approx(3.0)


def test_prompts_of_two_versions_of_the_data_are_refused(folder: Path) -> None:
    save(folder, "run", flat_items(BETTER), tokens=16, determined=True, data__fingerprint="another version")
    verdict = only(folder).verdict
    assert (verdict.word, verdict.why) == (
        "NO SCALE",
        "its runs are of different versions of the data",
    )


def test_gain_and_improved_items_by_hand(tmp_path: Path) -> None:
    """Of forty items of two moves thirty lose half a nat a move, ten win a quarter."""
    save_flat(tmp_path, {0: 3.0})
    save(tmp_path, "run", build_items([6.0] * CLUSTERS), tokens=0, seed=1)
    save(tmp_path, "run", build_items([5.0] * 30 + [6.5] * 10), tokens=4)
    point = at(tmp_path, 4)
    assert point.gain is not None
    assert point.gain.value == pytest.approx((0.5 * 30 - 0.25 * 10) / 40)
    assert point.improved == pytest.approx(0.75)
    assert point.gain.low is not None
    assert point.gain.low < point.gain.value
