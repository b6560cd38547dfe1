"""Does evidence from other data or other test items count? Names alone say little: files of two versions share them."""

from pathlib import Path

import pytest

from soft_prompts.analysis.readings import Reading, read_all
from tests.checks.made.stored_results import save_anchor, save_control, save_flat, save_power

LOSSES = {0: 3.0, 1: 2.5, 3: 1.5, 7: 1.2}
OTHER_DATA = {"data__fingerprint": "another version"}
OTHER_ITEMS = {"data__items_fingerprint": "other items"}


def only(folder: Path) -> Reading:
    (reading,) = read_all([folder], draws=20).readings
    return reading


def ceiling(folder: Path) -> str | None:
    scale = only(folder).loss
    return None if scale is None or scale.ceiling is None else scale.ceiling.kind


@pytest.mark.parametrize("other", [OTHER_DATA, OTHER_ITEMS, {"variant": "other"}, {"status": "failed"}])
def test_an_anchor_on_other_items_is_none(other, tmp_path):
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "exact", 1.0, **other)
    assert ceiling(tmp_path) is None
    save_anchor(tmp_path, "exact", 1.0)
    assert ceiling(tmp_path) == "exact"


@pytest.mark.parametrize("other", [OTHER_DATA])
def test_a_reference_on_other_data_is_none(other, tmp_path):
    save_flat(tmp_path, LOSSES, reference="strong")
    save_flat(tmp_path, {0: 1.0}, model="strong", **other)
    readings = read_all([tmp_path], draws=20).readings
    scale = next(one.loss for one in readings if one.curve.model == "tiny-chess")
    assert scale is not None
    assert scale.ceiling is None


def test_a_control_on_other_data_is_none(tmp_path):
    save_flat(tmp_path, LOSSES)
    save_control(tmp_path, {0: 4.0, 7: 3.4}, **OTHER_DATA)
    assert only(tmp_path).controls == ()
    save_control(tmp_path, {0: 4.0, 7: 3.4})
    assert [control.name for control in only(tmp_path).controls] == ["permuted_targets"]


def test_secrets_count_wherever_they_were_planted_in_this_model(tmp_path):
    """Those planted beside the runs come first."""
    save_flat(tmp_path, LOSSES)
    save_power(tmp_path, 2, [0.9], model="other")
    assert only(tmp_path).power is None
    save_power(tmp_path, 2, [0.9, 0.1], experiment="skip_tokens")
    assert only(tmp_path).power == (2, 1, 2, 400)
    save_power(tmp_path, 1, [0.9] * 3)
    assert only(tmp_path).power == (1, 3, 3, 400)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (OTHER_DATA, "its runs are of different versions of the data"),
        ({"model__dtype": "bfloat16"}, "its runs are of models in different precisions"),
        ({"model__fingerprint": "v2:b"}, "its runs are of different model files"),
    ],
)
def test_runs_that_are_not_of_one_curve_are_refused_by_name(other, why, tmp_path):
    save_flat(tmp_path, LOSSES, model__fingerprint="v2:a")
    save_flat(tmp_path, {15: 1.1}, **({"model__fingerprint": "v2:a"} | other))
    verdict = only(tmp_path).verdict
    assert (verdict.word, verdict.why, verdict.next_command) == ("NO SCALE", why, None)


@pytest.mark.parametrize("name", ["anchor", "control"])
def test_what_stands_beside_is_of_the_same_model_files(name, tmp_path):
    """A model that was trained anew under its name."""
    for mark in ("v2:b", "v2:a"):
        save_anchor(tmp_path, "exact", 1.0, model__fingerprint=mark)
        save_control(tmp_path, {0: 4.0, 7: 3.4}, model__fingerprint=mark)
        if mark == "v2:b":
            save_flat(tmp_path, LOSSES, model__fingerprint="v2:a")
        reading = only(tmp_path)
        has = bool(reading.controls) if name == "control" else ceiling(tmp_path) is not None
        assert has is (mark == "v2:a")
