"""One drawing for the page, for files and for notebooks: every curve, count and bracket of the readings is in it."""

import dataclasses
import math

import matplotlib
import pytest

from soft_prompts.analysis.readings import Reading
from soft_prompts.common.errors import InputError
from soft_prompts.report.drawing.axes import token_place
from soft_prompts.report.drawing.panels import SHARES, look_of
from soft_prompts.report.drawing.scene import Label, Mark, Scene
from soft_prompts.report.figures.curves import bracket_scene, loss_scenes, no_scale_names, share_scenes
from soft_prompts.report.figures.groups import TOGETHER, Group, groups_of
from soft_prompts.report.figures.plots import curve_figure, curve_scene, write_figure
from soft_prompts.stats.bootstrap import Interval
from soft_prompts.stats.brackets import Bracket
from tests.checks.made.readings import made_readings
from tests.checks.made.text_boxes import collisions


@pytest.fixture(scope="module")
def readings() -> dict[str, Reading]:
    return {reading.curve.model: reading for reading in made_readings().readings}


def group_of(*readings: Reading) -> Group:
    (group,) = groups_of(readings)
    return group


def marks(scene: Scene, name: str) -> list[Mark]:
    return [shape for shape in scene.shapes if isinstance(shape, Mark) and shape.title.startswith(f"{name},")]


def words(scene: Scene) -> list[str]:
    return [shape.text for shape in scene.shapes if isinstance(shape, Label)]


def scale_of(scene: Scene, name: str, values: list[float]) -> tuple[float, float]:
    """Value 0 and one unit of the upright axis, from two marks of known value."""
    low, high = (mark.place[1] for mark in (marks(scene, name)[0], marks(scene, name)[-1]))
    unit = (high - low) / (values[-1] - values[0])
    return low - values[0] * unit, unit


def test_shares_stand_at_their_values_with_half_and_nine_tenths_marked(readings):
    group = group_of(*(readings[name] for name in ("tiny-mazes", "tiny-mazes-locked-1", "tiny-mazes-strict-3")))
    (scene,) = share_scenes(group)
    zero, unit = scale_of(scene, "tiny-mazes-locked-1", [0.0, 1.0])
    for name, outcomes in (("tiny-mazes", (0.97, 0.98, 0.98, 0.98)), ("tiny-mazes-strict-3", (0.0, 0.02, 0.05, 0.31))):
        heights = [(mark.place[1] - zero) / unit for mark in marks(scene, name)]
        assert heights == pytest.approx(outcomes, abs=1e-6)
    ticks = {label.text: (label.place[1] - 3.6 - zero) / unit for label in scene.shapes if isinstance(label, Label)}
    assert [ticks[name] for name in ("0", ".5", ".9")][1:] == pytest.approx([0.5, 0.9])
    across = [mark.place[0] for mark in marks(scene, "tiny-mazes")]
    steps = [token_place(count) for count in (0, 1, 2, 4)]
    assert [(x - across[0]) / (across[-1] - across[0]) for x in across] == pytest.approx(
        [step / math.log2(5) for step in steps]
    )


def test_a_count_in_doubt_is_hollow(readings):
    (scene,) = share_scenes(group_of(readings["tiny-mazes-strict-3"]))
    assert [mark.filled for mark in marks(scene, "tiny-mazes-strict-3")] == [True, True, True, False]


def test_a_share_beyond_what_is_meant_stands_at_the_edge_as_an_arrow(readings):
    reading = readings["tiny-mazes-locked-1"]
    assert reading.deed is not None
    shares = {0: Interval(-6.0, -7.0, -5.0), 1: Interval(0.0, -0.1, 0.1), 2: Interval(1.0, 0.9, 1.1)}
    shares |= {4: Interval(2.0, 1.9, 2.1)}
    far = dataclasses.replace(reading, deed=dataclasses.replace(reading.deed, shares=shares))
    (scene,) = share_scenes(group_of(far))
    below, zero, one, above = marks(scene, "tiny-mazes-locked-1")
    assert [mark.marker for mark in (below, zero, one, above)] == ["down", "circle", "circle", "up"]
    unit = one.place[1] - zero.place[1]
    ends = [(mark.place[1] - zero.place[1]) / unit for mark in (below, above)]
    assert ends == pytest.approx(SHARES)
    assert "share −6.00 [−7.00, −5.00]".replace("−", "\N{MINUS SIGN}") in below.title  # noqa: RUF001


def test_losses_and_the_change_paired_with_them(readings):
    name = "tiny-mazes-locked-1"
    (scene,) = loss_scenes(group_of(readings[name]))
    losses, changes = marks(scene, name)[:4], marks(scene, name)[4:]
    unit = (losses[1].place[1] - losses[0].place[1]) / (0.21 - 3.1)
    assert [(mark.place[1] - losses[0].place[1]) / unit for mark in losses] == pytest.approx([0, -2.89, -2.9, -2.91])
    unit = (changes[1].place[1] - changes[0].place[1]) / -2.89
    assert [(mark.place[1] - changes[0].place[1]) / unit for mark in changes] == pytest.approx([0, -2.89, -2.9, -2.91])
    assert [one.place[0] for one in losses] == [one.place[0] for one in changes]  # they stand flush
    assert {"nats per move", "frequencies", "lora"} <= set(words(scene))


def test_without_a_scale_a_curve_is_grey_and_has_no_share(readings):
    group = group_of(readings["tiny-text"])
    assert share_scenes(group) == []
    assert no_scale_names(group) == ["tiny-text"]
    (scene,) = loss_scenes(group)
    assert {mark.role for mark in marks(scene, "tiny-text")} == {"muted"}
    other = group_of(readings["tiny-mazes-locked-1"])
    both = dataclasses.replace(
        other,
        readings=(*other.readings, *group.readings),
        names=(*other.names, *group.names),
        looks=(*other.looks, *group.looks),
    )
    shown = words(bracket_scene(both))
    assert "tiny-mazes-locked-1" in shown
    assert not {"tiny-text", "no scale"} & set(shown)


def test_another_metric_than_the_verdicts_has_colours_and_no_brackets(readings):
    """Where no curve has a scale there is nothing for grey to say; a model that is asked bare alone takes no look."""
    first = readings["tiny-text"]
    bare = dataclasses.replace(first, points=first.points[:1])
    others = [dataclasses.replace(one, curve=dataclasses.replace(one.curve, metric="loss")) for one in (bare, first)]
    others.append(dataclasses.replace(others[1], curve=dataclasses.replace(others[1].curve, model="another")))
    group = group_of(*others)
    assert len(group.drawn().looks) == 2
    assert group.drawn().looks == tuple(look_of(number) for number in range(2))
    shown = words(curve_scene(others))
    assert "no scale" not in shown
    assert "half" not in shown


def test_a_bracket_is_a_bar_with_its_witness_or_an_arrow(readings):
    group = group_of(*(reading for name, reading in readings.items() if name != "tiny-text"))
    scene = bracket_scene(group, lambda path: path.as_posix())
    assert [
        text for text in words(scene) if text in ("0: nothing in front", "not reached by 4", "at most 1 token")
    ] == ["0: nothing in front", "not reached by 4", "at most 1 token"]
    ticks = {label.text: label.place[0] for label in scene.shapes if isinstance(label, Label) and label.text.isdigit()}
    half, nine = marks(scene, "tiny-mazes-locked-1")
    assert half.place[0] == nine.place[0] == pytest.approx(ticks["1"])
    assert (half.marker, nine.marker) == ("circle", "square")
    assert half.href == "results/pathfinding/tiny-mazes-locked-1/run-1t-s0.json"
    assert [mark.place[0] for mark in marks(scene, "tiny-mazes")] == pytest.approx([ticks["0"]] * 2)
    for mark in marks(scene, "tiny-mazes-absent"):
        assert mark.marker == "right"
        assert mark.place[0] > ticks["4"]
        assert not mark.filled
    doubts = [shape for shape in scene.shapes if isinstance(shape, Mark) and not shape.title and shape.size < 3]
    assert ticks["4"] in [pytest.approx(mark.place[0]) for mark in doubts]


@pytest.mark.parametrize("curves", [1, TOGETHER, TOGETHER + 1, 14])
def test_above_six_curves_each_has_a_panel(curves, readings):
    reading = readings["tiny-mazes-strict-3"]
    many = [
        dataclasses.replace(reading, curve=dataclasses.replace(reading.curve, model=f"owner/model-{at}-{'x' * 40}"))
        for at in range(curves)
    ]
    group = group_of(*many)
    panels = curves if curves > TOGETHER else 1
    assert len(share_scenes(group)) == len(loss_scenes(group)) == panels
    for scene in (*share_scenes(group), *loss_scenes(group), bracket_scene(group), bracket_scene(group, width=960)):
        assert collisions(scene) == []
    assert collisions(curve_scene(many)) == []


def test_no_name_lies_on_another_whatever_the_readings_hold(readings):
    assert collisions(curve_scene(list(readings.values()))) == []
    reading = readings["tiny-mazes-locked-1"]
    assert reading.deed is not None
    assert reading.loss is not None
    assert reading.loss.ceiling is not None
    near = dataclasses.replace(reading.loss, floor=reading.loss.ceiling._replace(kind="frequencies", value=0.11))
    bracket = Bracket(0.5, "shown", 1_024, 65_536, (2_048, 4_096, 8_192, 16_384, 32_768))
    crowded = dataclasses.replace(
        reading,
        curve=dataclasses.replace(reading.curve, model="W" * 90),
        points=tuple(reading.points[1]._replace(tokens=tokens) for tokens in (0, 1, 2, 3, 4, 5, 8, 1_024, 65_536)),
        deed=dataclasses.replace(reading.deed, half=bracket),
        loss=near,
    )
    assert collisions(curve_scene([crowded, readings["tiny-mazes"]])) == []


def test_the_measure_of_collisions_sees_one():
    """It would else pass whatever is drawn."""
    label = Label((10, 20), "one name", size=11)
    apart, on = dataclasses.replace(label, place=(10, 34)), dataclasses.replace(label, place=(40, 24), text="another")
    assert collisions(Scene("a", "", 200, 50, [label, apart])) == []
    assert collisions(Scene("a", "", 200, 50, [label, on])) == ["another on one name"]
    assert collisions(Scene("a", "", 40, 50, [label])) == ["one name outside"]


def test_points_without_a_value_are_borne(readings):
    reading = readings["tiny-mazes"]
    points = tuple(point._replace(value=None if point.tokens else point.value) for point in reading.points)
    with pytest.raises(InputError, match="no result has values at two token counts"):
        curve_scene([dataclasses.replace(reading, points=points)])
    some = tuple(point._replace(stderr=None, gain=None) for point in reading.points)
    (scene,) = loss_scenes(group_of(dataclasses.replace(reading, points=some)))
    assert not [text for text in words(scene) if text.startswith("change")]


def test_a_notebook_shows_the_same_scene(readings):
    figure = curve_figure(list(readings.values()))
    scene = curve_scene(list(readings.values()))
    assert figure._repr_png_().startswith(b"\x89PNG")  # pyright: ignore
    assert figure.get_size_inches() * 72 == pytest.approx((scene.width, scene.height))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == words(scene)


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_the_file_is_of_the_kind_that_its_name_says(suffix, start, readings, tmp_path):
    path = tmp_path / "new folder" / f"curve.{suffix}"
    before = dict(matplotlib.rcParams)
    write_figure(list(readings.values()), path)
    assert path.read_bytes().startswith(start)
    assert dict(matplotlib.rcParams) == before
