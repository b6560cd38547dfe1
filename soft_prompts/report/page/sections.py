"""What does the page say of one experiment? Curves, distances, controls, items and texts of the readings that belong
together."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from soft_prompts.analysis.readings import Reading
from soft_prompts.report.drawing.charts import Chart, Look, swatch
from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.labels import unit_text
from soft_prompts.report.page.distances import DistanceRow, distance_row, sentence, summary
from soft_prompts.report.page.evidence import evidence_tables
from soft_prompts.report.page.generations import Gallery, gallery
from soft_prompts.report.page.items import Unlocked, unlocked
from soft_prompts.report.page.losses import looks_of, loss_chart, names_of, paper_chart, share_caption, share_chart
from soft_prompts.report.page.paper import paper
from soft_prompts.report.page.table import Links, Table
from soft_prompts.report.page.text import anchor_id, count_text, listed, plain_name


@dataclass(frozen=True)
class Drawn:
    """A figure on the page: along token counts, and along trained parameters where it can be drawn so."""

    heading: str
    caption: str
    tokens: Scene
    parameters: Scene | None = None
    files: tuple[Scene, ...] = ()
    """The same with title and legend, to stand alone."""


@dataclass(frozen=True)
class Entry:
    """A curve's name and look, and its distance in words."""

    name: str
    look: Look
    words: str
    admissible: bool

    @property
    def swatch(self) -> Markup:
        return swatch(self.look).inline()


@dataclass(frozen=True)
class Section:
    place: str
    """Its name in addresses."""
    title: str
    about: str
    summary: str
    entries: tuple[Entry, ...]
    figures: tuple[Drawn, ...]
    rows: tuple[DistanceRow, ...]
    unit: str
    tables: tuple[Table, ...]
    unlocked: tuple[Unlocked, ...]
    galleries: tuple[Gallery, ...]
    caveats: tuple[str, ...]
    """Of the paper, where its curves are shown."""
    warnings: tuple[str, ...]


def section(members: Sequence[Reading], links: Links) -> Section:
    first = members[0].curve
    place = anchor_id(first.experiment, first.metric if first.metric != first.headline else None)
    names, looks = names_of(members), looks_of(members)
    charts = _figures(members, place, links)
    triples = list(zip(members, names, looks, strict=True))
    found = [one for reading, name, look in triples if (one := unlocked(reading, name, look, links))]
    galleries = [one for reading, name, _ in triples if (one := gallery(reading, name, links))]
    entries = [
        Entry(name, look, sentence(reading), reading.distance is not None and reading.distance.admissible)
        for reading, name, look in triples
    ]
    with_paper = any(chart.heading == PAPER for chart in charts)
    return Section(
        place,
        plain_name(first.experiment).capitalize(),
        _about(members),
        summary(members, names),
        tuple(entries),
        tuple(charts),
        tuple(distance_row(reading, name, links) for reading, name in zip(members, names, strict=True)),
        unit_text(first.unit),
        evidence_tables(members, names, links),
        tuple(found),
        tuple(galleries),
        tuple(paper().caveats_of(first.experiment)) if with_paper else (),
        tuple(f"{name}: {text}" for reading, name, _ in triples for text in reading.curve.warnings),
    )


PAPER = "Beside the published curve"


def _figures(members: Sequence[Reading], place: str, links: Links) -> list[Drawn]:
    metric = plain_name(members[0].curve.metric).capitalize()
    loss_caption = "Mean of the seeds on held-out items, with 95 % bands; dots are seeds."
    if any(len(point.seeds) < 2 for reading in members for point in reading.curve.curve if point.tokens):
        loss_caption = "Held-out items, with 95 % bands over items (one seed)."
    drawn = [
        _drawn(metric, loss_caption, loss_chart(members, place, links)),
        _drawn("Share of the gap closed", share_caption(members), share_chart(members, place, links)),
        _drawn(PAPER, f"Published: {paper().source}.", paper_chart(members, place, links), by_parameters=False),
    ]
    return [one for one in drawn if one is not None]


def _drawn(heading: str, caption: str, chart: Chart | None, by_parameters: bool = True) -> Drawn | None:
    if chart is None:
        return None
    has_parameters = by_parameters and any(datum.parameters for one in chart.series for datum in one.data)
    if any(one.best for one in chart.series):
        caption += " Dotted: the best prompt of at most so many tokens, as the distance takes it."
    if chart.extras:
        names = dict.fromkeys(extra.title.split(",")[0] for extra in chart.extras)
        caption += f" Hollow: untrained, {listed(list(names))}."
    axes = ("tokens", "parameters") if has_parameters else ("tokens",)
    return Drawn(
        heading,
        caption,
        chart.scene("tokens"),
        chart.scene("parameters") if has_parameters else None,
        tuple(chart.scene(along, header=True) for along in axes),
    )


def _about(members: Sequence[Reading]) -> str:
    """What was measured: metric, data, models, items and seeds."""
    first = members[0].curve
    data = listed(list(dict.fromkeys(reading.curve.data for reading in members)))
    models = list(dict.fromkeys(reading.curve.model for reading in members))
    tested = (run.result.data.test_samples for reading in members for run in reading.runs)
    samples = [count for count in tested if count is not None]
    items = ""
    if samples:
        least, most = min(samples), max(samples)
        items = f", {least:,} items" if least == most else f", {least:,} to {most:,} items"
    runs = sum(len(reading.runs) for reading in members)
    measured = f"{plain_name(first.metric).capitalize()} ({unit_text(first.unit)})" if first.unit else first.metric
    return f"{measured} on held-out {data}{items}. {count_text(runs, 'run')} of {listed(models)}."
