"""How many prompts does it take until labels find a change? The share of random subsets in which one stands.

Subsets of the same samples share prompts, the more, the larger they are: the share at all prompts is over splits alone.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.sampling.samples import contrastive_samples
from soft_prompts.calibration.planted.drawn import LEVEL, label_p, taken
from soft_prompts.report.drawing.axes import NAME_ROOM, Frame, Tick, along_ticks, down_ticks, left_room
from soft_prompts.report.drawing.letters import text_width
from soft_prompts.report.drawing.scene import MARKERS, SERIES, Label, Mark, Scene, Shape, Stroke

AT = (50, 100, 150, 200, 300)  # prompts
SUBSETS = 20
WIDTH, HEIGHT, TOP, RIGHT = 480.0, 300.0, 40.0, 16.0
SHARES = tuple(Tick(value, f"{value:.2g}") for value in (0.0, 0.25, 0.5, 0.75, 1.0))


class Power(NamedTuple):
    """Of labels on so many prompts."""

    prompts: int
    share: float
    """Of the subsets in which a label of contrastive samples stands."""
    control_share: float
    """The same with a spare control in the target's place."""
    median_p: float
    """Of the smallest adjusted p of each subset."""


def label_power(asked: Asked) -> list[Power]:
    """Of the change of this comparison, at each number of prompts."""
    family = asked.family
    sides = {name: contrastive_samples(asked, name) for name in (family.target, *family.spare)}
    count = len(sides[family.target])
    generator, found = np.random.default_rng(asked.settings.seed), list[Power]()
    for size in sorted({size for size in (*AT, count) if size <= count}):
        p = []
        for draw in range(SUBSETS):
            places = sorted(generator.permutation(count)[:size].tolist())
            own, *spare = (taken(side, places, draw) for side in sides.values())
            p.append((label_p(own, spare), label_p(spare[-1], spare[:-1])))
        share, control = (np.array(p) <= LEVEL).mean(axis=0).tolist()
        found.append(Power(size, share, control, float(np.median(np.array(p)[:, 0]))))
    return found


def power_scene(curves: Mapping[str, list[Power]]) -> Scene:
    """A curve a change."""
    most = max(one.prompts for each in curves.values() for one in each)
    frame = Frame(left_room(SHARES), WIDTH - RIGHT, TOP, HEIGHT - NAME_ROOM, (0, -0.03), (most * 1.03, 1.03))
    counts = sorted({one.prompts for each in curves.values() for one in each})
    shapes: list[Shape] = [*down_ticks(frame, SHARES)]
    shapes += along_ticks(frame, [Tick(count, str(count)) for count in counts], "prompts")
    shapes.append(Label((4, 14), "share of subsets in which labels find the change", "ink"))
    x = 8.0
    for (name, each), role, marker in zip(curves.items(), SERIES, MARKERS, strict=False):
        places = [frame.place(one.prompts, one.share) for one in each]
        shapes += [Stroke(places, role, 2), *(Mark(place, role, marker) for place in places)]
        shapes += [Mark((x, 28), role, marker), Label((x + 8, 32), name, "ink")]
        x += 24 + text_width(name, 11.0)
    return Scene("power", "How many prompts it takes until labels find a change", WIDTH, HEIGHT, shapes)
