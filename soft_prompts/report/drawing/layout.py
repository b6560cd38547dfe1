"""How do several scenes become one? Laid side by side and under each other, so that a file holds what a page shows."""

import dataclasses
from collections.abc import Iterable, Sequence

from soft_prompts.report.drawing.scene import Area, Cloud, Place, Scene, Shape, Stroke
from soft_prompts.report.text import Number

GAP = 18.0


def moved(shapes: Iterable[Shape], across: Number, down: Number) -> list[Shape]:
    return [_moved(shape, (across, down)) for shape in shapes]


def _moved(shape: Shape, by: Place) -> Shape:
    if isinstance(shape, Stroke | Area | Cloud):
        return dataclasses.replace(shape, places=[(x + by[0], y + by[1]) for x, y in shape.places])
    return dataclasses.replace(shape, place=(shape.place[0] + by[0], shape.place[1] + by[1]))


def rows(scenes: Sequence[Scene], columns: int, gap: Number = GAP) -> Scene:
    """As many columns as asked, each row as high as its highest scene."""
    return stacked([beside(scenes[at : at + columns], gap) for at in range(0, len(scenes), columns)], gap)


def beside(scenes: Sequence[Scene], gap: Number = GAP) -> Scene:
    shapes: list[Shape] = []
    across = 0.0
    for scene in scenes:
        shapes += moved(scene.shapes, across, 0)
        across += scene.width + gap
    return Scene(scenes[0].name, scenes[0].title, across - gap, max(one.height for one in scenes), shapes)


def stacked(scenes: Sequence[Scene], gap: Number = 0.0) -> Scene:
    shapes: list[Shape] = []
    down = 0.0
    for scene in scenes:
        shapes += moved(scene.shapes, 0, down)
        down += scene.height + gap
    return Scene(scenes[0].name, scenes[0].title, max(one.width for one in scenes), down - gap, shapes)


def framed(scene: Scene, margin: Number) -> Scene:
    """With room around it."""
    shapes = moved(scene.shapes, margin, margin)
    return Scene(scene.name, scene.title, scene.width + 2 * margin, scene.height + 2 * margin, shapes)
