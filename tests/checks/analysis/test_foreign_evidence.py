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


@pytest.mark.parametrize("other", [{"model": "other"}, {"variant": "other"}, {"experiment": "skip_tokens"}])
def test_secrets_planted_elsewhere_say_nothing(other, tmp_path):
    save_flat(tmp_path, LOSSES)
    save_power(tmp_path, 2, [0.9], **other)
    assert only(tmp_path).power is None
