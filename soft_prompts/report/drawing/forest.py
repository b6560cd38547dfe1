"""How many tokens bring each skill out? Its bracket as a bar on one axis: from the most tokens that were found too few
to the fewest that were shown to be enough, with a dot for the prompt that shows it.

An arrow leads beyond the most tokens tried: the mark is not reached there. Small hollow dots are counts in doubt.
"""

from collections.abc import Sequence
from typing import NamedTuple

from soft_prompts.report.drawing.axes import NAME_ROOM, Frame, along_ticks, token_place, token_ticks
from soft_prompts.report.drawing.letters import shortened, text_width
from soft_prompts.report.drawing.scene import SERIES, Label, Mark, Scene, Shape, Stroke
from soft_prompts.report.text import Number
from soft_prompts.stats.brackets import Bracket

WIDE, NARROW = 960.0, 360.0
SIDE = 24.0  # right of the axis, for arrows
HEAD = 26.0
SIZE = 11.0
HALF, NINE_TENTHS = SERIES[0], SERIES[1]
NAMES_SHARE, NUMBERS_SHARE = 0.3, 0.28  # of a wide forest: columns left and right of the bars
ROW, NARROW_ROW = 24.0, 42.0


class Row(NamedTuple):
    name: str
    half: Bracket
    nine_tenths: Bracket
    counts: tuple[int, ...]
    """Tried."""
    witness: tuple[str, str] = ("", "")
    """Addresses of the prompts that show the two upper ends."""
    href: str = ""

    @property
    def brackets(self) -> tuple[Bracket, Bracket]:
        """Half, then nine tenths."""
        return self.half, self.nine_tenths

    @property
    def has_scale(self) -> bool:
        """Whether there is a bracket, reached or not."""
        return self.half.state in ("shown", "not_reached")


class _Look(NamedTuple):
    role: str
    marker: str
    lift: Number
    """Below the middle of its row."""
    what: str


LOOKS = (_Look(HALF, "circle", -3.5, "half"), _Look(NINE_TENTHS, "square", 3.5, "nine tenths"))


def forest_scene(name: str, rows: Sequence[Row], width: Number = NARROW) -> Scene:
    """Narrow, a row's name stands above its bars."""
    narrow = width < WIDE
    step = NARROW_ROW if narrow else ROW
    bottom = HEAD + step * len(rows)
    counts = sorted({count for row in rows for count in row.counts}) or [0]
    most = max(token_place(counts[-1]), 1.0)
    left, right = (8.0, width - SIDE) if narrow else (NAMES_SHARE * width, (1 - NUMBERS_SHARE) * width - SIDE)
    frame = Frame(left, right, HEAD, bottom, (-0.06 * most, 0), (1.04 * most, 1))
    ticks = token_ticks(counts)
    shapes: list[Shape] = [Stroke([(frame.x(t.at), HEAD), (frame.x(t.at), bottom)], "rule") for t in ticks]
    shapes += [*_key(), *along_ticks(frame, ticks, "prompt tokens")]
    for number, row in enumerate(rows):
        middle = HEAD + step * (number + 0.5)
        shapes += _names(frame, row, middle, width) + _bars(frame, row, middle + (7 if narrow else 0))
    title = "Brackets: prompt tokens that bring out half and nine tenths of the skill"
    return Scene(name, title, width, bottom + NAME_ROOM, shapes)


def _key() -> list[Shape]:
    """What the markers are."""
    shapes: list[Shape] = []
    x = 2.0
    for look in LOOKS:
        shapes += [Mark((x + 4, 10), look.role, look.marker, 4), Label((x + 13, 14), look.what, "ink", SIZE)]
        x += 26 + text_width(look.what, SIZE)
    return [*shapes, Mark((x + 4, 10), "muted", "circle", 2.6, False), Label((x + 13, 14), "in doubt", size=SIZE)]


def _names(frame: Frame, row: Row, middle: Number, width: Number) -> list[Shape]:
    """The curve's name and the bracket of half of the skill in words."""
    role = "ink" if row.has_scale else "muted"
    words = row.half.text(max(row.counts, default=0))
    if width < WIDE:
        words = shortened(words.split(" (")[0], 0.62 * width, SIZE)  # its dots say what is in doubt
        name = shortened(row.name, width - text_width(words, SIZE) - 28, SIZE)
        y = middle - 7
        return [Label((8, y), name, role, SIZE), Label((width - 8, y), words, role, SIZE, "end")]
    start = (1 - NUMBERS_SHARE) * width
    name, words = shortened(row.name, frame.left - 20, SIZE), shortened(words, width - start - 4, SIZE)
    return [Label((8, middle + 4), name, role, SIZE), Label((start, middle + 4), words, role, SIZE)]


def _bars(frame: Frame, row: Row, y: Number) -> list[Shape]:
    if not row.has_scale:
        return [Stroke([(frame.left, y), (frame.right, y)], "rule", 5)]
    shapes: list[Shape] = []
    for bracket, href, look in zip(row.brackets, row.witness, LOOKS, strict=True):
        title = f"{row.name}, {look.what} of the skill: {bracket.text(max(row.counts))}"
        shapes += _bar(frame, bracket, look, y + look.lift)
        shapes += _end(frame, row, (bracket, title, href), look, y + look.lift)
    return shapes


def _bar(frame: Frame, bracket: Bracket, look: _Look, y: Number) -> list[Shape]:
    start = frame.left if bracket.more_than is None else frame.x(token_place(bracket.more_than))
    doubts = [Mark((frame.x(token_place(count)), y), look.role, size=2.6, filled=False) for count in bracket.in_doubt]
    if bracket.at_most is None:
        return [Stroke([(start, y), (frame.right + SIDE - 12, y)], look.role, 1.5, (3, 2)), *doubts]
    end = frame.x(token_place(bracket.at_most))
    return [Stroke([(start, y), (end, y)], look.role, 3.0, opacity=0.55), *doubts]


def _end(frame: Frame, row: Row, found: tuple[Bracket, str, str], look: _Look, y: Number) -> list[Shape]:
    """The witness, or an arrow to where no prompt was tried."""
    bracket, title, href = found
    if bracket.at_most is None:
        return [Mark((frame.right + SIDE - 10, y), look.role, "right", 3.6, False, title, row.href)]
    return [Mark((frame.x(token_place(bracket.at_most)), y), look.role, look.marker, 4, True, title, href)]
