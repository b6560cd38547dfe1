"""Does evidence from other data or other test items count? Names alone say little: files of two versions share them."""

from pathlib import Path

import pytest

from soft_prompts.analysis.readings import Reading, read_all
from tests.checks.made.stored_results import flat_items, save, save_anchor, save_flat

LOSSES = {0: 3.0, 1: 2.5, 3: 1.5, 7: 1.2}
OTHER_DATA = {"data__fingerprint": "another version"}
OTHER_ITEMS = {"data__items_fingerprint": "other items"}


def only(folder: Path) -> Reading:
    (reading,) = read_all([folder], draws=20).readings
    return reading


@pytest.mark.parametrize("other", [OTHER_DATA, OTHER_ITEMS])
def test_an_own_anchor_on_other_items_is_none(other: dict[str, str], tmp_path: Path) -> None:
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "exact", 1.0, **other)
    distance = only(tmp_path).distance
    assert distance is not None
    assert distance.saturation == "self"
    save_anchor(tmp_path, "exact", 1.0)
    distance = only(tmp_path).distance
    assert distance is not None
    assert distance.saturation == "exact"


@pytest.mark.parametrize("other", [OTHER_DATA, OTHER_ITEMS])
def test_a_hard_prompt_on_other_items_beats_nothing(other: dict[str, str], tmp_path: Path) -> None:
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "exact", 1.0)
    save_anchor(tmp_path, "hard_prompt", 0.1, tokens=3, **other)
    assert [note for note in only(tmp_path).notes if "hard prompt" in note] == []
    save_anchor(tmp_path, "hard_prompt", 0.1, tokens=3)
    assert [note for note in only(tmp_path).notes if "hard prompt" in note]


def test_a_control_on_other_data_is_none(tmp_path: Path) -> None:
    save_flat(tmp_path, LOSSES)
    for tokens, loss in {0: 4.0, 7: 3.4}.items():
        save(tmp_path, "control:random_strings", flat_items(loss), tokens=tokens, **OTHER_DATA)
    assert only(tmp_path).controls == ()
    for tokens, loss in {0: 4.0, 7: 3.4}.items():
        save(tmp_path, "control:random_strings", flat_items(loss), tokens=tokens)
    assert [control.name for control in only(tmp_path).controls] == ["random_strings"]


def test_models_on_other_data_are_not_contrasted(tmp_path: Path) -> None:
    for model, data in (("one", {}), ("two", OTHER_DATA)):
        save_flat(tmp_path, LOSSES, model=model, **data)
        save_anchor(tmp_path, "exact", 1.0, model=model, **data)
    assert all(reading.contrasts == () for reading in read_all([tmp_path], draws=20).readings)


def test_a_trial_without_a_validation_loss_is_not_chosen(tmp_path: Path) -> None:
    """Its test loss is the least of all; the best by validation has the share .8, the run's own is .9."""
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "exact", 1.0)
    save(tmp_path, "battery:rates", flat_items(1.4), tokens=7, validation=0.5)
    save(tmp_path, "battery:rates", flat_items(1.0), tokens=7)
    battery = only(tmp_path).battery
    assert battery is not None
    assert battery.moved == pytest.approx(-0.1)
