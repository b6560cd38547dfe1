"""Which capabilities are near, which far? Every distance on one axis of prompt tokens, with its interval.

A filled marker may be quoted, a hollow one fails a rule of admissibility. An arrow leads to where no prompt was tried:
the distance, or the end of its interval, lies beyond the largest token count.
"""

from collections.abc import Sequence
from typing import NamedTuple

from soft_prompts.report.drawing.axes import Frame, Tick, along_ticks, token_place
from soft_prompts.report.drawing.scene import SERIES, Label, Mark, Scene, Shape, Stroke, shortened, text_width
from soft_prompts.report.page.text import Number, tokens_text
from soft_prompts.stats.distance import Mark as Distance

WIDE, NARROW = 900.0, 360.0
NAMES, NUMBERS = 250.0, 270.0  # columns left and right of the marks
HEAD, FOOT = 30.0, 46.0
SIZE = 11.5
HALF, NINE_TENTHS = SERIES[0], SERIES[1]


class Row(NamedTuple):
    name: str
    half: Distance
    nine_tenths: Distance
    most_tokens: int
    admissible: bool
    href: str


class Group(NamedTuple):
    name: str
    rows: tuple[Row, ...]


def forest_scene(groups: Sequence[Group], width: Number, counts: Sequence[int]) -> Scene:
    """`counts`: token counts that name ticks. Narrow, a row's name stands above its marks."""
    narrow = width < WIDE
    left, right = (8.0, width - 26) if narrow else (NAMES, width - NUMBERS - 26)
    step = 44.0 if narrow else 25.0
    lines = sum(26 + step * len(group.rows) for group in groups)
    bottom = HEAD + lines
    most = max([token_place(row.most_tokens) for group in groups for row in group.rows], default=1.0)
    frame = Frame(left, right, HEAD, bottom, (-0.15, 0), (most + 0.25, 1))
    ticks = [Tick(token_place(count), f"{count:,}") for count in sorted(set(counts)) if token_place(count) <= most]
    shapes: list[Shape] = [Stroke([(frame.x(t.at), HEAD), (frame.x(t.at), bottom)], "rule") for t in ticks]
    shapes += [*_key(width, narrow), *along_ticks(frame, ticks, "prompt tokens, log2(P + 1)")]
    y = HEAD
    for group in groups:
        shapes.append(Label((2, y + 18), shortened(group.name, width - 8, 12), "ink", 12, bold=True))
        y += 26
        for row in group.rows:
            shapes += _row(frame, row, y + step / 2, width, narrow)
            y += step
    title = "Distances: prompt tokens for half and for nine tenths of the gap, with 95 % intervals"
    return Scene("distances-narrow" if narrow else "distances", title, width, bottom + FOOT, shapes)


def distance_text(distance: Distance, most_tokens: int) -> str:
    """`2.9 [2.7, 3.1]`, `> 16 CEILING` or why there is none."""
    if distance.censored:
        return f"> {tokens_text(most_tokens)} {distance.reason or ''}".rstrip()
    if distance.value is None:
        return distance.reason or "none"
    high = f"> {tokens_text(most_tokens)}" if distance.high is None else tokens_text(distance.high)
    interval = "" if distance.low is None else f" [{tokens_text(distance.low)}, {high}]"
    return f"{tokens_text(distance.value)}{interval}"


def _key(width: Number, narrow: bool) -> list[Shape]:
    """What the two markers are."""
    names = ("d₅₀", "d₉₀") if narrow else ("d₅₀, half of the gap", "d₉₀, nine tenths")
    shapes: list[Shape] = []
    x = 2.0
    for role, marker, name in ((HALF, "circle", names[0]), (NINE_TENTHS, "square", names[1])):
        shapes += [Mark((x + 4, 12), role, marker, 4), Label((x + 13, 16), name, "ink", 11)]
        x += 30 + text_width(name, 11)
    hollow = "not admissible" if narrow else "hollow: not admissible"
    shapes += [Mark((x + 4, 12), "muted", "circle", 4, False), Label((x + 13, 16), hollow, size=11)]
    if narrow:
        return [*shapes, Label((width - 8, 16), "d₅₀ [95 %]", size=11, anchor="end")]
    for name, start in (("d₅₀ [95 %]", NUMBERS), ("d₉₀ [95 %]", NUMBERS / 2)):
        shapes.append(Label((width - start, 16), name, size=11))
    return shapes


def _row(frame: Frame, row: Row, middle: Number, width: Number, narrow: bool) -> list[Shape]:
    number = distance_text(row.half, row.most_tokens)
    y = middle + (9 if narrow else 0)
    if narrow:
        room = width - text_width(number, SIZE) - 24
        shapes: list[Shape] = [Label((8, middle - 6), shortened(row.name, room, SIZE), "ink", SIZE)]
        shapes.append(Label((width - 8, middle - 6), number, "ink", SIZE, "end"))
    else:
        shapes = [Label((14, middle + 4), shortened(row.name, NAMES - 30, SIZE), "ink", SIZE)]
        for distance, start in ((row.half, NUMBERS), (row.nine_tenths, NUMBERS / 2)):
            text = shortened(distance_text(distance, row.most_tokens), NUMBERS / 2, SIZE)
            shapes.append(Label((width - start, middle + 4), text, "ink", SIZE))
    for distance, role, marker, lift in ((row.half, HALF, "circle", -3.5), (row.nine_tenths, NINE_TENTHS, "square", 4)):
        shapes += _interval(frame, distance, row, (role, marker), y + lift)
    return shapes


def _interval(frame: Frame, distance: Distance, row: Row, look: tuple[str, str], y: Number) -> list[Shape]:
    role, marker = look
    name = "half" if distance.mark == 0.5 else "nine tenths"
    title = f"{row.name}: {name} of the gap, {distance_text(distance, row.most_tokens)} tokens"
    beyond = frame.x(token_place(row.most_tokens)) + 11
    if distance.censored:
        start = frame.x(token_place(min(distance.low_of_draws or row.most_tokens, row.most_tokens)))
        arrow = Mark((beyond, y), role, "right", 3.6, row.admissible, title, row.href)
        return [Stroke([(start, y), (beyond, y)], role, 1.5, (3, 2)), arrow]
    if distance.value is None:
        return []
    middle = frame.x(token_place(distance.value))
    low = middle if distance.low is None else frame.x(token_place(distance.low))
    high = beyond if distance.high is None else frame.x(token_place(distance.high))
    shapes: list[Shape] = [Stroke([(low, y), (high, y)], role, 1.8)]
    if distance.high is None:
        shapes.append(Mark((beyond, y), role, "right", 3, row.admissible))
    return [*shapes, Mark((middle, y), role, marker, 4, row.admissible, title, row.href)]
