"""Which figures show what is done inside a model? Effect against layer and strength beside all controls; causes by
component and position. Drawn once, for the page and for files."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from soft_prompts.report.drawing.axes import NAME_ROOM, Frame, Tick, along_ticks, down_ticks
from soft_prompts.report.drawing.cells import cell
from soft_prompts.report.drawing.letters import text_width
from soft_prompts.report.drawing.scene import Label, Mark, Scene, Shape, Stroke
from soft_prompts.report.figures.arms import ARMS
from soft_prompts.report.text import count_text

ROWS = 40  # components of a map, those of most effect
CELL, LINE, LETTERS = 26.0, 13.0, 10.0
PANEL, HEIGHT, LEFT, TOP = 170.0, 190.0, 34.0, 44.0

Row = Mapping[str, Any]


def causes_scene(name: str, figures: Mapping[str, Any], n: int) -> Scene | None:
    """Shares by component (down) and position (across), the darker the larger; empty where nothing was patched."""
    patched = [row for row in figures["components"] if row["share"] is not None]
    if not patched:
        return None
    rows, positions = _largest(patched), sorted({row["position"] for row in patched})
    tokens = figures["positions"]
    shown = [tokens[len(tokens) - 1 + place].replace("\n", "\\n").strip() for place in positions]
    left = 12 + max(text_width(one, LETTERS) for one in rows)
    wide = max(CELL, *(text_width(one, LETTERS) + 6 for one in shown))
    shapes: list[Shape] = [Label((4, 14), "share of the donor's answer: blue towards it, orange away", "ink", 11)]
    for column, text in enumerate(shown):
        shapes.append(Label((left + (column + 0.5) * wide, 32), text, size=LETTERS, anchor="middle"))
    for line, component in enumerate(rows):
        shapes.append(Label((left - 6, 38 + (line + 0.8) * LINE), component, size=LETTERS, anchor="end"))
    for row in patched:
        if row["component"] in rows:
            corner = (left + positions.index(row["position"]) * wide, 38 + rows.index(row["component"]) * LINE)
            shapes += cell(corner, (wide, LINE), row["share"])
    foot = 38 + len(rows) * LINE
    shapes.append(Label((4, foot + 18), f"{count_text(n, 'pair')}; blank: not patched, or alike in both", size=LETTERS))
    width = max(left + len(positions) * wide + 8, 330.0)
    title = "What each component at each position does when it is patched alone"
    return Scene(name, title, width, foot + 26, shapes)


def _largest(patched: Sequence[Row]) -> list[str]:
    """In the order of the names, for layers to stand together."""
    best: dict[str, float] = {}
    for row in patched:
        best[row["component"]] = max(best.get(row["component"], 0.0), abs(row["share"]))
    return sorted(sorted(best, key=lambda one: -best[one])[:ROWS], key=_order)


def _order(component: str) -> tuple[str, list[int]]:
    kind, *places = component.split(".")
    return kind, [int(place) for place in places]


def sweep_scene(name: str, figures: Mapping[str, Any]) -> Scene | None:
    """Accuracy on dev against strength, a panel a layer, a line an arm: the mean over classes."""
    swept = [tuple(one) for classes in figures["classes"] for one in classes.get("swept", [])]
    if not swept:
        return None
    layers, arms = sorted({one[1] for one in swept}), [arm for arm in ARMS if any(one[0] == arm for one in swept)]
    shapes: list[Shape] = [Label((4, 14), "accuracy on dev against strength, by layer", "ink", 11)]
    x = 4.0
    for arm in arms:
        shapes += [Mark((x + 4, 28), ARMS[arm]), Label((x + 11, 32), arm, "ink", LETTERS)]
        x += 24 + text_width(arm, LETTERS)
    for place, layer in enumerate(layers):
        shapes += _panel(place, layer, [one for one in swept if one[1] == layer], arms)
    width = max(LEFT + PANEL * len(layers), x)
    title = "Effect of the vector and its controls by layer and strength"
    return Scene(name, title, width, TOP + HEIGHT, shapes)


def _panel(place: int, layer: int, swept: Sequence[tuple[Any, ...]], arms: Sequence[str]) -> list[Shape]:
    strengths = sorted({one[2] for one in swept})
    left, ends = LEFT + PANEL * place, (math.log2(strengths[0]) - 0.2, math.log2(strengths[-1]) + 0.2)
    frame = Frame(left, left + PANEL - 16, TOP + 18, TOP + HEIGHT - NAME_ROOM, (ends[0], 0.0), (ends[1], 1.0))
    values = [Tick(value, f"{value:g}" if place == 0 else "") for value in (0.0, 0.5, 1.0)]
    shapes: list[Shape] = [Label((left, TOP + 10), f"layer {layer}", size=LETTERS), *down_ticks(frame, values)]
    shapes += along_ticks(frame, [Tick(math.log2(one), f"{one:g}") for one in strengths], "strength")
    for arm in reversed(arms):  # the vector on top
        line = [frame.place(math.log2(at), _mean(swept, arm, at)) for at in strengths]
        shapes += [Stroke(line, ARMS[arm], 1.8), *(Mark(one, ARMS[arm], size=2.6) for one in line)]
    return shapes


def _mean(swept: Sequence[tuple[Any, ...]], arm: str, strength: float) -> float:
    values = [one[3] for one in swept if one[0] == arm and one[2] == strength]
    return sum(values) / len(values)
