"""Does evidence from other data or other test items count? Names alone say little: files of two versions share them."""

from pathlib import Path
from typing import Any

import pytest

from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.analysis.scales import Scale
from tests.checks.made.stored_results import flat_items, save, save_anchor, save_flat

LOSSES = {0: 3.0, 1: 2.5, 3: 1.5, 7: 1.2}
OTHER_DATA = {"data__fingerprint": "another version"}
OTHER_ITEMS = {"data__items_fingerprint": "other items"}
OTHER_MODEL = {"model": "other"}


def only(folder: Path) -> Reading:
    return next(one for one in read_all([folder], draws=20).readings if one.curve.model == "tiny-chess")


def loss_scale(folder: Path) -> Scale:
    scale = only(folder).loss
    assert scale is not None
    return scale


@pytest.mark.parametrize("other", [OTHER_DATA, OTHER_ITEMS, OTHER_MODEL])
@pytest.mark.parametrize(("missing", "known"), [("exact", "no_skill"), ("no_skill", "exact")])
def test_an_anchor_of_something_else_is_none(missing: str, known: str, other: dict[str, Any], tmp_path: Path) -> None:
    values = {"exact": 1.0, "no_skill": 3.5}
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, known, values[known])
    save_anchor(tmp_path, missing, values[missing], **other)
    scale = loss_scale(tmp_path)
    assert (scale.sound, scale.shares, scale.half.state) == (False, {}, "no_scale")
    save_anchor(tmp_path, missing, values[missing])
    assert loss_scale(tmp_path).shares[7].value == pytest.approx(2.3 / 2.5)


def test_a_control_on_other_data_is_none(tmp_path: Path) -> None:
    save_flat(tmp_path, LOSSES)
    for tokens, loss in {0: 4.0, 7: 3.4}.items():
        save(tmp_path, "control:random_strings", flat_items(loss), tokens=tokens, **OTHER_DATA)
    assert only(tmp_path).controls == ()
    for tokens, loss in {0: 4.0, 7: 3.4}.items():
        save(tmp_path, "control:random_strings", flat_items(loss), tokens=tokens)
    assert [control.name for control in only(tmp_path).controls] == ["random_strings"]


def test_models_on_other_data_are_not_contrasted(tmp_path: Path) -> None:
    for model, data in (("tiny-chess", {}), ("two", {})):
        save_scaled(tmp_path / "same", model, data)
    for model, data in (("tiny-chess", {}), ("two", OTHER_DATA)):
        save_scaled(tmp_path / "other", model, data)
    assert [one.model for one in only(tmp_path / "same").contrasts] == ["two"]
    assert only(tmp_path / "other").contrasts == ()


def save_scaled(folder: Path, model: str, data: dict[str, Any]) -> None:
    save_flat(folder, LOSSES, model=model, **data)
    for name, loss in (("exact", 1.0), ("no_skill", 3.5)):
        save_anchor(folder, name, loss, model=model, **data)
