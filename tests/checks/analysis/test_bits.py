"""How many bits: rounded prompts, what a prompt took from its data, and when it pays for itself. By hand."""

import math
from pathlib import Path

import pytest

from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.results.schema import Metric
from tests.checks.made.stored_results import flat_items, save, save_anchor, save_flat

LOSSES = {0: 3.0, 1: 2.5, 3: 1.5, 7: 1.2}


def only(folder: Path) -> Reading:
    (reading,) = read_all([folder], draws=20).readings
    return reading


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The gap is 2.5 nats, so that rounding may cost .05."""
    save_flat(tmp_path, LOSSES)
    save_anchor(tmp_path, "no_skill", 3.5)
    save_anchor(tmp_path, "exact", 1.0)
    return tmp_path


def code(folder: Path, bits: int, tokens: int, size: float, loss: float, **changes) -> None:
    metrics = {"prompt_bits": Metric(size, None, 100, "bits")}
    save(folder, f"code:{bits}", flat_items(loss), tokens=tokens, metrics=metrics, **changes)


def test_bits_by_hand(folder):
    """3 tokens are the least that reach half, so that a smaller code of 7 does not count."""
    for tokens, bits, size, loss in ((7, 2, 150.0, 1.2), (3, 8, 900.0, 1.51), (3, 4, 500.0, 1.54), (3, 2, 200.0, 1.56)):
        code(folder, bits, tokens, size, loss)
    bits = only(folder).bits
    assert bits is not None
    assert [(one.tokens, one.bits_per_coordinate) for one in bits.codes] == [(3, 2), (3, 4), (3, 8), (7, 2)]
    assert bits.prompt is not None
    assert (bits.prompt.bits_per_coordinate, bits.prompt.bits, bits.prompt.lost) == (4, 500.0, pytest.approx(0.04))
    assert bits.break_even_units == pytest.approx(500 * math.log(2) / (3.0 - 1.54))


def test_rounding_that_costs_too_much_leaves_no_size(folder):
    code(folder, 2, 3, 200.0, 1.56)
    bits = only(folder).bits
    assert bits is not None
    assert (bits.prompt, bits.break_even_units) == (None, None)


def test_codes_are_of_the_chosen_prompt_alone(folder):
    save(folder, "run", flat_items(1.2), tokens=15, validation=2.0)
    chosen = save(folder, "run", flat_items(1.3), tokens=15, seed=1, validation=1.0)
    code(folder, 4, 15, 50.0, 1.2, config={"made_from": "chess/another"})
    assert only(folder).bits is None
    code(folder, 4, 15, 60.0, 1.3, seed=1, config={"made_from": f"chess/{chosen.stem}"})
    bits = only(folder).bits
    assert bits is not None
    assert [(one.seed, one.bits) for one in bits.codes] == [(1, 60.0)]


@pytest.mark.parametrize("other", [{"data__items_fingerprint": "other"}, {"data__fingerprint": "v2"}, {"model": "x"}])
def test_codes_of_something_else_are_none(other, folder):
    code(folder, 2, 7, 200.0, 1.2, **other)
    assert all(one.bits is None for one in read_all([folder], draws=20).readings if one.curve.model == "tiny-chess")


@pytest.mark.parametrize("units", [100.0, None])
def test_what_a_prompt_took_from_its_data(units, tmp_path):
    """The first pass paid 250 nats for 100 units that cost 1.2 each in the end: 130 nats."""
    first = {"first_pass_nats": Metric(250.0, None, 50, "nats")}
    first |= {"distinct_samples": Metric(50.0, None, 50, "samples")}
    first |= {} if units is None else {"first_pass_units": Metric(units, None, 50, "moves")}
    save_flat(tmp_path, {0: 3.0})
    save_flat(tmp_path, {7: 1.2}, metrics=first)
    bare, point = only(tmp_path).points
    assert bare.edl_bits is None
    assert point.distinct_samples == 50
    assert point.edl_bits == (None if units is None else pytest.approx(130 / math.log(2)))
