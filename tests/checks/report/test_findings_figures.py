"""Do pictures of what was found in activations show their numbers, each at its place, and no name on another?"""

from pathlib import Path
from typing import Any

import pytest

from soft_prompts.report.drawing.dots import TICKS, Dot, Row, dots_scene
from soft_prompts.report.drawing.panels import look_of
from soft_prompts.report.drawing.scene import Area, Cloud, Label, Mark, Scene, Stroke
from soft_prompts.report.figures.arms import ARMS
from soft_prompts.report.figures.findings import scenes_of
from soft_prompts.results.findings import Finding, find_findings
from tests.checks.made.text_boxes import collisions

REFERENCE = Path(__file__).parents[3] / "results" / "reference"


def made(kind: Any, figures: dict[str, Any]) -> tuple[Scene, ...]:
    return scenes_of(Finding(kind, "m", "d", 1, 0, figures))


def words(scene: Scene) -> list[str]:
    return [shape.text for shape in scene.shapes if isinstance(shape, Label)]


def marks(scene: Scene) -> list[Mark]:
    return [shape for shape in scene.shapes if isinstance(shape, Mark) and shape.title]


def shares(scene: Scene, x: list[float]) -> list[float]:
    """What places stand for by the names of the ticks, the first 0 and 1 of the scene."""
    at = {one.text: one.place[0] for one in reversed(scene.shapes) if isinstance(one, Label)}
    return [(one - at["0"]) / (at["1"] - at["0"]) for one in x]


def test_dots_intervals_and_parts_stand_at_their_values() -> None:
    rows = [
        Row("first", (Dot(0.25, 0.125, 0.5, "series-1"),), "a quarter", (0.1, 0.4)),
        Row("b", (Dot(1, None, None, "muted"),)),
    ]
    scene = dots_scene("n", "t", rows, "heading", "share")
    stamps = [shape.place[0] for shape in scene.shapes if isinstance(shape, Mark)]
    assert shares(scene, stamps) == pytest.approx([0.25, 1.0])
    (line,) = [shape for shape in scene.shapes if isinstance(shape, Stroke) and shape.role == "series-1"]
    assert shares(scene, [x for x, _ in line.places]) == pytest.approx([0.125, 0.5])
    (cloud,) = [shape for shape in scene.shapes if isinstance(shape, Cloud)]
    assert shares(scene, [x for x, _ in cloud.places]) == pytest.approx([0.1, 0.4])
    assert set(words(scene)) == {"heading", "share", "first", "b", "a quarter", *(tick.name for tick in TICKS)}


def arm(value: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"accuracy": [value, low, high]}


def eval_figures(names: tuple[str, ...] = ("one", "two")) -> dict[str, Any]:
    together = {"none": arm(0.1, 0.0, 0.2), "vector": arm(0.9, 0.8, 1.0), "prompt": arm(1.0, 1.0, 1.0)}
    classes = [
        {"class": name, "arms": {"none": arm(0.1), "vector": arm(0.8 + 0.2 * n)}} for n, name in enumerate(names)
    ]
    return {"together": together, "classes": classes}


def test_every_arm_has_its_accuracy_interval_and_classes() -> None:
    (scene,) = made("eval", eval_figures())
    drawn = marks(scene)
    assert [mark.title for mark in drawn] == [
        "vector: .90 [.80, 1.00]",
        "prompt: 1.00 [1.00, 1.00]",
        "none: .10 [.00, .20]",
    ]
    assert [mark.role for mark in drawn] == [ARMS[name] for name in ("vector", "prompt", "none")]
    assert shares(scene, [mark.place[0] for mark in drawn]) == pytest.approx([0.9, 1.0, 0.1])
    clouds = [shape for shape in scene.shapes if isinstance(shape, Cloud)]
    assert [shares(scene, [x for x, _ in cloud.places]) for cloud in clouds] == [
        pytest.approx([0.8, 1.0]),
        pytest.approx([0.1, 0.1]),
    ]
    (single,) = made("eval", eval_figures(("one",)))
    assert not [shape for shape in single.shapes if isinstance(shape, Cloud)]
    assert "accuracy on test items of one, 95 % intervals" in words(single)


def edited_figures() -> dict[str, Any]:
    def model(name: str, answers: float, led: float, cosine: float) -> dict[str, Any]:
        return {
            "model": name,
            "answers_as_function": {"nickname": [answers, answers / 2, answers], "function": [1.0, 1.0, 1.0]},
            "led_elsewhere": {"nickname": [led, None, None], "function": [0.75, 0.5, 1.0]},
            "cosine": cosine,
            "others_answer": 0.875,
            "others_led": 0.25,
        }

    names = {"nickname": "Zop", "function": "king", "elsewhere": "song", "layer": 3, "strength": 0.5}
    return {**names, "models": [model("base", 0.0, 0.5, -0.5), model("edited", 1.0, 0.625, 0.875)]}


def test_nickname_function_and_others_stand_in_every_model_without_and_with_steering() -> None:
    (scene,) = made("experiment", edited_figures())
    drawn = marks(scene)
    assert [mark.title.split(":")[0] for mark in drawn] == (["base"] * 3 + ["edited"] * 3) * 2
    expected = [0.0, 1.0, 0.875, 1.0, 1.0, 0.875, 0.5, 0.75, 0.25, 0.625, 0.75, 0.25]
    assert shares(scene, [mark.place[0] for mark in drawn]) == pytest.approx(expected)  # both panels are flush
    assert len({(mark.role, mark.marker) for mark in drawn}) == 3
    assert {"Zop", "king", "cosine .88", "led from king to song at layer 3, strength 0.5"} <= set(words(scene))
    assert made("experiment", {"cosines": {}}) == ()


def worth_figures() -> dict[str, Any]:
    readings = [
        {
            "measure": measure,
            "steps": steps,
            "vector": [0.5, 0.25, 0.75],
            "prompts": {"0": [0.0, None, None], "1": [0.5, 0.4, 0.6], "15": [1.0, 0.9, 1.0]},
        }
        for measure in ("accuracy", "log_probability")
        for steps in (40, 80)
    ]
    runs = [
        {"class": "one", "tokens": 15, "steps": 80, "seed": n, "accuracy": 0.9 + 0.1 * n, "log_probability": 0.9}
        for n in range(3)
    ]
    return {"verdicts": [{"class": "one", "verdict": "at most 1 token", "readings": readings}], "runs": runs}


def test_prompts_stand_at_their_tokens_and_the_vector_is_a_band() -> None:
    (scene,) = made("tokens", worth_figures())
    assert scene.name == "tokens-one"
    first = [mark for mark in marks(scene) if mark.role == look_of(1).role][:3]  # the longer budget, by accuracy
    across, down = ([mark.place[axis] for mark in first] for axis in (0, 1))
    assert (across[2] - across[0]) / (across[1] - across[0]) == pytest.approx(4)  # log2(16) of log2(2)
    assert (down[1] - down[0]) / (down[2] - down[0]) == pytest.approx(0.5)
    bands = [shape for shape in scene.shapes if isinstance(shape, Area) and shape.role == "series-3"]
    assert len(bands) == 2
    unit = down[2] - down[0]
    assert sorted({(y - down[0]) / unit for _, y in bands[0].places}) == pytest.approx([0.25, 0.75])
    (seeds,) = [shape for shape in scene.shapes if isinstance(shape, Cloud) and len({y for _, y in shape.places}) > 1]
    assert [(y - down[0]) / unit for _, y in seeds.places] == pytest.approx([0.9, 1.0, 1.1])
    assert {"one: at most 1 token", "prompts of 40 steps", "prompts of 80 steps"} <= set(words(scene))
    older = worth_figures()
    older["verdicts"][0]["readings"][0].pop("prompts")
    assert made("tokens", older) == ()


def test_cells_and_lines_are_as_strong_as_cosines() -> None:
    cosines = [[1.0, 0.5, -0.25], [0.5, 1.0, 0.0], [-0.25, 0.0, 1.0]]
    (scene,) = made("concepts", {"classes": ["a", "b", "c"], "layers": [{"layer": 1, "cosines": cosines}]})
    cells = [shape for shape in scene.shapes if isinstance(shape, Area) and shape.role != "rule"]
    assert sorted((cell.role, cell.opacity) for cell in cells) == [
        ("series-1", 0.5),
        ("series-2", 0.0),
        ("series-2", 0.25),
    ]
    lines = sorted((line.width, line.role) for line in scene.shapes if isinstance(line, Stroke))
    assert lines == [(0.0, "series-2"), (2.0, "series-2"), (4.0, "series-1")]
    assert "as lines; widest: a and b, .50" in words(scene)


def many(count: int) -> list[tuple[Scene, ...]]:
    """Names as long as they come."""
    names = [f"{'WM' * 20}-{number}" for number in range(count)]
    cosines = [[1.0 if a == b else -0.1 for a in range(count)] for b in range(count)]
    edited, worth = edited_figures(), worth_figures()
    edited |= {
        "nickname": names[0],
        "function": names[0],
        "models": [{**edited["models"][0], "model": one} for one in names],
    }
    worth["verdicts"] = [{**worth["verdicts"][0], "class": one} for one in names]
    return [
        made("concepts", {"classes": names, "layers": [{"layer": 0, "cosines": cosines}]}),
        made("eval", eval_figures(tuple(names))),
        made("experiment", edited),
        made("tokens", worth),
    ]


@pytest.mark.parametrize("count", [2, 6, 7, 8, 9, 10, 11, 12, 13, 40])
def test_no_name_lies_on_another_however_many_there_are(count: int) -> None:
    for scenes in many(count):
        for scene in scenes:
            assert collisions(scene) == [], scene.name


def test_every_picture_of_the_stored_findings_is_there_and_legible() -> None:
    folders = [REFERENCE / "steering", REFERENCE / "real" / "steering"]
    drawn = {found.path: scenes_of(found) for found in find_findings(folders)}
    for path, scenes in drawn.items():
        for scene in scenes:
            assert collisions(scene) == [], scene.name
            if path is not None and "real" not in path.parts:
                assert path.with_name(f"{scene.name}.png").stat().st_size > 10_000
    names = {scene.name for scenes in drawn.values() for scene in scenes}
    assert names >= {"eval-mean", "eval-mean-strength", "edited", "concepts", "tokens-capital", "activations-told"}
