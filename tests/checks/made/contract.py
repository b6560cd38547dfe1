"""What analysis gives to reports, while analysis itself is being rewritten; its own classes take the place of these."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from soft_prompts.analysis.comparison import Comparison
from soft_prompts.analysis.curves import Curve
from soft_prompts.analysis.drafts import Run

State = Literal["shown", "not_reached", "no_scale", "no_gap"]
Word = Literal["PRESENT", "HIDDEN", "FAR", "NOT FOUND", "UNDECIDED", "NO SCALE"]
CHECKS = ("scale", "generalises", "specific", "search")
DRAWS = 1_000


class Interval(NamedTuple):
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Bracket:
    mark: float
    state: State
    more_than: int | None = None
    at_most: int | None = None
    in_doubt: tuple[int, ...] = ()
    interpolated: float | None = None

    def text(self, most: int) -> str:
        """`more than 4, at most 16 tokens`."""
        doubt = f" ({', '.join(map(str, self.in_doubt))} in doubt)" if self.in_doubt else ""
        if self.state == "not_reached":
            return f"not reached by {most}{doubt}" if not self.in_doubt else f"not shown by {most}{doubt}"
        if self.state != "shown":
            return self.state.replace("_", " ")
        if self.at_most == 0:
            return "0: nothing in front"
        end = f"at most {self.at_most} token{'' if self.at_most == 1 else 's'}"
        return (f"more than {self.more_than}, {end}" if self.more_than else end) + doubt

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "mark": self.mark,
            "state": self.state,
            "more_than": self.more_than,
            "at_most": self.at_most,
            "in_doubt": list(self.in_doubt),
            "interpolated": self.interpolated,
        }


class End(NamedTuple):
    kind: str
    value: float
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Scale:
    by: Literal["deed", "loss"]
    unit: str
    floor: End | None
    ceiling: End | None
    sound: bool
    why: str | None
    shares: Mapping[int, Interval]
    half: Bracket
    nine_tenths: Bracket
    witness: Mapping[float, Run]

    def share(self, value: float) -> float:
        """Of an outcome or a loss per unit."""
        if self.floor is None or self.ceiling is None:
            raise ValueError("a share needs a floor and a ceiling")
        return (value - self.floor.value) / (self.ceiling.value - self.floor.value)


class Check(NamedTuple):
    state: Literal["passed", "failed", "unknown"]
    figure: float | None
    text: str


class Verdict(NamedTuple):
    word: Word
    why: str | None
    sentence: str
    next_command: str | None


class Power(NamedTuple):
    tokens: int
    recovered: int
    tried: int
    steps: int

    @property
    def text(self) -> str:
        """In words."""
        size = f"{self.tokens} token{'' if self.tokens == 1 else 's'}"
        return f"planted secrets of {size} are found in {self.recovered} of {self.tried} such searches"


class Code(NamedTuple):
    tokens: int
    seed: int
    bits_per_coordinate: int
    bits: float
    loss: float
    lost: float
    run: Run


@dataclass(frozen=True)
class Bits:
    codes: tuple[Code, ...]
    prompt: Code | None
    break_even_units: float | None


@dataclass(frozen=True)
class Control:
    name: str
    runs: tuple[Run, ...]
    shares: Mapping[int, Interval]
    behind: Mapping[int, Interval]


class ModelContrast(NamedTuple):
    model: str
    text: str
    tokens: int | None
    difference: Interval | None
    p_value: float | None
    adjusted: float | None


class Point(NamedTuple):
    tokens: int
    chosen: Run
    value: float | None
    stderr: float | None
    gain: Interval | None
    improved: float | None
    outcome: Interval | None
    share_deed: Interval | None
    share_loss: Interval | None
    training_loss: float | None
    distinct_samples: int | None
    edl_bits: float | None


@dataclass(frozen=True, eq=False)
class Reading:
    curve: Curve
    points: tuple[Point, ...]
    runs: tuple[Run, ...]
    prompts: tuple[Run, ...]
    deed: Scale | None
    loss: Scale | None
    checks: Mapping[str, Check]
    power: Power | None
    verdict: Verdict
    bits: Bits | None = None
    controls: tuple[Control, ...] = ()
    contrasts: tuple[ModelContrast, ...] = ()
    anchors: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def lead(self) -> Scale | None:
        """By deed where the task has an outcome."""
        return self.loss if self.deed is None else self.deed

    @property
    def evidence(self) -> int:
        """Checks passed."""
        return sum(check.state == "passed" for check in self.checks.values())


@dataclass(frozen=True)
class Readings:
    readings: tuple[Reading, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    results: tuple[Run, ...] = ()

    @property
    def comparison(self) -> Comparison:
        """The losses alone."""
        return Comparison(tuple(one.curve for one in self.readings), self.problems, self.warnings, 0)
