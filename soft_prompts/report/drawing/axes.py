"""Where does a number stand in a figure? Frames with ticks at round values; token counts at log2(P + 1), so that
doublings are equal steps and 0 has a place."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from soft_prompts.report.drawing.letters import text_width
from soft_prompts.report.drawing.scene import Label, Place, Shape, Stroke
from soft_prompts.report.text import Number

TICK_SIZE = 10.5
STEPS = (1, 2, 2.5, 5, 10)
NAME_ROOM = 42.0  # under a frame, for ticks and the axis' name


class Tick(NamedTuple):
    at: Number
    name: str


@dataclass(frozen=True)
class Frame:
    """A rectangle of the scene, and what its edges stand for."""

    left: Number
    right: Number
    top: Number
    bottom: Number
    least: Place
    """Values at the left and lower edge."""
    most: Place

    def x(self, value: Number) -> float:
        return self.left + (value - self.least[0]) / (self.most[0] - self.least[0]) * (self.right - self.left)

    def y(self, value: Number) -> float:
        return self.bottom - (value - self.least[1]) / (self.most[1] - self.least[1]) * (self.bottom - self.top)

    def place(self, x: Number, y: Number) -> Place:
        return self.x(x), self.y(y)

    def inside(self, value: Number) -> Number:
        """The value, or the upright edge that it lies beyond."""
        return min(max(value, self.least[1]), self.most[1])


def token_place(tokens: Number) -> float:
    return math.log2(tokens + 1)


def token_ticks(counts: Iterable[int]) -> list[Tick]:
    return [Tick(token_place(tokens), f"{tokens:,}") for tokens in sorted(set(counts))]


def value_ticks(least: Number, most: Number, about: int = 5) -> list[Tick]:
    """Round values from `least` to `most`, `about` as many as asked."""
    span = most - least
    raw = span / about
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in STEPS if size * factor >= raw * 0.999)
    decimals = max(0, -math.floor(math.log10(step)), 1 if step / size == 2.5 and size <= 1 else 0)
    decimals += step / size == 2.5 and size < 1
    first = math.ceil(least / step - 1e-9)
    count = math.floor(most / step + 1e-9) - first + 1
    values = [(first + index) * step for index in range(count)]
    return [Tick(value, f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")) for value in values]


def padded(values: Sequence[Number], share: Number = 0.08) -> tuple[Number, Number]:
    """Least and greatest with room around them; never of no extent."""
    least, most = min(values), max(values)
    room = share * (most - least) or 0.05 * abs(most) or 1.0
    return least - room, most + room


def left_room(ticks: Iterable[Tick]) -> float:
    """Left of a frame, for the longest of the ticks' names."""
    return 10.0 + max((text_width(tick.name, TICK_SIZE) for tick in ticks), default=0.0)


def down_ticks(frame: Frame, ticks: Iterable[Tick]) -> list[Shape]:
    """Rules across the frame with their values left of it."""
    shapes: list[Shape] = []
    for tick in ticks:
        y = frame.y(tick.at)
        shapes.append(Stroke([(frame.left, y), (frame.right, y)], "rule"))
        if tick.name:
            shapes.append(Label((frame.left - 6, y + 3.6), tick.name, size=TICK_SIZE, anchor="end"))
    return shapes


def along_ticks(frame: Frame, ticks: Sequence[Tick], name: str) -> list[Shape]:
    """The axis below, its ticks named as far as names do not touch, and its own name; no names at all without one."""
    shapes: list[Shape] = [Stroke([(frame.left, frame.bottom), (frame.right, frame.bottom)], "muted")]
    for tick in ticks:
        shapes.append(Stroke([(frame.x(tick.at), frame.bottom), (frame.x(tick.at), frame.bottom + 4)], "muted"))
    if not name:
        return shapes
    taken = math.inf
    for index in range(len(ticks) - 1, -1, -1):
        x = frame.x(ticks[index].at)
        half = text_width(ticks[index].name, TICK_SIZE) / 2
        # The first name always stands: others give way to it.
        first_end = frame.x(ticks[0].at) + text_width(ticks[0].name, TICK_SIZE) / 2
        if index == 0 or (x + half < taken - 3 and x - half > first_end + 3):
            shapes.append(Label((x, frame.bottom + 16), ticks[index].name, size=TICK_SIZE, anchor="middle"))
            taken = x - half
    middle = (frame.left + frame.right) / 2
    return [*shapes, Label((middle, frame.bottom + 33), name, size=TICK_SIZE, anchor="middle")]
