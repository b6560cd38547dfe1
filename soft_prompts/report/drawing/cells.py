"""How does a share look as a cell of a map? The darker the larger, blue above nothing and orange below."""

from soft_prompts.report.drawing.scene import SERIES, Area, Place, Shape
from soft_prompts.report.text import Number

PLUS, MINUS = SERIES[0], SERIES[1]


def cell(corner: Place, size: Place, share: Number, darkest: float = 1.0) -> list[Shape]:
    """Its upper left corner, width and height; `darkest` is the opacity of a share of 1 and more."""
    (x, y), (wide, high) = corner, size
    edge = [(x, y), (x + wide - 1, y), (x + wide - 1, y + high - 1), (x, y + high - 1)]
    shade = round(darkest * min(abs(share), 1.0), 3)
    return [Area(edge, "rule", 0.5), Area(edge, PLUS if share > 0 else MINUS, shade)]
