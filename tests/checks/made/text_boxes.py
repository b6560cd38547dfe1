"""Where do the words of a scene lie? Their boxes by the metrics of the font that its PNG is set in."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

from matplotlib.font_manager import FontProperties, findfont
from PIL import ImageFont

from soft_prompts.report.drawing.scene import Label, Mark, Scene
from soft_prompts.report.text import visible

SCALE = 20  # of the size measured at: widths are rounded to whole pixels
ABOVE, BELOW = 0.76, 0.2  # of the size: capitals over the base line, tails under it


class Box(NamedTuple):
    text: str
    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: "Box") -> bool:
        """Whether the two have a point in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


@functools.cache
def _font(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    file = findfont(FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal"))
    return ImageFont.truetype(file, round(size * SCALE))


def measured_width(text: str, size: float, bold: bool = False) -> float:
    """In units of the scene."""
    return _font(size, bold).getlength(text) / SCALE


def boxes(scene: Scene) -> Iterator[Box]:
    for label in scene.shapes:
        if isinstance(label, Label) and label.text:
            width = measured_width(visible(label.text), label.size, label.bold)
            left = label.place[0] - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
            base = label.place[1]
            top, bottom = base - ABOVE * label.size, base + BELOW * label.size
            yield Box(label.text, left, top, left + width, bottom)


def collisions(scene: Scene) -> list[str]:
    """Names that lie on each other or beyond the edge, and marks beyond the edge."""
    found = list(boxes(scene))
    on = [f"{a.text} on {b.text}" for at, a in enumerate(found) for b in found[:at] if a.touches(b)]
    out = [
        f"{one.text} outside"
        for one in found
        if one.left < -0.5 or one.top < -0.5 or one.right > scene.width + 0.5 or one.bottom > scene.height + 0.5
    ]
    marks = [shape.place for shape in scene.shapes if isinstance(shape, Mark)]
    far = [f"mark at {x:.0f}, {y:.0f}" for x, y in marks if not (0 <= x <= scene.width and 0 <= y <= scene.height)]
    return [*on, *out, *far]
