"""How do the circumstances of a sample become floats that a prompt can read, and text that a person can?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soft_prompts.common.errors import UsageError


@dataclass(frozen=True)
class ConditionEncoder:
    """A named vector of numbers: each is shifted and divided, so that common values lie between about 0 and 1.

    A name `kind=red` is 1 where the condition `kind` is red, else 0: one such name for each choice.
    """

    names: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def encode(self, values: Sequence[float | int]) -> tuple[float, ...]:
        """Values in their own units -> floats, in the order of `names`."""
        return tuple((v - o) / s for v, o, s in zip(values, self.offset, self.scale, strict=True))

    def decode(self, floats: Sequence[float]) -> tuple[float, ...]:
        """The inverse of `encode`."""
        return tuple(f * s + o for f, o, s in zip(floats, self.offset, self.scale, strict=True))

    def describe(self, floats: Sequence[float]) -> str:
        """`white_elo=1500 black_elo=1620`, for reports; nothing for a prompt without conditions."""
        if not floats:
            return ""
        named = zip(self.names, self.decode(floats), strict=True)
        return " ".join(
            name if "=" in name else f"{name}={value:g}" for name, value in named if value or "=" not in name
        )

    @property
    def asked(self) -> dict[str, list[str]]:
        """Names that a person gives, each with its choices; none where it is a number."""
        asked: dict[str, list[str]] = {}
        for name in self.names:
            condition, is_choice, choice = name.partition("=")
            asked.setdefault(condition, []).extend([choice] if is_choice else [])
        return asked

    def from_named(self, given: Mapping[str, str]) -> tuple[float, ...]:
        """Floats from `{"white_elo": "1500", ...}`; raises UsageError for an unknown, missing or unreadable one."""
        asked = self.asked
        for name, value in given.items():
            if name not in asked:
                raise UsageError(f"condition {name} is unknown; this prompt takes {', '.join(asked) or 'none'}")
            if asked[name] and value not in asked[name]:
                raise UsageError(f"condition {name} is {value!r}; give one of {', '.join(asked[name])}")
        missing = [name for name in asked if name not in given]
        if missing:
            wanted = "|".join(asked[missing[0]]) or "NUMBER"
            raise UsageError(f"condition {missing[0]} is missing; give --condition {missing[0]}={wanted}")
        chosen = {f"{name}={value}" for name, value in given.items()}
        try:
            values = [float(name in chosen) if "=" in name else float(given[name]) for name in self.names]
        except ValueError as error:
            raise UsageError(f"a condition is no number: {error}; give --condition NAME=NUMBER") from error
        if not all(map(math.isfinite, values)):  # float() reads "nan" and "inf"
            raise UsageError(f"a condition is no number: {values} is not finite; give --condition NAME=NUMBER")
        return self.encode(values)


def named_values(given: Sequence[str], hint: str = "") -> dict[str, str]:
    """What the words NAME=VALUE behind --condition give, by name; raises UsageError for a word of another form, and for
    a name that is there twice, of which one value would be lost. `hint`: where else a word may belong."""
    found = dict[str, str]()
    for word in given:
        name, is_pair, value = word.partition("=")
        if not is_pair:
            raise UsageError(f"--condition is {word}; give NAME=VALUE{hint}")
        if name in found:
            raise UsageError(f"condition {name} is given twice; give one value")
        found[name] = value
    return found


def standard(values: Sequence[float | str]) -> tuple[float, float]:
    """Mean and standard deviation; of numbers that are alike but for rounding the first of them and 1."""
    numbers = np.array(values, dtype=float)
    if np.ptp(numbers) <= ALIKE * np.abs(numbers).max():
        return float(numbers[0]), 1.0
    return float(numbers.mean()), float(numbers.std()) or 1.0  # of the smallest numbers the squares are 0


ALIKE = 1e-13  # of the largest: .3 and .1 + .2 are one number, and numbers of ten digits are not
NO_CONDITIONS = ConditionEncoder((), (), ())
ELO_PAIR = ConditionEncoder(("white_elo", "black_elo"), (1000.0, 1000.0), (2000.0, 2000.0))  # arXiv 2505.14943

# Divided by their standard deviations on 8x8 boards: 3.0 extra moves, 1.0 wall hits (4,096 boards).
PATH_QUALITY = ConditionEncoder(("extra_moves", "wall_hits"), (0.0, 0.0), (3.0, 1.0))

MODEL_ID = ConditionEncoder(("model=M1", "model=M2"), (0.0, 0.0), (1.0, 1.0))  # one-hot: as which to answer

ENCODERS = {"elo_pair": ELO_PAIR, "path_quality": PATH_QUALITY, "model_id": MODEL_ID}


def encoder_for(names: Sequence[str], numbers: Mapping[str, Sequence[float]] | None = None) -> ConditionEncoder:
    """The encoder with these names, or one made from data with its own offset and scale (`own_numbers`); raises
    UsageError where there is none."""
    if numbers is not None:
        return ConditionEncoder(tuple(names), tuple(numbers["offset"]), tuple(numbers["scale"]))
    for encoder in (NO_CONDITIONS, *ENCODERS.values()):
        if encoder.names == tuple(names):
            return encoder
    raise UsageError(f"no encoder for the conditions {', '.join(names)}; known: {', '.join(ENCODERS)}")


def own_numbers(encoder: ConditionEncoder) -> dict[str, list[float]] | None:
    """What its names do not say of an encoder; None for one of `ENCODERS`, which they say all of."""
    if encoder in (NO_CONDITIONS, *ENCODERS.values()):
        return None
    return {"offset": list(encoder.offset), "scale": list(encoder.scale)}
