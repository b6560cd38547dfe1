"""How do the circumstances of a sample become floats that a prompt can read, and text that a person can?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soft_prompts.errors import UsageError


@dataclass(frozen=True)
class ConditionEncoder:
    """A named vector of numbers: each is shifted and divided, so that common values lie between about 0 and 1."""

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
        return " ".join(f"{name}={value:g}" for name, value in zip(self.names, self.decode(floats), strict=True))

    def from_named(self, given: Mapping[str, str]) -> tuple[float, ...]:
        """Floats from `{"white_elo": "1500", ...}`; raises UsageError for an unknown, missing or unreadable one."""
        for name in given:
            if name not in self.names:
                raise UsageError(f"condition {name} is unknown; this prompt takes {', '.join(self.names) or 'none'}")
        missing = [name for name in self.names if name not in given]
        if missing:
            raise UsageError(f"condition {missing[0]} is missing; give --condition {missing[0]}=NUMBER")
        try:
            values = [float(given[name]) for name in self.names]
        except ValueError as error:
            raise UsageError(f"a condition is no number: {error}; give --condition NAME=NUMBER") from error
        if not all(map(math.isfinite, values)):  # float() reads "nan" and "inf"
            raise UsageError(f"a condition is no number: {values} is not finite; give --condition NAME=NUMBER")
        return self.encode(values)


NO_CONDITIONS = ConditionEncoder((), (), ())
ELO_PAIR = ConditionEncoder(("white_elo", "black_elo"), (1000.0, 1000.0), (2000.0, 2000.0))  # arXiv 2505.14943, chess

ENCODERS = {"elo_pair": ELO_PAIR}


def encoder_for(names: Sequence[str]) -> ConditionEncoder:
    """The encoder with these names; raises UsageError where there is none."""
    for encoder in (NO_CONDITIONS, *ENCODERS.values()):
        if encoder.names == tuple(names):
            return encoder
    raise UsageError(f"no encoder for the conditions {', '.join(names)}; known: {', '.join(ENCODERS)}")
