"""Where does the name of a line across stand? Beside its line, on no other name, and where the fewest curves run."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from soft_prompts.report.drawing.axes import Frame
from soft_prompts.report.drawing.letters import shortened, text_width
from soft_prompts.report.drawing.scene import Label, Place
from soft_prompts.report.text import Number

SIZE = 10.0
ABOVE, BELOW, APART = -4.0, 12.0, 13.0  # of a name's foot from its line; of two names' feet
ASCENT, DESCENT = 9.0, 3.0  # of a name, from its foot
STEP = 3.0  # units between the places of a curve that are looked at
NAME, CURVE, LINE, AWAY = 1000.0, 10.0, 5.0, 1.0  # price of what a name touches, and of a row away from its line


class Line(NamedTuple):
    """Across the frame."""

    name: str
    y: Number
    role: str


class _Box(NamedTuple):
    left: float
    right: float
    top: float
    bottom: float

    def holds(self, place: Place) -> bool:
        return self.left <= place[0] <= self.right and self.top <= place[1] <= self.bottom

    def touches(self, other: "_Box") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def line_names(frame: Frame, lines: Sequence[Line], curves: Sequence[Sequence[Place]]) -> list[Label]:
    """One a line that has a name; the curves are polylines inside the frame."""
    run, heights = [_along(curve) for curve in curves], [line.y for line in lines]
    taken, labels = list[_Box](), list[Label]()
    for line in sorted(lines, key=lambda line: line.y):
        if name := shortened(line.name, (frame.right - frame.left) / 2, SIZE):
            best = min(_seats(frame, line, name), key=lambda seat: _price(seat, taken, run, heights))
            taken.append(best.box)
            labels.append(best.label)
    return labels


class _Seat(NamedTuple):
    label: Label
    box: _Box
    away: int
    """Rows between it and the line."""


def _seats(frame: Frame, line: Line, name: str) -> list[_Seat]:
    """Right, left and between, above the line and below it and rows away from both, none under the axis."""
    width = text_width(name, SIZE)
    free = frame.right - frame.left - width - 3
    found = list[_Seat]()
    for away in range(4):
        for foot in (line.y + ABOVE - away * APART, line.y + BELOW + away * APART):
            inside = min(max(foot, frame.top + ASCENT), frame.bottom - DESCENT)
            for share in (1, 0, 0.5, 0.25, 0.75):
                left = frame.left + 3 + share * free
                place, anchor = ((frame.right, inside), "end") if share == 1 else ((left, inside), "start")
                box = _Box(left, left + width, inside - ASCENT, inside + DESCENT)
                found.append(_Seat(Label(place, name, line.role, SIZE, anchor), box, away))
    return found


def _price(seat: _Seat, taken: Sequence[_Box], curves: Sequence[Sequence[Place]], heights: Sequence[Number]) -> float:
    crossed = sum(any(map(seat.box.holds, curve)) for curve in curves)
    lines = sum(seat.box.top < height < seat.box.bottom for height in heights)
    return NAME * sum(map(seat.box.touches, taken)) + CURVE * crossed + LINE * lines + AWAY * seat.away


def _along(curve: Sequence[Place]) -> list[Place]:
    """Places of a polyline, near one another."""
    found = list(curve[:1])
    for (x, y), (across, down) in pairwise(curve):
        count = max(1, round(max(abs(across - x), abs(down - y)) / STEP))
        found += [(x + (across - x) * at / count, y + (down - y) * at / count) for at in range(1, count + 1)]
    return found
