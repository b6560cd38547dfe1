"""How do losses and shares change with prompt tokens? Curves with their intervals on one frame, clipped to what is
meant."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from soft_prompts.report.drawing.axes import (
    NAME_ROOM,
    Frame,
    Tick,
    along_ticks,
    down_ticks,
    left_room,
    padded,
    token_place,
    token_ticks,
    value_ticks,
)
from soft_prompts.report.drawing.letters import shortened, text_width
from soft_prompts.report.drawing.line_names import Line, line_names
from soft_prompts.report.drawing.scene import (
    DASHES,
    MARKERS,
    SERIES,
    Area,
    Cloud,
    Label,
    Mark,
    Place,
    Scene,
    Shape,
    Stroke,
)
from soft_prompts.report.text import Number

LEFT, RIGHT, TOP = 30.0, 12.0, 24.0  # room for ticks; for the last tick's name; for the upright axis' name
HEADING, BARE = 20.0, 9.0  # room for a heading; under an axis without names
NAMES = 11.0  # font size
SHARES = (-0.1, 1.1)
SHARE_TICKS = (Tick(0, "0"), Tick(0.5, ".5"), Tick(0.9, ".9"), Tick(1, ""))
NAMED_LEVELS = 4  # more than these would hide the curves with their names


class Datum(NamedTuple):
    tokens: int
    value: Number
    low: Number
    high: Number
    seeds: tuple[Number, ...]
    title: str
    href: str
    is_sure: bool = True
    """Whether its interval lies on one side of every mark: hollow otherwise."""


class Look(NamedTuple):
    role: str
    marker: str
    dash: tuple[Number, ...]


class Series(NamedTuple):
    name: str
    look: Look
    data: tuple[Datum, ...]


class Level(NamedTuple):
    """A line across, on a band where it has an interval: an anchor, or a mark of the share."""

    name: str
    value: Number
    role: str = "muted"
    low: Number | None = None
    high: Number | None = None

    @property
    def ends(self) -> tuple[Number, Number]:
        """Of the interval; the value alone without one."""
        return (self.value, self.value) if self.low is None or self.high is None else (self.low, self.high)


class Box(NamedTuple):
    width: Number
    height: Number


@dataclass(frozen=True)
class Panel:
    name: str
    title: str
    """What it shows, read aloud."""
    upright: str
    """Name of the upright axis, with its unit."""
    series: tuple[Series, ...]
    levels: tuple[Level, ...] = ()
    limits: tuple[Number, Number] | None = None
    """Ends of the upright axis; a value beyond stands at the edge as an arrow. None: as far as the values go."""
    ticks: tuple[Tick, ...] = ()
    """Of the upright axis; none given: round values."""
    counts: tuple[int, ...] = ()
    """Token counts of the axis, where they are more than those drawn."""
    heading: str = ""
    along: str = "prompt tokens"
    """Name of the axis; without one its ticks have no names either."""
    size: Box = field(default=Box(360.0, 262.0))
    left: Number = LEFT
    """Of the frame at the least: panels under each other stand flush."""

    @property
    def room(self) -> float:
        """Left of the frame, that the names of its ticks need."""
        return _frame(self, TOP)[0].left

    def scene(self) -> Scene:
        head = HEADING if self.heading else 0.0
        frame, ticks = _frame(self, TOP + head)
        shapes: list[Shape] = [Label((2, TOP + head - 10), self.upright, size=NAMES)]
        if self.heading:
            heading = shortened(self.heading, self.size.width - 8, NAMES, bold=True)
            shapes.append(Label((2, HEADING - 6), heading, "ink", NAMES, bold=True))
        shapes += [*down_ticks(frame, ticks), *along_ticks(frame, token_ticks(_counts(self)), self.along)]
        lines, names = _levels(frame, self)
        shapes += lines
        for series in self.series:
            shapes += _series(frame, series)
        shapes += names
        return Scene(self.name, f"{self.title}: {self.upright}", self.size.width, self.size.height, shapes)


def share_panel(name: str, title: str, upright: str, series: Sequence[Series]) -> Panel:
    """Shares of an outside scale: its ends, half and nine tenths marked."""
    marks = (Level("", 0.5), Level("", 0.9))
    return Panel(name, title, upright, tuple(series), marks, SHARES, SHARE_TICKS)


def look_of(number: int, has_scale: bool = True) -> Look:
    """Colours first, then markers and dashes with the colours again; grey for a curve that has no scale."""
    again = number // len(SERIES)
    marker = MARKERS[(number + again) % len(MARKERS)]
    if not has_scale:
        return Look("muted", marker, DASHES[number % len(DASHES)])
    return Look(SERIES[number % len(SERIES)], marker, DASHES[again % len(DASHES)])


def swatch(look: Look) -> Scene:
    """A curve's look beside its name."""
    line = Stroke([(1, 6), (27, 6)], look.role, 2, look.dash)
    return Scene("swatch", "", 28, 12, [line, Mark((14, 6), look.role, look.marker)])


def legend(series: Sequence[tuple[str, Look]], width: Number) -> Scene:
    """Names beside their looks, in rows that fit the width."""
    shapes: list[Shape] = []
    x, y = 4.0, 14.0
    for name, look in series:
        shown = shortened(name, width - 44, NAMES)
        needed = 32 + text_width(shown, NAMES)
        if x > 4 and x + needed > width:
            x, y = 4.0, y + 17
        shapes.append(Stroke([(x, y - 4), (x + 26, y - 4)], look.role, 2, look.dash))
        shapes += [Mark((x + 13, y - 4), look.role, look.marker), Label((x + 32, y), shown, "ink", NAMES)]
        x += needed + 18
    return Scene("legend", "", width, y + 8, shapes)


def _counts(panel: Panel) -> list[int]:
    return sorted({*panel.counts, *(datum.tokens for one in panel.series for datum in one.data)}) or [0]


def _frame(panel: Panel, top: Number) -> tuple[Frame, Sequence[Tick]]:
    low, high = panel.limits or _ends(panel)
    bottom = panel.size.height - (NAME_ROOM if panel.along else BARE)
    ticks = panel.ticks or value_ticks(low, high, 5 if bottom - top > 130 else 3)
    ends = [token_place(count) for count in _counts(panel)]
    room = 0.05 * (max(ends) - min(ends)) or 0.5
    edges = (min(ends) - room, low), (max(ends) + room, high)
    return Frame(max(left_room(ticks), panel.left), panel.size.width - RIGHT, top, bottom, *edges), ticks


def _ends(panel: Panel) -> tuple[Number, Number]:
    values = [end for one in panel.series for datum in one.data for end in (datum.low, datum.high, *datum.seeds)]
    values += [end for level in panel.levels for end in (level.value, *level.ends)]
    low, high = padded(values or [0.0])
    return (0.0, high) if values and min(values) >= 0 > low else (low, high)


def _series(frame: Frame, series: Series) -> list[Shape]:
    look = series.look
    places = [(token_place(datum.tokens), datum) for datum in series.data]
    line = _line(frame, series)
    shapes: list[Shape] = []
    for (x, _), (_, datum) in zip(line, places, strict=True):
        ends = [(x, frame.y(frame.inside(end))) for end in (datum.low, datum.high)]
        shapes.append(Stroke(ends, look.role, 1.3, opacity=0.75))
    if len(places) > 1:
        upper = [frame.place(x, frame.inside(datum.high)) for x, datum in places]
        lower = [frame.place(x, frame.inside(datum.low)) for x, datum in reversed(places)]
        shapes += [Area([*upper, *lower], look.role, 0.1), Stroke(line, look.role, 1.9, look.dash)]
    seeds = [(x, seed) for x, datum in places if len(datum.seeds) > 1 for seed in datum.seeds]
    inside = [frame.place(x, seed) for x, seed in seeds if frame.inside(seed) == seed]
    if inside:
        shapes.append(Cloud(inside, look.role))
    return [*shapes, *(_mark(frame, look, x, datum) for x, datum in places)]


def _line(frame: Frame, series: Series) -> list[Place]:
    return [frame.place(token_place(datum.tokens), frame.inside(datum.value)) for datum in series.data]


def _mark(frame: Frame, look: Look, x: Number, datum: Datum) -> Mark:
    shown = frame.inside(datum.value)
    marker = look.marker if shown == datum.value else "up" if datum.value > shown else "down"
    return Mark(frame.place(x, shown), look.role, marker, 3.6, datum.is_sure, datum.title, datum.href)


def _levels(frame: Frame, panel: Panel) -> tuple[list[Shape], list[Shape]]:
    """Dashed lines, and their names on them."""
    inside = [level for level in dict.fromkeys(panel.levels) if frame.inside(level.value) == level.value]
    heights = [frame.y(level.value) for level in inside]
    lines: list[Shape] = [_band(frame, level) for level in inside if level.ends[0] < level.ends[1]]
    lines += [
        Stroke([(frame.left, y), (frame.right, y)], level.role, 1.1, (5, 3), 0.8)
        for y, level in zip(heights, inside, strict=True)
    ]
    if len(inside) > NAMED_LEVELS:
        return lines, []
    named = [Line(level.name, y, level.role) for y, level in zip(heights, inside, strict=True)]
    return lines, [*line_names(frame, named, [_line(frame, series) for series in panel.series])]


def _band(frame: Frame, level: Level) -> Area:
    low, high = (frame.y(frame.inside(end)) for end in level.ends)
    return Area([(frame.left, low), (frame.right, low), (frame.right, high), (frame.left, high)], level.role)
