"""Which figures show what a vector is worth in soft tokens? Scores of prompts by token count, the vector as a band."""

from collections.abc import Mapping, Sequence
from typing import Any

from soft_prompts.report.drawing.axes import Tick
from soft_prompts.report.drawing.layout import stacked
from soft_prompts.report.drawing.panels import Box, Datum, Level, Look, Panel, Series, legend, look_of
from soft_prompts.report.drawing.scene import DASHES, SERIES, Scene
from soft_prompts.report.text import anchor_id, value_text

MEASURES = {"accuracy": "accuracy on test items", "log_probability": "log-probability of the answer, nats"}
VECTOR = SERIES[2]
SIZE = Box(360.0, 190.0)
SHARES = (-0.05, 1.15)
SHARE_TICKS = (Tick(0, "0"), Tick(0.5, ".5"), Tick(1, "1"))


def worth_scenes(name: str, figures: Mapping[str, Any]) -> list[Scene]:
    """One a vector, a panel a measure, a curve a budget; none for findings without scores by token count."""
    told = [one for one in figures["verdicts"] if all(reading.get("prompts") for reading in one["readings"])]
    return [_scene(f"{name}-{anchor_id(one['class'])}", one, figures["runs"]) for one in told]


def _scene(name: str, told: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> Scene:
    own = [run for run in runs if run["class"] == told["class"]]
    heading = f"{told['class']}: {told['verdict']}"
    panels = [_panel(name, measure, told["readings"], own, heading) for measure in MEASURES]
    title = f"Scores of soft prompts by token count beside the vector of {told['class']}"
    looks = [(series.name, series.look) for series in panels[0].series]
    scene = stacked([panels[0].scene(), panels[1].scene(), legend(looks, SIZE.width)])
    return Scene(name, title, scene.width, scene.height, scene.shapes)


def _panel(
    name: str, measure: str, readings: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]], heading: str
) -> Panel:
    mine = sorted((one for one in readings if one["measure"] == measure), key=lambda one: -one["steps"])
    series = tuple(
        Series(f"prompts of {one['steps']} steps", _look(number, len(mine)), _data(measure, one, runs))
        for number, one in enumerate(mine)
    )
    value, low, high = mine[0]["vector"]
    shares = measure == "accuracy"
    return Panel(
        name,
        heading,
        MEASURES[measure],
        series,
        (Level("the vector", value, VECTOR, low, high),),
        SHARES if shares else None,
        SHARE_TICKS if shares else (),
        heading=heading if shares else "",
        size=SIZE,
    )


def _look(number: int, count: int) -> Look:
    """Budgets often agree: the longest lies whole under the others, which are dashed."""
    return look_of(count - 1 - number)._replace(dash=DASHES[number % len(DASHES)])


def _data(measure: str, reading: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> tuple[Datum, ...]:
    """With the value in the place of ends that are not there."""
    found = []
    for tokens, (value, low, high) in sorted((int(count), ends) for count, ends in reading["prompts"].items()):
        seeds = [run[measure] for run in runs if (run["tokens"], run["steps"]) == (tokens, reading["steps"])]
        ends = (value, value) if low is None or high is None else (low, high)
        found.append(Datum(tokens, value, *ends, tuple(seeds), f"{tokens}: {value_text(value)}", ""))
    return tuple(found)
