"""How do our losses a token lie beside the published ones of the same model, task and data?"""

import dataclasses

from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.readings import Reading
from soft_prompts.report.drawing.layout import stacked
from soft_prompts.report.drawing.panels import Datum, Panel, Series, legend, look_of
from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.figures.curves import INTERVAL
from soft_prompts.report.figures.groups import Group
from soft_prompts.report.page.paper import Published, paper, published
from soft_prompts.report.page.table import Links
from soft_prompts.report.text import count_text, value_text


def paper_scene(group: Group, links: Links) -> Scene | None:
    """None where no curve has a published one."""
    series: list[Series] = []
    for reading, name in zip(group.readings, group.names, strict=True):
        theirs = published(reading.curve)
        ours = _ours(reading, name, links)
        if theirs is not None and ours:
            series.append(Series(f"{name}, here", look_of(len(series)), ours))
            look = look_of(len(series))._replace(dash=(4, 3))
            series.append(Series(f"{name}, published", look, _theirs(name, theirs)))
    if not series:
        return None
    panel = Panel(f"{group.place}-paper", f"{group.title}, beside the paper", "nats per token", tuple(series))
    scene = panel.scene()
    names = legend([(one.name, one.look) for one in series], scene.width)
    return dataclasses.replace(stacked([names, scene]), name=scene.name, title=scene.title)


def _theirs(name: str, found: Published) -> tuple[Datum, ...]:
    data = []
    for tokens, loss, stderr in found.points:
        title = f"{name}, {count_text(tokens, 'token')}, published: {value_text(loss)} ({paper().source})"
        data.append(Datum(tokens, loss, loss - INTERVAL * stderr, loss + INTERVAL * stderr, (), title, ""))
    return tuple(data)


def _ours(reading: Reading, name: str, links: Links) -> tuple[Datum, ...]:
    found = [(point.tokens, [run for run in reading.runs if run.tokens == point.tokens]) for point in reading.points]
    return tuple(datum for tokens, runs in found if (datum := _mean(tokens, runs, name, links)) is not None)


def _mean(tokens: int, runs: list[Run], name: str, links: Links) -> Datum | None:
    """The mean of the seeds, as the paper's curves are."""
    metrics = [metric for run in runs if (metric := run.result.metrics.get("test_loss")) is not None]
    values = [metric.value for metric in metrics if metric.value is not None]
    if not values:
        return None
    mean, spread = sum(values) / len(values), INTERVAL * (metrics[0].stderr or 0.0)
    title = f"{name}, {count_text(tokens, 'token')}: {value_text(mean)}"
    return Datum(tokens, mean, mean - spread, mean + spread, tuple(values), title, links.to(runs[0].path))
