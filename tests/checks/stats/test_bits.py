"""Are the sizes of prompts, and what follows from them, those that one works out by hand?"""

import math

import numpy as np
import pytest

from soft_prompts.stats.bits import (
    break_even_units,
    codebook_bits,
    codebook_prompt,
    coded_bits,
    excess_description_bits,
    prompt_bits,
    quantise,
)


def test_quantised_by_hand():
    found = quantise([[-1.0, 0.0], [0.2, 2.0]], 2)  # levels -1 0 1 2
    assert found.levels.tolist() == [[0, 1], [1, 3]]
    assert found.values() == pytest.approx(np.array([[-1, 0], [0, 2.0]]))
    assert quantise([5.0, 5.0], 8).values() == pytest.approx([5, 5])


@pytest.mark.parametrize("bits", [1, 4, 12, 16])
def test_rounding_is_off_by_half_a_step_at_most(bits: int):
    values = np.random.default_rng(0).standard_normal((8, 16))
    found = quantise(values, bits)
    assert np.abs(found.values() - values).max() <= found.step * 0.5 + 1e-6 * np.abs(values).max()
    assert found.levels.max() == 2**bits - 1


def test_code_length_by_hand():
    # two equal symbols of two: 1/2 x 3/4; the plain code of two bits is longer
    assert coded_bits(np.array([1, 1]), 1) == pytest.approx(1 - math.log2(3 / 8))
    # two different ones: 1/2 x 1/4, three bits: the plain code takes two
    assert coded_bits(np.array([0, 1]), 1) == pytest.approx(1 + 2)


def test_code_length_nears_the_entropy():
    levels = np.random.default_rng(0).choice(4, 4_000, p=[0.7, 0.1, 0.1, 0.1])
    entropy = -(0.7 * math.log2(0.7) + 0.3 * math.log2(0.1))
    assert coded_bits(levels, 2) / 4_000 == pytest.approx(entropy, rel=0.02)
    assert coded_bits(np.random.default_rng(0).integers(0, 256, 100), 8) == 801


def test_a_prompt_is_the_sum_of_its_tensors():
    one, two = np.array([[0.0, 1.0]]), np.array([0.0, 0.0])
    assert prompt_bits([one], 1) == pytest.approx(64 + 3)
    assert prompt_bits([one, two], 1) == pytest.approx(64 + 3 + 64 + 1 - math.log2(3 / 8))
    assert prompt_bits([], 8) == 0


def test_excess_description_by_hand():
    # 3 samples paid 5, 3 and 1 nats when they were met first, of one unit each; the prompt pays 1 on new ones
    assert excess_description_bits(9.0, 3.0, 1.0) == pytest.approx((9 - 3) / math.log(2))


def test_break_even_by_hand():
    assert break_even_units(100.0, 0.5) == pytest.approx(200 * math.log(2))
    assert break_even_units(100.0, 0.0) is None
    # at N* both descriptions are equally long
    units = 200 * math.log(2)
    assert units * 1.5 / math.log(2) == pytest.approx(100 + units * 1.0 / math.log(2))


def test_codebook_counts_places_and_stops_at_the_first():
    asked = []

    def shares():
        for share in (0.1, 0.2, 0.3, 0.6, 0.9):
            asked.append(share)
            yield share

    assert codebook_bits(shares(), 0.5) == 2  # the fourth of a book of 2^2
    assert asked == [0.1, 0.2, 0.3, 0.6]
    assert codebook_bits([0.9], 0.5) == 0
    assert codebook_bits([0.1], 0.5) is None


def test_codebook_bits_grow_with_the_number_of_keys():
    """One prompt in K opens: the expected code is log2 K less a constant, so the slope in log2 K is 1."""
    draw = np.random.default_rng(0)
    means = []
    for keys in (8, 32, 128):
        books = draw.random((400, keys * 20)) < 1 / keys
        means.append(np.mean([codebook_bits(book.astype(float), 0.5) for book in books if book.any()]))
    assert np.diff(means) / 2 == pytest.approx([1, 1], abs=0.1)


def test_a_codebook_is_rebuilt_from_its_index():
    first, again, other = (codebook_prompt(index, (4, 64), 0.02) for index in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.sqrt(np.mean(first**2)) == pytest.approx(0.02, rel=0.15)
    with pytest.raises(ValueError, match="index"):
        codebook_prompt(-1, (1, 2), 1.0)


@pytest.mark.parametrize(("tensor", "bits"), [([1.0], 0), ([1.0], 17), ([], 8), ([math.inf], 8)])
def test_what_cannot_be_quantised_is_refused(tensor: list[float], bits: int):
    with pytest.raises(ValueError, match="give"):
        quantise(tensor, bits)
