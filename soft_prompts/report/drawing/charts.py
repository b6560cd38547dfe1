"""How do losses and shares fall with prompt tokens? One curve a model and prompt kind, with its band."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from soft_prompts.report.drawing.axes import (
    Along,
    Frame,
    Tick,
    along_ticks,
    apart,
    down_ticks,
    padded,
    parameter_place,
    parameter_ticks,
    token_place,
    token_ticks,
    value_ticks,
)
from soft_prompts.report.drawing.scene import (
    DASHES,
    MARKERS,
    SERIES,
    Area,
    Cloud,
    Label,
    Mark,
    Scene,
    Shape,
    Stroke,
    shortened,
    text_width,
)
from soft_prompts.report.page.text import Number

WIDTH, HEIGHT = 360.0, 262.0
LEFT, RIGHT, BOTTOM = 46.0, 12.0, 42.0
TOP = 24.0  # room for the name of the upright axis
NAMES = 11.0  # font size of a legend


class Datum(NamedTuple):
    tokens: int
    parameters: int
    """Trained; 0 without a prompt."""
    value: Number
    low: Number
    high: Number
    seeds: tuple[Number, ...]
    title: str
    href: str


class Look(NamedTuple):
    role: str
    marker: str
    dash: tuple[Number, ...]


class Series(NamedTuple):
    name: str
    look: Look
    data: tuple[Datum, ...]
    best: tuple[Number, ...] = ()
    """Running minimum at each datum, where it is not the curve itself."""


class Extra(NamedTuple):
    """Untrained tokens, drawn hollow: a placebo or a hard prompt."""

    tokens: int
    value: Number
    role: str
    marker: str
    title: str
    href: str


class Level(NamedTuple):
    """A line across: an anchor, or a mark of the share."""

    name: str
    value: Number
    role: str = "muted"


class Drop(NamedTuple):
    """A distance: from its mark on the share down to the axis."""

    tokens: Number
    share: Number
    role: str


@dataclass(frozen=True)
class Chart:
    name: str
    title: str
    upright: str
    """Name of the upright axis, with its unit."""
    series: tuple[Series, ...]
    levels: tuple[Level, ...] = ()
    drops: tuple[Drop, ...] = ()
    extras: tuple[Extra, ...] = ()

    def scene(self, along: Along = "tokens", header: bool = False) -> Scene:
        """With `header`, title and legend are part of the figure: a file has no page around it."""
        above = _header(self) if header else []
        top = TOP + (_header_height(self) if header else 0)
        frame = _frame(self, along, top)
        shapes: list[Shape] = [*above, Label((4, top - 10), self.upright, size=NAMES)]
        shapes += down_ticks(frame, value_ticks(frame.least[1], frame.most[1]))
        shapes += along_ticks(frame, _ticks(self, along), _along_name(along))
        shapes += _levels(frame, self)
        for series in self.series:
            shapes += _series(frame, series, _places(self, series, along))
        if along == "tokens":
            shapes += _token_marks(frame, self)
        return Scene(f"{self.name}-{along}", f"{self.title}: {self.upright}", WIDTH, top - TOP + HEIGHT, shapes)


def _token_marks(frame: Frame, chart: Chart) -> list[Shape]:
    """What has a token count and no trained parameter."""
    shapes: list[Shape] = []
    for drop in chart.drops:
        foot = frame.place(token_place(drop.tokens), frame.least[1])
        shapes.append(Stroke([frame.place(token_place(drop.tokens), drop.share), foot], drop.role, 1.2, (2, 2)))
    for extra in chart.extras:
        place = frame.place(token_place(extra.tokens), extra.value)
        shapes.append(Mark(place, extra.role, extra.marker, 3.4, False, extra.title, extra.href))
    return shapes


def look_of(number: int) -> Look:
    """Colours first, then markers and dashes with the colours again."""
    again = number // len(SERIES)
    marker = MARKERS[(number + again) % len(MARKERS)]
    return Look(SERIES[number % len(SERIES)], marker, DASHES[again % len(DASHES)])


def swatch(look: Look) -> Scene:
    """A curve's look beside its name."""
    line = Stroke([(1, 6), (27, 6)], look.role, 2, look.dash)
    return Scene("swatch", "", 28, 12, [line, Mark((14, 6), look.role, look.marker)])


def _frame(chart: Chart, along: Along, top: Number) -> Frame:
    values = [end for one in chart.series for datum in one.data for end in (datum.low, datum.high, *datum.seeds)]
    values += [best for one in chart.series for best in one.best] + [extra.value for extra in chart.extras]
    low, high = padded([*values, *(level.value for level in chart.levels)])
    if values and min(values) >= 0 > low:
        low = 0.0
    ends = [tick.at for tick in _ticks(chart, along)]
    ends += [x for one in chart.series for x in _places(chart, one, along)]
    room = 0.05 * (max(ends) - min(ends)) or 0.5
    edges = (min(ends) - room, low), (max(ends) + room, high)
    return Frame(LEFT, WIDTH - RIGHT, top, top - TOP + HEIGHT - BOTTOM, *edges)


def _least_parameters(chart: Chart) -> int:
    return min((datum.parameters for one in chart.series for datum in one.data if datum.parameters), default=1)


def _places(chart: Chart, series: Series, along: Along) -> list[float]:
    if along == "tokens":
        return [token_place(datum.tokens) for datum in series.data]
    return [parameter_place(datum.parameters, _least_parameters(chart)) for datum in series.data]


def _ticks(chart: Chart, along: Along) -> list[Tick]:
    data = [datum for one in chart.series for datum in one.data]
    if along == "tokens":
        return token_ticks(datum.tokens for datum in data)
    return parameter_ticks([datum.parameters for datum in data]) or [Tick(parameter_place(0, 1), "0")]


def _along_name(along: Along) -> str:
    return "prompt tokens" if along == "tokens" else "trained parameters (log scale)"


def _series(frame: Frame, series: Series, along: Sequence[Number]) -> list[Shape]:
    look = series.look
    pairs = list(zip(along, series.data, strict=True))
    upper = [frame.place(x, datum.high) for x, datum in pairs]
    lower = [frame.place(x, datum.low) for x, datum in reversed(pairs)]
    line = [frame.place(x, datum.value) for x, datum in pairs]
    best = [frame.place(x, value) for x, value in zip(along, series.best, strict=False)]
    seeds = [frame.place(x, seed) for x, datum in pairs if len(datum.seeds) > 1 for seed in datum.seeds]
    marks = [
        Mark(place, look.role, look.marker, title=datum.title, href=datum.href)
        for place, (_, datum) in zip(line, pairs, strict=True)
    ]
    return [
        *([Area([*upper, *lower], look.role)] if len(pairs) > 1 else [Stroke([upper[0], lower[0]], look.role, 1.4)]),
        *([Stroke(line, look.role, 1.9, look.dash)] if len(line) > 1 else []),
        *([Stroke(best, look.role, 1.2, (1.5, 2.5))] if len(best) > 1 else []),
        *([Cloud(seeds, look.role)] if seeds else []),
        *marks,
    ]


def _levels(frame: Frame, chart: Chart) -> list[Shape]:
    """Dashed lines with their names on them, at the end that is farther from the curves; names that would touch are
    moved apart."""
    inside = list(dict.fromkeys(chart.levels))
    heights = [frame.y(level.value) for level in inside]
    ends = [[one.data[at].value for one in chart.series] for at in (0, -1)]
    shapes: list[Shape] = [
        Stroke([(frame.left, y), (frame.right, y)], level.role, 1.2, (5, 3), 0.85)
        for y, level in zip(heights, inside, strict=True)
    ]
    for y, level in zip(apart([y - 4 for y in heights], 12), inside, strict=True):
        left, right = (min(abs(value - level.value) for value in end) for end in ends)
        place, anchor = ((frame.left + 3, y), "start") if left > right else ((frame.right, y), "end")
        shapes.append(Label(place, level.name, level.role, 10, anchor))
    return shapes


def _rows(chart: Chart) -> list[list[Series]]:
    """Series of a legend, in rows that fit the width."""
    rows: list[list[Series]] = [[]]
    used = 0.0
    for series in chart.series:
        width = 34 + min(text_width(series.name, NAMES), WIDTH - 60) + 14
        if used + width > WIDTH - 8 and rows[-1]:
            rows.append([])
            used = 0.0
        rows[-1].append(series)
        used += width
    return rows


def _header_height(chart: Chart) -> int:
    return 30 + 16 * len(_rows(chart)) + 10


def _header(chart: Chart) -> list[Shape]:
    shapes: list[Shape] = [Label((4, 20), shortened(chart.title, WIDTH - 8, 13), "ink", 13, bold=True)]
    for number, row in enumerate(_rows(chart)):
        x, y = 4.0, 40 + 16 * number
        for series in row:
            name = shortened(series.name, WIDTH - 60, NAMES)
            shapes.append(Stroke([(x, y - 4), (x + 26, y - 4)], series.look.role, 2, series.look.dash))
            shapes.append(Mark((x + 13, y - 4), series.look.role, series.look.marker))
            shapes.append(Label((x + 32, y), name, "ink", NAMES))
            x += 34 + text_width(name, NAMES) + 14
    return shapes


class Item(NamedTuple):
    """Loss per unit of one test item."""

    before: Number
    after: Number
    changed: bool
    """Among those that changed most."""
    title: str


def items_scene(name: str, title: str, items: Iterable[Item], role: str, axes: tuple[str, str]) -> Scene:
    """Each test item by its loss before and after; below the diagonal it became likelier."""
    every = list(items)
    least, most = padded([value for item in every for value in (item.before, item.after)], 0.03)
    least = max(least, 0.0) if min(min(item.before, item.after) for item in every) >= 0 else least
    # Half of the diagonal at least: what fell far would else lie squeezed at the foot of an empty square.
    top = max(padded([item.after for item in every], 0.06)[1], (least + most) / 2)
    frame = Frame(LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM, (least, least), (most, top))
    shapes: list[Shape] = [Label((4, TOP - 10), axes[1], size=NAMES)]
    shapes += [*down_ticks(frame, value_ticks(least, top)), *along_ticks(frame, value_ticks(least, most), axes[0])]
    end = min(most, top)
    shapes.append(Stroke([frame.place(least, least), frame.place(end, end)], "muted", 1, (4, 3)))
    x, y = frame.place(end, end)
    shapes.append(Label((x - 16, y + 10), "no change", "muted", 10, "end"))
    plain = [frame.place(item.before, item.after) for item in every if not item.changed]
    shapes.append(Cloud(plain, role, 1.7, 0.45 if len(plain) < 400 else 0.3))
    shapes += [Mark(frame.place(i.before, i.after), role, size=3.4, title=i.title) for i in every if i.changed]
    return Scene(name, title, WIDTH, HEIGHT, shapes)
