"""What came of each of several things that were done? A row each: a dot a value with its interval, all on one axis of
shares that holds every one of them, and the value in words beside it."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from soft_prompts.report.drawing.axes import NAME_ROOM, TICK_SIZE, Frame, Tick, along_ticks, value_ticks
from soft_prompts.report.drawing.letters import shortened, text_width
from soft_prompts.report.drawing.scene import Cloud, Label, Mark, Scene, Shape, Stroke
from soft_prompts.report.text import MINUS, Number

WIDTH, HEAD = 360.0, 26.0
SIZE, SMALL = 11.0, 10.0  # of the heading; of names and words
STEP, GAP = 12.0, 10.0  # between the dots of a row; between rows
NAMES, WORDS = 0.36, 0.36  # of the width at most
TICKS = (Tick(0.0, "0"), Tick(0.5, ".5"), Tick(1.0, "1"))


class Dot(NamedTuple):
    value: Number
    low: Number | None
    high: Number | None
    role: str
    marker: str = "circle"
    title: str = ""


class Row(NamedTuple):
    name: str
    dots: tuple[Dot, ...]
    """Under each other."""
    words: str = ""
    """Right of the axis."""
    parts: tuple[Number, ...] = ()
    """Values that the first dot is the mean of, small beneath it."""


def dots_scene(name: str, title: str, rows: Sequence[Row], heading: str, along: str, least: Number = 0.0) -> Scene:
    """Shares from 0 to 1, and as far beyond as any goes; `along` names the axis. With room for words at the least:
    scenes under each other stand flush."""
    left = 14 + min(NAMES * WIDTH, max((text_width(row.name, SMALL) for row in rows), default=0.0))
    right = WIDTH - 14 - min(WORDS * WIDTH, max([least, *(text_width(row.words, SMALL) for row in rows)]))
    tops, bottom = list[float](), HEAD
    for row in rows:
        tops.append(bottom)
        bottom += STEP * (max(1, len(row.dots)) + bool(row.parts)) + GAP  # a row of words alone has its line
    (low, high), ticks = _axis(rows)
    frame = Frame(left, right, HEAD, bottom, (low, 0), (high, 1))
    shapes: list[Shape] = [Label((4, 14), shortened(heading, WIDTH - 8, SIZE), "ink", SIZE)]
    shapes += [Stroke([(frame.x(tick.at), HEAD), (frame.x(tick.at), bottom)], "rule") for tick in ticks]
    middle = (left + right) / 2
    shapes += along_ticks(frame, ticks, shortened(along, 2 * min(middle, WIDTH - middle) - 8, TICK_SIZE))
    for row, top in zip(rows, tops, strict=True):
        shapes += _row(frame, row, top)
    return Scene(name, title, WIDTH, bottom + NAME_ROOM, shapes)


def _axis(rows: Sequence[Row]) -> tuple[tuple[float, float], Sequence[Tick]]:
    """Ends with a little room, and ticks."""
    dots = [dot for row in rows for dot in row.dots]
    values = [0.0, 1.0, *(part for row in rows for part in row.parts)]
    values += [end for dot in dots for end in (dot.value, dot.low, dot.high) if end is not None]
    low, high = min(values), max(values)
    room = 0.03 * (high - low)
    ticks = TICKS if (low, high) == (0.0, 1.0) else [Tick(one.at, _short(one.at)) for one in value_ticks(low, high, 4)]
    return (low - room, high + room), ticks


def _short(value: Number) -> str:
    """`.5`, as shares are written."""
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:g}").replace("-", MINUS)


def _row(frame: Frame, row: Row, top: Number) -> list[Shape]:
    places = [top + GAP / 2 + STEP * (number + 0.5) for number in range(max(1, len(row.dots)))]
    middle = (places[0] + places[-1]) / 2 + 3.6
    name, words = shortened(row.name, NAMES * WIDTH, SMALL), shortened(row.words, WORDS * WIDTH, SMALL)
    shapes: list[Shape] = [Label((frame.left - 8, middle), name, "ink", SMALL, "end")]
    shapes += [Label((frame.right + 8, middle), words, "muted", SMALL)] if words else []
    if row.parts:
        shapes.append(Cloud([(frame.x(one), places[0] + STEP) for one in row.parts], row.dots[0].role))
    for dot, y in zip(row.dots, places, strict=False):
        if dot.low is not None and dot.high is not None:
            shapes.append(Stroke([(frame.x(dot.low), y), (frame.x(dot.high), y)], dot.role, 2.2, opacity=0.6))
        shapes.append(Mark((frame.x(dot.value), y), dot.role, dot.marker, title=dot.title))
    return shapes
