"""What is a share measured between? Floors and ceilings from stored results, by hand; and each way to have none."""

from pathlib import Path

import pytest

from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.analysis.scales import NO_CEILING, NO_FLOOR, Scale
from tests.checks.made.stored_results import flat_items, save, save_anchor, save_flat, save_skill

LOSSES = {0: 3.0, 1: 2.5, 3: 1.5, 7: 1.2}


def only(folder: Path, **given) -> Reading:
    (reading,) = read_all([folder], draws=60, **given).readings
    return reading


def of_model(paths: list[Path], model: str, **given) -> Reading:
    readings = read_all(paths, draws=60, **given).readings
    return next(reading for reading in readings if reading.curve.model == model)


def loss_scale(reading: Reading) -> Scale:
    assert reading.loss is not None
    return reading.loss


def ends(scale: Scale) -> tuple[str | None, str | None]:
    return scale.floor and scale.floor.kind, scale.ceiling and scale.ceiling.kind


def test_shares_and_brackets_by_hand(tmp_path):
    """(3.5 - L) / 2.5."""
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "no_skill", 3.5)
    save_anchor(tmp_path, "exact", 1.0)
    reading = only(tmp_path)
    scale = loss_scale(reading)
    assert reading.deed is None
    assert reading.lead is scale
    assert ends(scale) == ("frequencies", "exact")
    assert [share.value for share in scale.shares.values()] == pytest.approx([0.2, 0.4, 0.8, 0.92])
    assert (scale.half.more_than, scale.half.at_most, scale.nine_tenths.at_most) == (1, 3, 7)
    assert [scale.witness[mark].tokens for mark in (0.5, 0.9)] == [3, 7]


@pytest.mark.parametrize("told", [{"data__from_bare": True}, {"anchor": True}])
def test_a_task_that_the_bare_model_knows_starts_from_it(told, tmp_path):
    """(3 - L) / 2; results made earlier say so beside their anchors."""
    by_anchor = told.pop("anchor", False)
    save_flat(tmp_path, LOSSES, **told)
    save_anchor(tmp_path, "exact", 1.0, config={"share_from": "bare"} if by_anchor else {})
    save_anchor(tmp_path, "no_skill", 3.5)
    scale = loss_scale(only(tmp_path))
    assert ends(scale) == ("bare", "exact")
    assert [share.value for share in scale.shares.values()] == pytest.approx([0, 0.25, 0.75, 0.9])


def test_frequencies_that_tell_more_than_a_bare_model_are_what_can_be_had_without_the_skill(tmp_path):
    """(2.5 - L) / 1.5: what the bare model does not know it does not lack alone."""
    save_flat(tmp_path, LOSSES, data__from_bare=True)
    save_anchor(tmp_path, "exact", 1.0)
    save_anchor(tmp_path, "no_skill", 2.5)
    scale = loss_scale(only(tmp_path))
    assert ends(scale) == ("frequencies", "exact")
    assert [share.value for share in scale.shares.values()] == pytest.approx([-0.5 / 1.5, 0, 1 / 1.5, 1.3 / 1.5])


@pytest.mark.parametrize(("frequencies", "word"), [(3.5, "PRESENT"), (3.02, "NO SCALE"), (None, "NO SCALE")])
def test_a_bare_model_that_lacks_nothing_has_the_skill_if_frequencies_have_not(frequencies, word, tmp_path):
    """The ceiling is .01 below the bare model's 3 nats: (3.5 - 3) / (3.5 - 2.99)."""
    save_flat(tmp_path, {0: 3.0, 1: 3.0, 4: 2.995}, data__from_bare=True)
    save_anchor(tmp_path, "exact", 2.99)
    if frequencies is not None:
        save_anchor(tmp_path, "no_skill", frequencies)
    reading = only(tmp_path)
    assert reading.verdict.word == word
    if word == "PRESENT":
        assert ends(loss_scale(reading)) == ("frequencies", "exact")
        assert loss_scale(reading).shares[0].value == pytest.approx(0.5 / 0.51)


def test_validation_chooses_among_trained_weights_never_the_test_loss(tmp_path):
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "no_skill", 3.5)
    for rate, loss, validation in ((1e-3, 0.9, 2.0), (2e-3, 1.1, 1.0), (4e-3, 0.8, 3.0)):
        save_anchor(tmp_path, "lora", loss, training__learning_rate=rate, validation=validation)
    scale = loss_scale(only(tmp_path))
    assert scale.ceiling is not None
    assert (scale.ceiling.kind, scale.ceiling.value) == ("lora", pytest.approx(1.1))


def with_ends(folder: Path, floor: float | None, ceiling: float | None, **changes) -> Scale:
    save_flat(folder, LOSSES)
    if floor is not None:
        save_anchor(folder, "no_skill", floor)
    if ceiling is not None:
        save_anchor(folder, "lora", ceiling, **changes)
    reading = only(folder)
    assert reading.verdict.word == "NO SCALE"
    assert reading.checks["scale"].state == ("unknown" if None in (floor, ceiling) else "failed")
    scale = loss_scale(reading)
    assert (scale.sound, scale.half.state, scale.shares) == (False, "no_scale", {})
    assert reading.verdict.why == scale.why
    return scale


@pytest.mark.parametrize(
    ("floor", "ceiling", "why"),
    [
        (None, None, NO_FLOOR["loss"]),
        (None, 1.0, NO_FLOOR["loss"]),
        (3.5, None, NO_CEILING),
        (1.0, 3.5, "the ceiling's loss is no better than the floor's"),
        (1.0, 0.96, "the ceiling's loss is not 5% better than the floor's"),
        (3.5, 1.4, "prompts of 7 tokens do better than the ceiling: it was not trained to its end"),
    ],
)
def test_each_way_to_have_no_scale(floor, ceiling, why, tmp_path):
    assert with_ends(tmp_path, floor, ceiling).why == why


def test_a_ceiling_that_was_still_getting_better_is_none(tmp_path):
    why = with_ends(tmp_path, 3.5, 1.0, training__steps=400, training__best_step=400).why
    assert why == "the lora fine-tune that is the ceiling was still getting better at its last step"


@pytest.mark.parametrize("early", [None, "no better for 8 validations"])
def test_a_ceiling_that_ended_at_its_plateau_is_one(early, tmp_path):
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "no_skill", 3.5)
    best = 400 if early else 350
    save_anchor(tmp_path, "lora", 1.0, training__steps=400, training__best_step=best, training__ended_early=early)
    assert loss_scale(only(tmp_path)).sound


def test_a_gap_within_its_error_is_no_scale(tmp_path):
    """Of 40 items 4 are right at the ceiling: .1 with a standard error of .047."""
    save_flat(tmp_path, {0: (3.0, 0.0), 1: (2.9, 0.0)})
    save_anchor(tmp_path, "no_skill", (3.5, 0.0))
    few = flat_items((1.0, 0.0))
    assert few.outcome is not None
    few.outcome[:4] = 1
    save(tmp_path, "anchor:lora", few, tokens=0)
    scale = only(tmp_path).deed
    assert scale is not None
    assert scale.why == "the ceiling's outcome is not 3 standard errors better than the floor's"


@pytest.mark.parametrize("told", ["config", "flag"])
def test_a_reference_model_is_a_ceiling(told, tmp_path):
    """From 3.5 to 1.5 nats, and from 0 to .8 by deed."""
    named = {"reference": "strong"} if told == "config" else {}
    save_flat(tmp_path, {0: (3.5, 0.0), 4: (2.0, 0.6)}, **named)
    save_flat(tmp_path, {0: (1.5, 0.8)}, model="strong")
    save_anchor(tmp_path, "no_skill", (3.5, 0.0))
    reading = of_model([tmp_path], "tiny-chess", reference="strong" if told == "flag" else None)
    assert reading.deed is not None
    assert ends(reading.deed) == ("constant", "reference")
    assert reading.deed.shares[4].value == pytest.approx(0.75)
    assert loss_scale(reading).shares[4].value == pytest.approx(0.75)


def test_nobody_is_ones_own_reference_and_an_unnamed_model_none(tmp_path):
    save_flat(tmp_path, {0: 3.5, 4: 2.0}, reference="tiny-chess")
    save_flat(tmp_path, {0: 1.5}, model="strong")
    save_anchor(tmp_path, "no_skill", 3.5)
    assert loss_scale(of_model([tmp_path], "tiny-chess")).why == NO_CEILING


def test_anchors_of_another_model_count_only_where_they_are_asked_for(tmp_path):
    for model in ("one", "other"):
        save_flat(tmp_path, LOSSES, model=model)
    save_anchor(tmp_path, "no_skill", 3.5, model="one")
    save_anchor(tmp_path, "exact", 1.0, model="one")
    assert loss_scale(of_model([tmp_path], "one")).sound
    assert ends(loss_scale(of_model([tmp_path], "other"))) == (None, None)
    shared = loss_scale(of_model([tmp_path], "other", same_scale=True))
    assert shared.shares[7].value == pytest.approx(0.92)


def test_ones_own_anchor_comes_before_a_shared_one(tmp_path):
    for model, exact in (("one", 1.0), ("other", 0.5)):
        save_flat(tmp_path, LOSSES, model=model)
        save_anchor(tmp_path, "no_skill", 3.5, model=model)
        save_anchor(tmp_path, "exact", exact, model=model, finished=f"202{2 * exact:.0f}-01-01T00:00:00Z")
    for model, share in (("one", 2.3 / 2.5), ("other", 2.3 / 3.0)):
        assert loss_scale(of_model([tmp_path], model, same_scale=True)).shares[7].value == pytest.approx(share)


def test_another_folder_never_changes_a_models_line(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    save_skill(one, {0: (3.0, 0.0), 4: (2.0, 1.0)})
    save_skill(other, {0: (2.0, 0.0), 4: (0.1, 1.0)}, model="other")
    for name, value in (("lora", (0.01, 1.0)), ("exact", 0.01), ("no_skill", (9.0, 0.9)), ("placebo", (0.1, 1.0))):
        given = {"tokens": 4 if name == "placebo" else 0, "config": {"share_from": "bare"}}
        save_anchor(other, name, value, model="other", finished="2027-01-01T00:00:00Z", **given)
    alone, beside = (of_model(paths, "tiny-chess") for paths in ([one], [other, one]))
    assert alone.verdict == beside.verdict
    for by in ("deed", "loss"):
        assert getattr(alone, by).shares == getattr(beside, by).shares
        assert ends(getattr(alone, by)) == ends(getattr(beside, by))
