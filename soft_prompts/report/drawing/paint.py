"""How does a scene become a PNG, a PDF or a figure in a notebook? Each of its shapes drawn by matplotlib."""

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon

from soft_prompts.common.files import write_atomically
from soft_prompts.report.drawing.scene import LIGHT, Area, Cloud, Label, Mark, Scene, Shape, Stroke, outline
from soft_prompts.report.text import visible

POINTS = 72  # of an inch: one is a unit of the scene
PIXELS = 3  # of a PNG, for each unit
MOST_PIXELS = 40e6  # of a picture: a larger one is drawn coarser
FONT_SIZE = 0.92  # of the scene's: the font that matplotlib brings is wide


class SceneFigure(Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        return _saved(self, "png")


def painted(scene: Scene) -> Figure:
    """The scene as matplotlib's figure, in the light colours."""
    fine = min(PIXELS, (MOST_PIXELS / (scene.width * scene.height)) ** 0.5)
    size = scene.width / POINTS, scene.height / POINTS
    figure = SceneFigure(figsize=size, dpi=POINTS * fine, facecolor=LIGHT["paper"])
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.set_axis_off()
    for order, shape in enumerate(scene.shapes):
        _paint(axes, shape, order)
    return figure


def png(scene: Scene) -> bytes:
    return _saved(painted(scene), "png")


def write_scene(scene: Scene, path: Path) -> None:
    """PNG, SVG or PDF by the file's suffix, whole or not at all."""
    kind = path.suffix.lower().removeprefix(".")
    write_atomically(path, scene.file().encode() if kind == "svg" else _saved(painted(scene), kind))


def _saved(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata={"CreationDate": None} if kind == "pdf" else None)
    return buffer.getvalue()


def _paint(axes: Axes, shape: Shape, order: int) -> None:
    hue = LIGHT[shape.role]
    if isinstance(shape, Label):
        _write(axes, shape, order)
    elif isinstance(shape, Area):
        axes.add_patch(Polygon(shape.places, closed=True, color=hue, alpha=shape.opacity, linewidth=0, zorder=order))
    elif isinstance(shape, Cloud):
        x, y = zip(*shape.places, strict=True) if shape.places else ((), ())
        axes.plot(x, y, ".", color=hue, markersize=2 * shape.size, mew=0, alpha=shape.opacity, zorder=order)
    elif isinstance(shape, Stroke):
        line = (0, tuple(length / shape.width for length in shape.dash)) if shape.dash else "-"
        x, y = zip(*shape.places, strict=True)
        look = {"color": hue, "linewidth": shape.width, "linestyle": line, "alpha": shape.opacity}
        axes.add_line(Line2D(x, y, solid_joinstyle="round", zorder=order, **look))
    else:
        _stamp(axes, shape, order)


def _write(axes: Axes, label: Label, order: int) -> None:
    """The text as it stands: no formulas, whatever a model's name holds."""
    side = {"start": "left", "middle": "center", "end": "right"}[label.anchor]
    look = {"color": LIGHT[label.role], "fontsize": FONT_SIZE * label.size, "ha": side, "va": "baseline"}
    weight = "bold" if label.bold else "normal"
    axes.text(*label.place, visible(label.text), weight=weight, parse_math=False, zorder=order, **look)


def _stamp(axes: Axes, mark: Mark, order: int) -> None:
    hue = LIGHT[mark.role]
    inside, edge = (hue, LIGHT["paper"]) if mark.filled else (LIGHT["paper"], hue)
    look = {"facecolor": inside, "edgecolor": edge, "linewidth": 1.3}
    axes.add_patch(Polygon(outline(mark), closed=True, zorder=order, **look))
