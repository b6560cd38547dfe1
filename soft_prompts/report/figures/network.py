"""Which figure shows how concepts are arranged inside a model? Their cosines, and the network of them."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from soft_prompts.report.drawing.cells import MINUS, PLUS, cell
from soft_prompts.report.drawing.layout import moved
from soft_prompts.report.drawing.letters import shortened
from soft_prompts.report.drawing.scene import Label, Mark, Scene, Shape, Stroke
from soft_prompts.report.text import share_text

WIDTH, TOP, SIZE, LETTERS = 360.0, 26.0, 11.0, 10.0
CELL, ROW = 26.0, 16.0  # the widest a cell of cosines is; how high
NAME = 80.0  # room for a concept's name
RADIUS, MOST = 84.0, 12  # of the network; concepts on it: the names of more would touch
WIDEST = 4.0  # line of the network: of the largest cosine


def concepts_scene(name: str, figures: Mapping[str, Any]) -> Scene:
    """Of the middle layer."""
    layers = figures["layers"]
    told = layers[len(layers) // 2]
    names = [shortened(one, NAME, LETTERS) for one in figures["classes"]]
    matrix, foot = _matrix(names, told["cosines"])
    network, height = _network(names, told["cosines"]) if len(names) <= MOST else ([], 0.0)
    heading = f"cosines at layer {told['layer']}: blue alike, orange opposed"
    shapes: list[Shape] = [Label((4, 14), heading, "ink", SIZE), *moved(matrix, 0, TOP)]
    shapes += moved(network, 0, TOP + foot + 8)
    return Scene(name, "Cosines of concepts, and the network of them", WIDTH, TOP + foot + 8 + height, shapes)


def _matrix(names: Sequence[str], cosines: Sequence[Sequence[float]]) -> tuple[list[Shape], float]:
    """The half below the diagonal: a name on it ends its row and heads its column."""
    wide = min(CELL, (WIDTH - NAME - 12) / len(names))
    shapes: list[Shape] = []
    for row, name in enumerate(names):
        y = ROW * row
        for column in range(row):
            x = 8 + wide * column
            shapes += cell((x, y), (wide, ROW), cosines[row][column])
        shapes.append(Label((8 + wide * row + 3, y + 0.75 * ROW), name, "ink", LETTERS))
    return shapes, ROW * len(names)


def _network(names: Sequence[str], cosines: Sequence[Sequence[float]]) -> tuple[list[Shape], float]:
    """A line a pair, the wider and darker, the larger its cosine."""
    angles = [2 * math.pi * (number + 0.5) / len(names) - math.pi / 2 for number in range(len(names))]
    middle = WIDTH / 2, RADIUS + 34
    places = [(middle[0] + RADIUS * math.cos(one), middle[1] + RADIUS * math.sin(one)) for one in angles]
    pairs = sorted(combinations(range(len(names)), 2), key=lambda pair: abs(cosines[pair[0]][pair[1]]))
    a, b = pairs[-1]
    most = cosines[a][b]
    shapes: list[Shape] = [
        Label((4, 12), f"as lines; widest: {names[a]} and {names[b]}, {share_text(most)}", "ink", SIZE)
    ]
    for one, other in pairs:
        value = cosines[one][other]
        share = abs(value / most) if most else 0.0
        look = (PLUS if value > 0 else MINUS, WIDEST * share, (), round(share, 3))
        shapes.append(Stroke([places[one], places[other]], *look))
    for name, angle, (x, y) in zip(names, angles, places, strict=True):
        across, down = math.cos(angle), math.sin(angle)
        beside = x + 9 * across, y + 11 * down + 3.6
        anchor = "start" if across > -1e-9 else "end"
        shapes += [Mark((x, y), "ink"), Label(beside, name, "ink", LETTERS, anchor)]
    return shapes, 2 * RADIUS + 56
