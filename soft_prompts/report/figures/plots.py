"""How does a comparison look in one file? Every group's shares, losses and brackets, drawn as the page draws them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from soft_prompts.analysis.readings import Reading
from soft_prompts.common.errors import InputError
from soft_prompts.report.drawing.forest import NARROW, WIDE
from soft_prompts.report.drawing.layout import GAP, beside, framed, rows, stacked
from soft_prompts.report.drawing.letters import shortened
from soft_prompts.report.drawing.panels import legend
from soft_prompts.report.drawing.scene import Label, Scene
from soft_prompts.report.figures.curves import bracket_scene, loss_scenes, no_scale_names, share_scenes
from soft_prompts.report.figures.groups import TOGETHER, Group, groups_of
from soft_prompts.report.text import Number, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 3 * NARROW + 2 * GAP
LEAST = 2 * NARROW + GAP  # room for a title and names above one panel
HEAD, TITLE = 30.0, 15.0
MARGIN = 16.0
SMALL_COLUMNS = 4


def curve_scene(readings: Sequence[Reading]) -> Scene:
    """A block for every experiment and metric; raises InputError where no curve has values to draw."""
    blocks = [_block(group) for group in groups_of(readings) if group.drawn().readings]
    if not blocks:
        raise InputError("no result has values at two token counts to draw a curve through")
    return framed(stacked(blocks, 2 * GAP), MARGIN)


def curve_figure(readings: Sequence[Reading]) -> "Figure":
    """The same as a figure that a notebook shows; `savefig` keeps it."""
    from soft_prompts.report.drawing.paint import painted  # matplotlib takes half a second to load

    return painted(curve_scene(readings))


def write_figure(readings: Sequence[Reading], path: Path) -> None:
    """PNG, SVG or PDF by the file's suffix, whole or not at all."""
    from soft_prompts.report.drawing.paint import write_scene  # matplotlib takes half a second to load

    write_scene(curve_scene(readings), path)


def _block(group: Group) -> Scene:
    drawn = group.drawn()
    shares, losses = share_scenes(group), loss_scenes(group)
    scaled = len(group.names) - len(no_scale_names(group))
    if len(drawn.readings) > TOGETHER or len(group.readings) > 2 * TOGETHER:
        panels = [rows(part, SMALL_COLUMNS) for part in (shares, losses) if part]
        return stacked([_head(group, WIDTH), *panels, *([bracket_scene(group, width=WIDE)] if scaled else [])], GAP)
    panels = beside([*shares, *losses, *([bracket_scene(group)] if scaled else [])])
    width = max(panels.width, LEAST)
    names = legend(list(zip(drawn.names, drawn.looks, strict=True)), width)
    return stacked([_head(group, width), names, panels, *_missing(group, shares)])


def _head(group: Group, width: Number) -> Scene:
    text = shortened(group.title[:1].upper() + group.title[1:], width, TITLE, bold=True)
    return Scene(group.place, group.title, width, HEAD, [Label((2, 20), text, "ink", TITLE, bold=True)])


def _missing(group: Group, shares: Sequence[Scene]) -> list[Scene]:
    """Who has no share, where others have."""
    names = no_scale_names(group)
    if not names or not shares:
        return []
    text = shortened(f"no scale: {listed(names)}", WIDTH, 11)
    return [Scene(group.place, "", WIDTH, 18, [Label((2, 12), text, size=11)])]
