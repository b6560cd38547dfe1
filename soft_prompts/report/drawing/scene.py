"""How is a figure drawn once and written every way? As shapes in its own units, here as SVG: inline and as a file.

Inline, a shape names its colour by a role and the page's style sheet gives it one, light or dark. In files the light
colours stand in the file itself. A unit is a CSS pixel where the figure is shown at its own width. `paint.py` makes PNG
and PDF of the same shapes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from soft_prompts.report.text import Number, visible

Place = tuple[Number, Number]

# Light colours of the roles; the style sheet has the dark ones. After Okabe and Ito (2008), darkened to a contrast of
# at least 4.5 on white: the first six tell curves apart.
SERIES = ("series-1", "series-2", "series-3", "series-4", "series-5", "series-6")
LIGHT = dict(zip(SERIES, ("#0072b2", "#c24a00", "#007a5a", "#a1447f", "#8a5f00", "#4b5563"), strict=True)) | {
    "ink": "#16191d",
    "muted": "#5c6470",
    "rule": "#e3e6ea",
    "paper": "#ffffff",
}
DASHES: tuple[tuple[Number, ...], ...] = ((), (6, 3), (2, 2.5), (7, 3, 2, 3))
MARKERS = ("circle", "square", "triangle", "diamond")
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Stroke:
    places: Sequence[Place]
    role: str
    width: Number = 1.0
    dash: tuple[Number, ...] = ()
    opacity: Number = 1.0


@dataclass(frozen=True)
class Area:
    places: Sequence[Place]
    role: str
    opacity: Number = 0.16


@dataclass(frozen=True)
class Mark:
    place: Place
    role: str
    marker: str = "circle"
    size: Number = 3.6
    filled: bool = True
    title: str = ""
    """Shown while the pointer rests on it."""
    href: str = ""


@dataclass(frozen=True)
class Cloud:
    """Many small dots of one colour: one path, so that thousands stay small."""

    places: Sequence[Place]
    role: str
    size: Number = 1.8
    opacity: Number = 0.5


@dataclass(frozen=True)
class Label:
    place: Place
    """Left, middle or right end of the base line, as `anchor` says."""
    text: str
    role: str = "muted"
    size: Number = 11.0
    anchor: str = "start"
    bold: bool = False


Shape = Stroke | Area | Mark | Cloud | Label


@dataclass(frozen=True)
class Scene:
    name: str
    """Of its files; letters, digits and hyphens."""
    title: str
    """What it shows, read aloud."""
    width: Number
    height: Number
    shapes: Sequence[Shape] = field(repr=False)

    def inline(self) -> Markup:
        """For a page whose style sheet has a class for each role."""
        return Markup(self._svg("", ""))  # every text in it is escaped

    def file(self) -> str:
        """A whole SVG file on white."""
        style = "".join(f".s-{role}{{stroke:{hue}}}.f-{role}{{fill:{hue}}}" for role, hue in LIGHT.items())
        style = f"<style>text{{font-family:{FONTS}}}{style}</style>"
        back = f'<rect width="{_n(self.width)}" height="{_n(self.height)}" class="f-paper"/>'
        size = f' width="{_n(self.width)}" height="{_n(self.height)}"'
        return '<?xml version="1.0" encoding="utf-8"?>\n' + self._svg(size, style + back) + "\n"

    def _svg(self, size: str, first: str) -> str:
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(self.width)} {_n(self.height)}"{size}'
        label = f' role="img" aria-label="{escape(visible(self.title))}">'
        return head + label + first + "".join(map(_element, self.shapes)) + "</svg>"


def _n(value: Number) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _path(places: Sequence[Place]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in places)


def _element(shape: Shape) -> str:
    if isinstance(shape, Label):
        weight = ' font-weight="600"' if shape.bold else ""
        place = f'x="{_n(shape.place[0])}" y="{_n(shape.place[1])}" font-size="{_n(shape.size)}"'
        anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
        return f'<text {place}{anchor}{weight} class="f-{shape.role}">{escape(visible(shape.text))}</text>'
    if isinstance(shape, Area):
        return f'<path d="{_path(shape.places)}Z" class="f-{shape.role}" fill-opacity="{shape.opacity}"/>'
    if isinstance(shape, Cloud):
        dots = "".join(f"M{_n(x)} {_n(y)}h0" for x, y in shape.places)
        look = f'stroke-width="{_n(2 * shape.size)}" stroke-linecap="round" stroke-opacity="{shape.opacity}"'
        return f'<path d="{dots}" fill="none" class="s-{shape.role}" {look}/>'
    if isinstance(shape, Stroke):
        dash = f' stroke-dasharray="{" ".join(map(_n, shape.dash))}"' if shape.dash else ""
        faint = f' stroke-opacity="{shape.opacity}"' if shape.opacity < 1 else ""
        look = f'stroke-width="{_n(shape.width)}"{dash}{faint} stroke-linejoin="round"'
        return f'<path d="{_path(shape.places)}" fill="none" class="s-{shape.role}" {look}/>'
    return _mark(shape)


def _mark(mark: Mark) -> str:
    inside, edge = (mark.role, "paper") if mark.filled else ("paper", mark.role)
    title = f"<title>{escape(visible(mark.title))}</title>" if mark.title else ""
    drawn = f'<path d="{_path(outline(mark))}Z" class="f-{inside} s-{edge}" stroke-width="1.3">{title}</path>'
    return f'<a href="{escape(mark.href)}">{drawn}</a>' if mark.href else drawn


def outline(mark: Mark) -> list[Place]:
    """Corners of a marker; a circle is a polygon of 16."""
    corners, turn, grow = {
        "circle": (16, 0.0, 1.0),
        "square": (4, math.pi / 4, 1.2),
        "triangle": (3, -math.pi / 2, 1.35),
        "diamond": (4, 0.0, 1.35),
        "right": (3, 0.0, 1.35),
        "up": (3, -math.pi / 2, 1.35),
        "down": (3, math.pi / 2, 1.35),
    }[mark.marker]
    angles = (turn + 2 * math.pi * corner / corners for corner in range(corners))
    x, y = mark.place
    return [(x + grow * mark.size * math.cos(angle), y + grow * mark.size * math.sin(angle)) for angle in angles]
