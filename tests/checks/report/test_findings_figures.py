"""Do pictures of what was found in activations show their numbers, each at its place, and no name on another?"""

from pathlib import Path
from typing import Any

import pytest

from soft_prompts.report.drawing.dots import TICKS, Dot, Row, dots_scene
from soft_prompts.report.drawing.panels import look_of
from soft_prompts.report.drawing.scene import Area, Cloud, Label, Mark, Scene, Stroke
from soft_prompts.report.figures.arms import ARMS
from soft_prompts.report.figures.findings import scenes_of
from soft_prompts.report.text import MINUS
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


def compared_figures() -> dict[str, dict[str, Any]]:
    """Of each comparison."""
    alike = {"layer": 3, "ratio": 0.0, "intervals": {"patch": [1.0, 0.875, 1.25], "mean": [-0.25, -0.5, 0.0]}}
    told = {"layer": 3, "patch": 1.0, "mean": 0.75, "ratio": 0.75, "verdict": "vector-like"}
    layer = {"layer": 0, "item_patch": 0.5, "model_mean": 2.0, "prompt_mean": -0.5, "cosine": 0.25}
    return {
        "likeness": {"dealt": {**alike, "patch": 1.0, "mean": -0.25, "verdict": "cannot be said: why"}, "told": told},
        "sources": {
            "prompt_accuracy": {"one": 1.0, "two": 0.5},
            "vector_accuracy": {"one": 0.75, "two": 0.25},
            "intervals": {"prompt_accuracy": {"two": [0.5, 0.25, 0.75]}},
            "cosines": {"one and two": [0.5, -0.5]},
            "ranges": {"one and two": [[0.25, 0.75], [-1.0, 0.0]]},
            "layer": 2,
        },
        "taught": {"function": "king", "gap_nats": 2.0, "accuracy": 1.0, "layers": [layer, {**layer, "layer": 1}]},
    }


def lines_of(scene: Scene, mark: Mark) -> list[float]:
    """What the ends of a mark's interval stand for."""
    on = [one for one in scene.shapes if isinstance(one, Stroke) and one.role == mark.role and one.opacity < 1]
    places = next((one.places for one in on if one.places[0][1] == mark.place[1]), [])
    return shares(scene, [x for x, _ in places])


def test_a_mean_stands_beside_each_item_s_own_activation_with_its_interval_on_an_axis_that_holds_both() -> None:
    (scene,) = made("experiment", compared_figures()["likeness"])
    own, mean, *_ = drawn = marks(scene)
    assert shares(scene, [mark.place[0] for mark in drawn]) == pytest.approx([1.0, -0.25, 1.0, 0.75])
    assert lines_of(scene, own) == pytest.approx([0.875, 1.25])
    assert lines_of(scene, mean) == pytest.approx([-0.5, 0.0])
    assert mean.title == f"dealt by item, the mean difference: {MINUS}.25 [{MINUS}.50, .00]"
    assert {"cannot be said", "vector-like", "1 test item, 95 % intervals"} <= set(words(scene))


def test_what_has_no_share_has_its_words_and_no_dot() -> None:
    figures = compared_figures()
    figures["likeness"]["dealt"] |= {"layer": None, "patch": None, "mean": None, "ratio": None, "intervals": None}
    (scene,) = made("experiment", figures["likeness"])
    assert shares(scene, [mark.place[0] for mark in marks(scene)]) == pytest.approx([1.0, 0.75])
    assert {"cannot be said", "vector-like"} <= set(words(scene))


def test_sources_have_accuracies_and_cosines_and_layers_their_three_shares() -> None:
    (scene,) = made("experiment", compared_figures()["sources"])
    above, below = marks(scene)[:4], marks(scene)[4:]
    assert shares(scene, [mark.place[0] for mark in above]) == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert lines_of(scene, above[2]) == pytest.approx([0.25, 0.75])
    assert [mark.title.split(": ")[1] for mark in below] == [".50 [.25, .75]", f"{MINUS}.50 [{MINUS}1.00, .00]"]
    assert {"same function", "one, two", "1.00, .75"} <= set(words(scene))
    (layers,) = made("experiment", compared_figures()["taught"])
    assert shares(layers, [mark.place[0] for mark in marks(layers)]) == pytest.approx([0.5, 2.0, -0.5] * 2)
    assert {"layer 0", "layer 1", "cosine .25"} <= set(words(layers))


def fit_figures(names: tuple[str, ...], layers: int = 2, strengths: tuple[float, ...] = (0.5, 1.0)) -> dict[str, Any]:
    tried = [[layer, strength, 0.25 * (strength == 1), 0.0] for layer in range(layers) for strength in strengths]
    vector = {"layer": 1, "strength": 1.0, "tried": [*tried, [1, 1.0, 0.9, 0.0]], "dev": {"items": 8, "groups": 4}}
    return {"vectors": [{"class": name, **vector} for name in names]}


def test_layers_and_strengths_are_a_map_with_the_chosen_cell_framed() -> None:
    (scene,) = made("fit", fit_figures(("one",)))
    cells = [shape for shape in scene.shapes if isinstance(shape, Area) and shape.role == "series-1"]
    assert [cell.opacity > 0 for cell in cells if cell.opacity] == [True, True]  # of strength 1, at either layer
    assert words(scene).count(".25") == 2
    assert {"one", "layer 1, strength 1", ".25 of 8 dev items, the best of the map"} <= set(words(scene))
    (frame,) = [shape for shape in scene.shapes if isinstance(shape, Stroke) and shape.role == "ink"]
    chosen = next(cell for cell in reversed(cells) if cell.opacity)
    assert list(frame.places)[:4] == list(chosen.places)
    assert made("fit", {"vectors": [{"class": "one", "layer": 0, "strength": 1.0, "tried": []}]}) == ()


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
    compared = compared_figures()
    layer = compared["taught"]["layers"][0]
    compared["taught"] |= {"function": names[0], "layers": [{**layer, "layer": n} for n in range(count)]}
    compared["sources"] |= {part: dict.fromkeys(names, 0.5) for part in ("prompt_accuracy", "vector_accuracy")}
    compared["sources"]["cosines"] = {f"{one} and {names[0]}": [0.5, -0.5] for one in names}
    worth["verdicts"] = [{**worth["verdicts"][0], "class": one} for one in names]
    return [
        made("concepts", {"classes": names, "layers": [{"layer": 0, "cosines": cosines}]}),
        made("eval", eval_figures(tuple(names))),
        made("experiment", edited),
        made("tokens", worth),
        *(made("experiment", figures) for figures in compared.values()),
        made("fit", fit_figures(tuple(names), layers=count)),
        made("fit", fit_figures((names[0],), strengths=tuple(float(n) for n in range(1, count + 1)))),
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
            if path is not None:
                assert path.with_name(f"{scene.name}.png").stat().st_size > 10_000
    names = {scene.name for scenes in drawn.values() for scene in scenes}
    assert names >= {"eval-mean", "eval-mean-strength", "edited", "concepts", "tokens-capital", "activations-told"}
    assert names >= {"likeness", "sources", "taught", "fit-upper", "activations-upper"}
