"""A figure stands where its numbers say: tokens at log2(P + 1), parameters at their logarithm."""

import io
import math
import re
from importlib import resources

import matplotlib.image
import numpy as np
import pytest

from soft_prompts.report.drawing.axes import parameter_ticks, token_ticks, value_ticks
from soft_prompts.report.drawing.charts import Chart, Datum, Level, Series, look_of
from soft_prompts.report.drawing.forest import NARROW, WIDE, Group, Row, distance_text, forest_scene
from soft_prompts.report.drawing.scene import LIGHT, SERIES, Label, Mark, Scene, text_width
from soft_prompts.report.page.text import tokens_text, value_text, visible
from soft_prompts.stats.distance import Mark as Distance

COUNTS = (0, 1, 3, 15)


def chart(values=(4.0, 3.0, 2.0, 1.0), **changes) -> Chart:
    data = tuple(
        Datum(tokens, 128 * tokens, value, value - 0.1, value + 0.1, (value,), f"{tokens}", f"{tokens}.json")
        for tokens, value in zip(COUNTS, values, strict=True)
    )
    return Chart("name", "Title", "nats per move", (Series("tiny", look_of(0), data),), **changes)


def marks(scene: Scene) -> list[Mark]:
    return [shape for shape in scene.shapes if isinstance(shape, Mark) and shape.title]


def labels(scene: Scene) -> list[Label]:
    return [shape for shape in scene.shapes if isinstance(shape, Label)]


def test_doublings_are_equal_steps_and_zero_has_a_place():
    x = [mark.place[0] for mark in marks(chart().scene("tokens"))]
    steps = np.diff(x) / [1, 1, 2]  # log2(P + 1) is 0, 1, 2, 4
    assert np.allclose(steps, steps[0])


def test_values_are_linear_and_downward():
    y = [mark.place[1] for mark in marks(chart().scene("tokens"))]
    assert np.allclose(np.diff(y), np.diff(y)[0])
    assert y[0] < y[-1]


def test_trained_parameters_are_logarithmic_with_zero_apart():
    x = [mark.place[0] for mark in marks(chart().scene("parameters"))]
    assert (x[2] - x[1]) / (x[3] - x[2]) == pytest.approx(math.log(3) / math.log(5))
    assert x[0] < x[1]
    assert [label.text for label in labels(chart().scene("parameters")) if label.text == "0"]


def test_each_mark_says_its_number_and_leads_to_its_file():
    text = str(chart().scene("tokens").inline())
    assert re.findall(r'<a href="(\w+\.json)">', text) == [f"{tokens}.json" for tokens in COUNTS]
    assert "<title>15</title>" in text


def test_nothing_is_drawn_outside_and_no_name_on_another():
    levels = (Level("no skill", 4.5), Level("exact", 0.5), Level("LoRA", 0.52))
    for along in ("tokens", "parameters"):
        scene = chart(levels=levels).scene(along, header=True)
        boxes = [box(label) for label in labels(scene)]
        assert all(b[0] >= 0 and b[2] <= scene.width and b[1] >= 0 and b[3] <= scene.height for b in boxes)
        assert not any(touch(a, b) for at, a in enumerate(boxes) for b in boxes[:at])


def box(label: Label) -> tuple[float, float, float, float]:
    width = 0.9 * text_width(label.text, label.size)
    left = label.place[0] - {"start": 0, "middle": width / 2, "end": width}[label.anchor]
    return left, label.place[1] - 0.7 * label.size, left + width, label.place[1]


def touch(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.mark.parametrize("ends", [(0, 1), (-0.3, 1.2), (0.7812, 0.7834), (0, 25_000), (1e-6, 3e-6)])
def test_ticks_are_round_few_and_inside(ends):
    ticks = value_ticks(*ends)
    assert 3 <= len(ticks) <= 8
    assert all(ends[0] - 1e-9 <= tick.at <= ends[1] + 1e-9 for tick in ticks)
    values = [float(tick.name.replace("\N{MINUS SIGN}", "-").replace(",", "")) for tick in ticks]
    assert values == pytest.approx([tick.at for tick in ticks], abs=1e-9 * abs(ends[1]) + 1e-12)


def test_ticks_of_tokens_and_parameters():
    assert [tick.name for tick in token_ticks([16, 0, 1024])] == ["0", "16", "1,024"]
    assert [tick.name for tick in parameter_ticks([0, 128, 131072])] == ["0", "1k", "10k", "100k"]


def found(value, low, high, **changes) -> Distance:
    return Distance(0.5, value, low, high, **changes)


def test_a_distance_reads_as_it_is():
    assert distance_text(found(2.94, 2.7, 3.1), 16) == "2.94 [2.70, 3.10]"
    assert distance_text(found(12.0, 9.0, None), 16) == "12 [9, > 16]"
    assert distance_text(found(None, 16.0, None, censored=True, reason="CEILING"), 16) == "> 16 CEILING"
    assert distance_text(found(None, None, None, reason="no gap"), 16) == "no gap"


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_forest_has_an_arrow_where_a_distance_is_censored_and_fills_what_may_be_quoted(width):
    known, lost = found(4.0, 3.0, 5.0), found(None, 16.0, None, censored=True, reason="BUDGET", low_of_draws=9.0)
    rows = (Row("may", known, lost, 16, True, "#a"), Row("may not", known, known, 16, False, "#b"))
    scene = forest_scene([Group("chess", rows)], width, [0, 1, 4, 16])
    shown = marks(scene)
    assert [mark.marker for mark in shown] == ["circle", "right", "circle", "square"]
    assert [mark.filled for mark in shown] == [True, True, False, False]
    assert shown[1].place[0] > shown[0].place[0]
    assert all(0 <= mark.place[0] <= width for mark in shown)
    boxes = [box(label) for label in labels(scene)]
    assert not any(touch(a, b) for at, a in enumerate(boxes) for b in boxes[:at])


def test_a_png_is_the_same_picture():
    scene = chart().scene("tokens")
    picture = matplotlib.image.imread(io.BytesIO(scene.png()))
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
    assert [tokens_text(count) for count in (0, 0.784, 2.938, 16, 16.26, 1024)] == [
        "0",
        "0.78",
        "2.94",
        "16",
        "16.3",
        "1,024",
    ]


def test_what_nobody_can_see_is_written_out():
    assert visible("a\r\nb\tc\x1b[31m\u200b") == "a\nb\tc⟨U+001B⟩[31m⟨U+200B⟩"
