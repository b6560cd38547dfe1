"""Which of two models is nearer? By brackets, by shares with three seeds a side, and when nothing is said."""

from pathlib import Path

import numpy as np
import pytest

from soft_prompts.analysis.contrasts import ModelContrast
from soft_prompts.analysis.readings import read_all
from tests.checks.made.stored_results import CLUSTERS, flat_items, save, save_skill

NEAR, FAR = {0: (3.0, 0.0), 1: (1.2, 1.0), 4: (1.2, 1.0)}, {0: (3.0, 0.0), 1: (2.5, 0.0), 4: (1.2, 1.0)}
NEVER = {0: (3.0, 0.0), 1: (2.5, 0.0), 4: (2.5, 0.0)}
NOT_PAIRED = {"tokens": None, "difference": None, "adjusted": None}


def contrasts(folder: Path, model: str = "one", variant: str | None = None) -> tuple[ModelContrast, ...]:
    readings = read_all([folder], draws=200).readings
    return next(one.contrasts for one in readings if (one.curve.model, one.curve.variant) == (model, variant))


def two(folder: Path, first, second, **changes) -> ModelContrast:
    save_skill(folder, first, model="one")
    save_skill(folder, second, model="two", **changes)
    (found,) = contrasts(folder)
    return found


@pytest.mark.parametrize("second", [FAR, NEVER])
def test_brackets_that_lie_apart_tell(second, tmp_path):
    assert two(tmp_path, NEAR, second) == ("two", "nearer than two, beyond doubt", None, None, None, None)
    (back,) = contrasts(tmp_path, "two")
    assert back.text == "farther than one, beyond doubt"


def test_two_that_are_not_reached_are_alike(tmp_path):
    assert two(tmp_path, NEVER, NEVER) == ("two", "not reached, like two", None, None, 1.0, 1.0)


def test_one_seed_a_side_tells_of_the_items_only(tmp_path):
    found = two(tmp_path, NEAR, NEAR)
    assert (found.text, found.p_value) == ("items only: three seeds a side tell it from two", None)


def seeds(folder: Path, model: str, outcomes, variant: str) -> None:
    """At 1 token; the first items are right."""
    save_skill(folder, {0: (3.0, 0.0)}, model=model, variant=variant)
    for seed, outcome in enumerate(outcomes):
        items = flat_items((1.2, 0.0))
        assert items.outcome is not None
        items.outcome[: round(outcome * CLUSTERS)] = 1
        save(folder, "run", items, tokens=1, seed=seed, determined=True, model=model, variant=variant)


def test_three_seeds_a_side_and_holm_over_tasks(tmp_path):
    for task, (first, second) in {
        "same": ((0.9, 0.95, 0.85), (0.9, 0.85, 0.95)),
        "apart": ((1.0,) * 3, (0.8, 0.75, 0.7)),
    }.items():
        seeds(tmp_path, "one", first, task)
        seeds(tmp_path, "two", second, task)
    (apart,), (same,) = (contrasts(tmp_path, variant=task) for task in ("apart", "same"))
    assert (apart.tokens, same.tokens) == (1, 1)
    assert apart.difference is not None
    assert apart.difference.value == pytest.approx(0.25)
    assert apart.difference.low is not None
    assert 0 < apart.difference.low < 0.25
    assert apart.p_value is not None
    assert apart.p_value < 0.025
    assert apart.adjusted == pytest.approx(2 * apart.p_value)
    assert (same.difference.value if same.difference else None) == pytest.approx(0)
    assert same.adjusted == pytest.approx(1)
    (back,) = contrasts(tmp_path, "two", "apart")
    assert back.difference is not None
    assert np.allclose(back.difference, [-0.25, -(apart.difference.high or 0), -apart.difference.low])


def test_without_a_sound_scale_or_on_other_data_nothing_is_compared(tmp_path):
    save_skill(tmp_path, NEAR, model="one")
    for tokens, value in NEAR.items():
        save(tmp_path, "run", flat_items(value), tokens=tokens, model="two")
        save(tmp_path, "run", flat_items(value), tokens=tokens, model="three", data__fingerprint="v2", determined=True)
    save(tmp_path, "anchor:no_skill", flat_items((3.5, 0.0)), tokens=0, model="three", data__fingerprint="v2")
    assert contrasts(tmp_path) == ()
