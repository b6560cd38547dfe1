"""Do conditions become the floats that were promised, and come back?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soft_prompts.common.errors import UsageError
from soft_prompts.data.conditions import ELO_PAIR, ENCODERS, NO_CONDITIONS, encoder_for


def test_elos_are_shifted_by_1000_and_divided_by_2000() -> None:
    assert ELO_PAIR.encode((1500, 2600)) == (0.25, 0.8)
    assert ELO_PAIR.describe((0.25, 0.31)) == "white_elo=1500 black_elo=1620"
    assert NO_CONDITIONS.describe(()) == ELO_PAIR.describe(()) == ""


@given(st.tuples(st.integers(400, 4000), st.integers(400, 4000)))
def test_decoding_is_the_inverse(elos: tuple[int, int]) -> None:
    for encoder in ENCODERS.values():
        assert encoder.decode(encoder.encode(elos)) == pytest.approx(elos)


def test_named_values_are_read_in_the_encoders_order() -> None:
    assert ELO_PAIR.from_named({"black_elo": "2000", "white_elo": "1000"}) == (0.0, 0.5)
    assert NO_CONDITIONS.from_named({}) == ()


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        ({"elo": "1"}, "condition elo is unknown; this prompt takes white_elo, black_elo"),
        ({"white_elo": "1500"}, "condition black_elo is missing; give --condition black_elo=NUMBER"),
        (
            {"white_elo": "1500", "black_elo": "high"},
            "condition is no number: .*high.*; give --condition NAME=",
        ),
        ({"white_elo": "1500", "black_elo": "nan"}, "condition is no number: .*nan.*; give --condition NAME="),
        ({"white_elo": "inf", "black_elo": "1500"}, "condition is no number: .*inf.*; give --condition NAME="),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(given_values: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ELO_PAIR.from_named(given_values)


def test_a_prompt_without_conditions_takes_none() -> None:
    with pytest.raises(UsageError, match="condition white_elo is unknown; this prompt takes none"):
        NO_CONDITIONS.from_named({"white_elo": "1500"})


def test_an_encoder_is_found_by_its_names() -> None:
    assert encoder_for([]) is NO_CONDITIONS
    assert encoder_for(["white_elo", "black_elo"]) is ELO_PAIR
    with pytest.raises(UsageError, match="no encoder for the conditions black_elo, white_elo; known: elo_pair"):
        encoder_for(["black_elo", "white_elo"])


def test_as_many_values_as_names() -> None:
    with pytest.raises(ValueError, match="zip"):
        ELO_PAIR.encode((1500,))
