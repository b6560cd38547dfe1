"""Which figure shows where a vector works? A map of layers and strengths for each class, accuracy on dev in its cells,
the chosen cell framed."""

from collections.abc import Mapping
from typing import Any

from soft_prompts.report.drawing.axes import NAME_ROOM, Frame, Tick, along_ticks
from soft_prompts.report.drawing.cells import cell
from soft_prompts.report.drawing.layout import GAP, rows
from soft_prompts.report.drawing.letters import shortened, text_width
from soft_prompts.report.drawing.scene import Label, Scene, Shape, Stroke
from soft_prompts.report.text import Number, count_text, share_text

WIDTH, HEAD, LEFT = 360.0, 66.0, 36.0
CELL, HIGH = 60.0, 16.0  # the widest a cell is; how high
SIZE, LETTERS = 11.0, 10.0
DARKEST = 0.55  # numbers stand on the cells


def tried_scene(name: str, figures: Mapping[str, Any]) -> Scene | None:
    """Two maps beside each other where they fit; None where nothing was tried."""
    vectors = [one for one in figures["vectors"] if one["tried"]]
    if not vectors:
        return None
    most = max(len({strength for _, strength, *_ in one["tried"]}) for one in vectors)
    columns = 2 if len(vectors) > 1 and most <= 5 else 1
    maps = rows([_map(one, (WIDTH - GAP * (columns - 1)) / columns) for one in vectors], columns)
    title = "Accuracy of vectors on dev items by layer and strength, the chosen one framed"
    return Scene(name, title, WIDTH, maps.height, maps.shapes)


def _map(vector: Mapping[str, Any], width: Number) -> Scene:
    """Layers down, strengths across."""
    found: dict[tuple[int, float], float] = {}
    for layer, strength, accuracy, _ in vector["tried"]:
        found.setdefault((layer, strength), accuracy)  # a fitted vector's before that of the mean it began from
    layers, strengths = (sorted({key[part] for key in found}) for part in (0, 1))
    wide = min(CELL, (width - LEFT - 6) / len(strengths))
    ends = LEFT + wide * len(strengths), HEAD + HIGH * len(layers)
    frame = Frame(LEFT, ends[0], HEAD, ends[1], (0, len(layers)), (len(strengths), 0))
    shapes: list[Shape] = [*_head(vector, found[vector["layer"], vector["strength"]], width)]
    shapes += [
        Label((LEFT - 6, frame.y(at + 0.75)), str(one), size=LETTERS, anchor="end") for at, one in enumerate(layers)
    ]
    for (layer, strength), accuracy in found.items():
        corner = frame.place(strengths.index(strength), layers.index(layer))
        shapes += cell(corner, (wide, HIGH), accuracy, DARKEST)
        text = share_text(accuracy)
        if text_width(text, LETTERS) + 2 < wide:
            middle = corner[0] + wide / 2, corner[1] + 0.75 * HIGH
            shapes.append(Label(middle, text, "ink", LETTERS, "middle"))
    shapes.append(_framed(frame.place(strengths.index(vector["strength"]), layers.index(vector["layer"])), wide))
    shapes += along_ticks(frame, [Tick(at + 0.5, f"{one:g}") for at, one in enumerate(strengths)], "strength")
    return Scene("map", "", width, ends[1] + NAME_ROOM, shapes)


def _head(vector: Mapping[str, Any], accuracy: float, width: Number) -> list[Shape]:
    """Whose map it is and what was chosen. No interval: the best of many has none of its own, and is asked on test."""
    dev = vector.get("dev")
    of = "on dev" if dev is None else f"of {count_text(dev['items'], 'dev item')}, the best of the map"
    lines = (f"layer {vector['layer']}, strength {vector['strength']:g}", f"{share_text(accuracy)} {of}")
    shapes: list[Shape] = [Label((4, 14), shortened(vector["class"], width - 8, SIZE), "ink", SIZE)]
    shapes += [
        Label((4, 29 + 14 * at), shortened(one, width - 8, LETTERS), size=LETTERS) for at, one in enumerate(lines)
    ]
    return [*shapes, Label((4, HEAD - 5), "layer", size=LETTERS)]


def _framed(corner: tuple[float, float], wide: float) -> Stroke:
    (x, y), right, foot = corner, corner[0] + wide - 1, corner[1] + HIGH - 1
    return Stroke([(x, y), (right, y), (right, foot), (x, foot), (x, y)], "ink", 1.8)
