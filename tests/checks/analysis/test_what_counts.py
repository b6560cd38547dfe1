"""Which results tell nothing of a curve, and which do from another place? Nothing of them may end the reading."""

from pathlib import Path

import pytest

from soft_prompts.analysis.checks import Check
from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.results.schema import Metric
from tests.checks.made.stored_results import (
    flat_items,
    save,
    save_anchor,
    save_control,
    save_flat,
    save_power,
    save_skill,
)

LOSSES = {0: 3.0, 1: 2.5, 3: 1.5, 7: 1.2}
FLAT = {0: (3.0, 0.0), 1: (2.0, 0.0), 4: (2.0, 0.0)}
OTHER_DATA = {"data__fingerprint": "another version"}
VERSION, OTHER_VERSION = {"model__fingerprint": "v2:a"}, {"model__fingerprint": "v2:b"}


def of_model(folder: Path, model: str = "tiny-chess") -> Reading:
    return next(one for one in read_all([folder], draws=60).readings if one.curve.model == model)


def specific(folder: Path) -> Check:
    return of_model(folder).checks["specific"]


def ceiling(folder: Path) -> str | None:
    scale = of_model(folder).loss
    return None if scale is None or scale.ceiling is None else scale.ceiling.kind


def test_a_control_without_its_bare_model_or_with_nothing_to_gain_tells_nothing(tmp_path: Path) -> None:
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (1.2, 1.0)})
    save_control(tmp_path, {1: (3.0, 0.1)})
    save_control(tmp_path, {0: (3.0, 1.0), 1: (3.0, 1.0)}, "random_weights")
    assert specific(tmp_path) == Check("unknown", None, "no control at 1 token")
    save_control(tmp_path, {0: (4.0, 0.0)})
    assert specific(tmp_path).state == "passed"


def test_controls_on_other_items_than_their_bare_model_are_left_out(tmp_path: Path) -> None:
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (1.2, 1.0)})
    save_control(tmp_path, {0: (4.0, 0.0)})
    save(tmp_path, "control:permuted_targets", flat_items((3.0, 0.0), 20), tokens=1)
    assert specific(tmp_path).state == "unknown"
    save_control(tmp_path, {1: (3.0, 0.0)})
    assert specific(tmp_path).state == "passed"


def test_where_the_mark_is_not_reached_task_and_every_control_are_alike(tmp_path: Path) -> None:
    save_skill(tmp_path, {0: (3.0, 0.0), 1: (2.0, 0.3), 4: (2.0, 0.3)})
    save_control(tmp_path, {0: (4.0, 0.0), 4: (3.0, 0.2)})
    assert specific(tmp_path).state == "passed"
    save_control(tmp_path, {0: (4.0, 0.0), 4: (3.0, 0.01)}, "random_strings")
    found = specific(tmp_path)
    assert (found.state, found.figure) == ("failed", pytest.approx(0.29))


def test_a_fall_of_the_loss_that_random_strings_have_too_is_not_hidden(tmp_path: Path) -> None:
    """A task without an outcome, on a model of random weights: it learns the format."""
    save_flat(tmp_path, {0: 3.5, 1: 1.6, 16: 1.5})
    save_control(tmp_path, {0: 3.5, 1: 1.6, 16: 1.5}, "random_strings")
    save_anchor(tmp_path, "no_skill", 3.5)
    save_anchor(tmp_path, "exact", 1.0)
    reading = of_model(tmp_path)
    assert reading.loss is not None
    assert (reading.loss.half.at_most, reading.verdict.word) == (1, "UNDECIDED")
    assert reading.checks["specific"].state == "failed"


def test_runs_on_other_items_end_the_reading_and_not_the_command(tmp_path: Path) -> None:
    save_skill(tmp_path, FLAT)
    save(tmp_path, "run", flat_items((1.0, 1.0), 3), tokens=8)
    save_flat(tmp_path, LOSSES, model="other")
    mixed = of_model(tmp_path)
    assert (mixed.deed, mixed.loss, mixed.verdict.word) == (None, None, "NO SCALE")
    assert (mixed.verdict.why, mixed.verdict.next_command) == ("its runs were tested on different items", None)
    assert [point.gain is None for point in mixed.points] == [False, False, False, True]
    assert all(point.gain is not None for point in of_model(tmp_path, "other").points)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (OTHER_DATA, "its runs are of different versions of the data"),
        ({"model__dtype": "bfloat16"}, "its runs are of models in different precisions"),
        (OTHER_VERSION, "its runs are of different model files"),
    ],
)
def test_runs_that_are_not_of_one_curve_are_refused_by_name(other: dict[str, str], why: str, tmp_path: Path) -> None:
    save_flat(tmp_path, LOSSES, **VERSION)
    save_flat(tmp_path, {15: 1.1}, **(VERSION | other))
    verdict = of_model(tmp_path).verdict
    assert (verdict.word, verdict.why, verdict.next_command) == ("NO SCALE", why, None)


def test_a_prompt_is_chosen_among_those_validated_on_the_most_items(tmp_path: Path) -> None:
    """A loss on a few items that happen to be easy beats none on many."""
    few = {"validation_loss": Metric(0.2, 0.5, 4, "nats/token")}
    save(tmp_path, "run", flat_items(3.0), tokens=0)
    save(tmp_path, "run", flat_items(1.4), tokens=1, seed=0, validation=1.4)
    save(tmp_path, "run", flat_items(1.3), tokens=1, seed=1, validation=1.3)
    save(tmp_path, "run", flat_items(2.9), tokens=1, seed=2, metrics=few)
    reading = of_model(tmp_path)
    assert reading.points[-1].value == 1.3
    assert "validation items differ: 100 at 1 token; 4 at 1 token" in reading.curve.warnings


def test_a_ceiling_is_chosen_among_those_validated_on_the_most_items(tmp_path: Path) -> None:
    save(tmp_path, "run", flat_items(3.0), tokens=0)
    save(tmp_path, "run", flat_items(1.4), tokens=1, validation=1.4)
    save_anchor(tmp_path, "no_skill", 3.5)
    save(tmp_path, "anchor:lora", flat_items(1.1), tokens=0, validation=1.1)
    few = {"validation_loss": Metric(0.2, 0.5, 4, "nats/token")}
    save(tmp_path, "anchor:lora", flat_items(2.8), tokens=0, metrics=few)
    scale = of_model(tmp_path).loss
    assert scale is not None
    assert scale.ceiling is not None
    assert scale.ceiling.value == pytest.approx(1.1)


def test_what_stands_beside_is_of_the_same_model_files(tmp_path: Path) -> None:
    """A model that was trained anew under its name."""
    save_flat(tmp_path, LOSSES, **VERSION)
    for files in (OTHER_VERSION, VERSION):
        save_anchor(tmp_path, "exact", 1.0, **files)
        save_control(tmp_path, {0: 4.0, 7: 3.4}, **files)
        found = ceiling(tmp_path), bool(of_model(tmp_path).controls)
        assert found == ((None, False) if files == OTHER_VERSION else ("exact", True))


@pytest.mark.parametrize(("other", "expected"), [(OTHER_DATA, None), ({}, "reference")])
def test_a_reference_on_other_data_is_none(other: dict[str, str], expected: str | None, tmp_path: Path) -> None:
    save_flat(tmp_path, LOSSES, reference="strong")
    save_flat(tmp_path, {0: 1.0}, model="strong", **other)
    assert ceiling(tmp_path) == expected


def test_secrets_count_wherever_they_were_planted_in_this_model(tmp_path: Path) -> None:
    """Those planted beside the runs come first."""
    save_flat(tmp_path, LOSSES)
    save_power(tmp_path, 2, [0.9, 0.1], experiment="skip_tokens")
    assert of_model(tmp_path).power == (2, 1, 2, 400, "planted", 2, True)
    save_power(tmp_path, 1, [0.9] * 3)
    assert of_model(tmp_path).power == (1, 3, 3, 400, "planted", 3, True)


def test_power_is_that_of_the_longest_prompts_in_the_curves_own_steps(tmp_path: Path) -> None:
    save_skill(tmp_path, FLAT)
    save_power(tmp_path, 4, [0.5, 0.4, 0.6], training__steps=300)
    save_power(tmp_path, 4, [0.9], tokens=4)
    save_power(tmp_path, 8, [0.9], training__steps=401)
    assert of_model(tmp_path).power == (4, 2, 3, 300, "planted", 3, True)
