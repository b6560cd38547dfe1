"""A figure stands where its numbers say: tokens at log2(P + 1), values evenly, colours legible in both themes."""

import io
import re
from importlib import resources
from itertools import pairwise

import matplotlib.image
import numpy as np
import pytest

from soft_prompts.report.drawing.axes import token_ticks, value_ticks
from soft_prompts.report.drawing.layout import beside, framed, rows, stacked
from soft_prompts.report.drawing.letters import shortened, text_width
from soft_prompts.report.drawing.paint import png
from soft_prompts.report.drawing.panels import Datum, Level, Panel, Series, look_of
from soft_prompts.report.drawing.scene import DASHES, LIGHT, MARKERS, SERIES, Label, Mark, Scene, Stroke
from soft_prompts.report.text import share_text, value_text, visible
from tests.checks.made.text_boxes import boxes, collisions, measured_width

COUNTS = (0, 1, 3, 15)


def panel(values=(4.0, 3.0, 2.0, 1.0), **changes) -> Panel:
    data = tuple(
        Datum(tokens, value, value - 0.1, value + 0.1, (value,), f"{tokens}", f"{tokens}.json")
        for tokens, value in zip(COUNTS, values, strict=True)
    )
    return Panel("name", "Title", "nats per move", (Series("tiny", look_of(0), data),), **changes)


def marks(scene: Scene) -> list[Mark]:
    return [shape for shape in scene.shapes if isinstance(shape, Mark) and shape.title]


def labels(scene: Scene) -> list[Label]:
    return [shape for shape in scene.shapes if isinstance(shape, Label)]


def test_doublings_are_equal_steps_and_zero_has_a_place():
    x = [mark.place[0] for mark in marks(panel().scene())]
    steps = np.diff(x) / [1, 1, 2]  # log2(P + 1) is 0, 1, 2, 4
    assert np.allclose(steps, steps[0])


def test_values_are_linear_and_downward():
    y = [mark.place[1] for mark in marks(panel().scene())]
    assert np.allclose(np.diff(y), np.diff(y)[0])
    assert y[0] < y[-1]


def test_each_mark_says_its_number_and_leads_to_its_file():
    text = str(panel().scene().inline())
    assert re.findall(r'<a href="(\w+\.json)">', text) == [f"{tokens}.json" for tokens in COUNTS]
    assert "<title>15</title>" in text


@pytest.mark.parametrize("levels", [(4.5, 0.5, 0.52), (0.9, 0.91, 0.92, 0.93), (4.0,), tuple(range(9))])
def test_nothing_is_drawn_outside_and_no_name_on_another(levels):
    named = tuple(Level(f"level {at}", value) for at, value in enumerate(levels))
    for heading in ("", "a heading that is far longer than a panel can be wide, so that it is cut off"):
        assert collisions(panel(levels=named, heading=heading).scene()) == []


@pytest.mark.parametrize(("level", "below"), [(1.95, True), (1.0, False)])
def test_a_levels_name_keeps_off_a_curve_that_runs_just_above(level, below):
    scene = panel(values=(2.1, 2.1, 2.1, 2.1), levels=(Level("floor", level), Level("", 0.0))).scene()
    (name,) = [one for one in labels(scene) if one.text == "floor"]
    line = min(one.places[0][1] for one in scene.shapes if isinstance(one, Stroke) and one.dash == (5, 3))
    assert (name.place[1] > line) == below


@pytest.mark.parametrize("values", [(4.0, 1.0, 0.9, 0.8), (1.0, 1.1, 4.0, 4.0), (4.0, 0.5, 4.0, 0.5), (2.0,) * 4])
@pytest.mark.parametrize("levels", [(2.2, 3.0), (1.1, 1.9, 2.1), (0.55, 3.9), (0.6, 4.6)])
def test_no_curve_runs_through_a_levels_name(values, levels):
    scene = panel(values=values, levels=tuple(Level("frequencies", value) for value in levels)).scene()
    curve = next(one for one in scene.shapes if isinstance(one, Stroke) and one.width == 1.9)
    x, y = (
        np.concatenate([np.linspace(a, b, 400) for a, b in pairwise(ends)]) for ends in zip(*curve.places, strict=True)
    )
    named = [box for box in boxes(scene) if box.text == "frequencies"]
    assert len(named) == len(levels)
    for box in named:
        assert not ((box.left < x) & (x < box.right) & (box.top < y) & (y < box.bottom)).any()
        lines = [one.places[0][1] for one in scene.shapes if isinstance(one, Stroke) and one.dash == (5, 3)]
        assert not any(box.top < height < box.bottom for height in lines)


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize(
    "text", ["WWW@@@", "illij.,|", "not shown by 4 (4 in doubt)", "\N{MINUS SIGN}0.1 ± 2 → x…", "日本", "d₅₀ · Ω"]
)
def test_a_text_is_never_wider_than_it_was_taken_for(text, bold):
    assert measured_width(text, 11, bold) <= text_width(text, 11, bold) <= 1.9 * measured_width(text, 11, bold)
    assert text_width(shortened(text, 30, 11, bold), 11, bold) <= 30


def test_scenes_side_by_side_and_under_each_other_keep_their_shapes():
    one = Scene("one", "One", 100, 50, [Label((10, 20), "a"), Mark((5, 5), "ink")])
    both = stacked([beside([one, one], 10), framed(one, 4)], 6)
    assert (both.width, both.height) == (210, 50 + 6 + 58)
    places = [shape.place for shape in both.shapes if isinstance(shape, Label)]
    assert places == [(10, 20), (120, 20), (14, 80)]
    assert [mark.place for mark in marks_of(rows([one] * 3, 2, 10))] == [(5, 5), (115, 5), (5, 65)]


def marks_of(scene: Scene) -> list[Mark]:
    return [shape for shape in scene.shapes if isinstance(shape, Mark)]


def test_looks_differ_and_a_curve_without_a_scale_is_grey():
    looks = [look_of(number) for number in range(len(SERIES) * len(DASHES))]
    assert len(set(looks)) == len(looks)
    grey = [look_of(number, has_scale=False) for number in range(len(MARKERS))]
    assert {look.role for look in grey} == {"muted"}
    assert len(set(grey)) == len(grey)


@pytest.mark.parametrize("ends", [(0, 1), (-0.3, 1.2), (0.7812, 0.7834), (0, 25_000), (1e-6, 3e-6)])
def test_ticks_are_round_few_and_inside(ends):
    ticks = value_ticks(*ends)
    assert 3 <= len(ticks) <= 8
    assert all(ends[0] - 1e-9 <= tick.at <= ends[1] + 1e-9 for tick in ticks)
    values = [float(tick.name.replace("\N{MINUS SIGN}", "-").replace(",", "")) for tick in ticks]
    assert values == pytest.approx([tick.at for tick in ticks], abs=1e-9 * abs(ends[1]) + 1e-12)


def test_ticks_of_tokens():
    assert [tick.name for tick in token_ticks([16, 0, 1024])] == ["0", "16", "1,024"]


def test_a_png_is_the_same_picture():
    scene = panel().scene()
    picture = matplotlib.image.imread(io.BytesIO(png(scene)))
    assert picture.shape[:2] == (round(3 * scene.height), round(3 * scene.width))
    x, y = marks(scene)[1].place
    blue = [int(LIGHT[SERIES[0]][at : at + 2], 16) / 255 for at in (1, 3, 5)]
    assert picture[round(3 * y), round(3 * x), :3] == pytest.approx(blue, abs=0.02)


def test_colours_are_legible_in_both_themes_and_the_same_in_files():
    style = resources.files("soft_prompts.report.page").joinpath("style.css").read_text("utf-8")
    colours = {name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)}
    assert {name: light for name, (light, _) in colours.items() if name in LIGHT} == LIGHT
    for theme in (0, 1):
        for name in ("ink", "muted", "accent", *SERIES):
            assert contrast(colours[name][theme], colours["paper"][theme]) >= 4.5


def contrast(first: str, second: str) -> float:
    """WCAG 2.2, relative luminance."""
    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_numbers_end_with_their_error():
    assert value_text(4.21337, 0.0031) == "4.2134"
    assert value_text(4.21337, 0.31) == "4.21"
    assert value_text(-0.05, signed=True) == "\N{MINUS SIGN}0.05000"


def test_shares_have_no_zero_before_the_point():
    assert [share_text(share) for share in (0.987, 1.0, -0.024, 0.0, None)] == [
        *(".99", "1.00", "\N{MINUS SIGN}.02", ".00", "\N{EN DASH}"),
    ]


def test_what_nobody_can_see_is_written_out():
    assert visible("a\r\nb\tc\x1b[31m\u200b") == "a\nb\tc⟨U+001B⟩[31m⟨U+200B⟩"
