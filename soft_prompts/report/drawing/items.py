"""Which test items became likelier? Each by its loss before and after, the diagonal between them."""

from collections.abc import Iterable
from typing import NamedTuple

from soft_prompts.report.drawing.axes import NAME_ROOM, Frame, along_ticks, down_ticks, left_room, padded, value_ticks
from soft_prompts.report.drawing.panels import NAMES, RIGHT, TOP
from soft_prompts.report.drawing.scene import Cloud, Label, Mark, Scene, Shape, Stroke
from soft_prompts.report.text import Number

WIDTH, HEIGHT = 360.0, 262.0


class Item(NamedTuple):
    """Loss per unit of one test item."""

    before: Number
    after: Number
    changed: bool
    """Among those that changed most."""
    title: str


def items_scene(name: str, title: str, items: Iterable[Item], role: str, axes: tuple[str, str]) -> Scene:
    """Below the diagonal an item became likelier."""
    every = list(items)
    least, most = padded([value for item in every for value in (item.before, item.after)], 0.03)
    least = max(least, 0.0) if min(min(item.before, item.after) for item in every) >= 0 else least
    # Half of the diagonal at least: what fell far would else lie squeezed at the foot of an empty square.
    top = max(padded([item.after for item in every], 0.06)[1], (least + most) / 2)
    ticks = value_ticks(least, top)
    frame = Frame(left_room(ticks), WIDTH - RIGHT, TOP, HEIGHT - NAME_ROOM, (least, least), (most, top))
    shapes: list[Shape] = [Label((4, TOP - 10), axes[1], size=NAMES)]
    shapes += [*down_ticks(frame, ticks), *along_ticks(frame, value_ticks(least, most), axes[0])]
    end = min(most, top)
    shapes.append(Stroke([frame.place(least, least), frame.place(end, end)], "muted", 1, (4, 3)))
    x, y = frame.place(end, end)
    shapes.append(Label((x - 16, y + 10), "no change", "muted", 10, "end"))
    plain = [frame.place(item.before, item.after) for item in every if not item.changed]
    shapes.append(Cloud(plain, role, 1.7, 0.45 if len(plain) < 400 else 0.3))
    shapes += [Mark(frame.place(i.before, i.after), role, size=3.4, title=i.title) for i in every if i.changed]
    return Scene(name, title, WIDTH, HEIGHT, shapes)
