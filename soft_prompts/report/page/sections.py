"""What does the page say of one experiment? Its sentences and figures in the open, all that they rest on in folds."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from soft_prompts.report.drawing.forest import WIDE
from soft_prompts.report.drawing.panels import Look, swatch
from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.figures.curves import bracket_scene, loss_scenes, no_scale_names, share_scenes
from soft_prompts.report.figures.groups import TOGETHER, Group, has_scale
from soft_prompts.report.labels import unit_text
from soft_prompts.report.page.beside import paper_scene
from soft_prompts.report.page.evidence import evidence_tables
from soft_prompts.report.page.generations import Gallery, gallery
from soft_prompts.report.page.grid import place_of, tone
from soft_prompts.report.page.items import Unlocked, unlocked
from soft_prompts.report.page.paper import paper
from soft_prompts.report.page.points import points_table, prompts_table
from soft_prompts.report.page.table import Links, Table
from soft_prompts.report.text import count_text, listed, plain_name


@dataclass(frozen=True)
class Drawn:
    """One or several scenes, under a heading where they have one."""

    heading: str
    caption: str
    scenes: tuple[Scene, ...]
    kind: Literal["one", "many", "wide"] = "one"
    """`many`: a panel a curve; `wide`: the second scene is the first one for a narrow window."""
    folded: bool = False
    """Is it shown where it is asked for?"""


@dataclass(frozen=True)
class Entry:
    """A curve's look, what is known of it, and the command that would tell more."""

    place: str
    name: str
    look: Look
    word: str
    sentence: str
    next_command: str

    @property
    def swatch(self) -> Markup:
        return swatch(self.look).inline()

    @property
    def tone(self) -> str:
        """Its class of the style sheet."""
        return tone(self.word)


@dataclass(frozen=True)
class Section:
    place: str
    """Its name in addresses."""
    title: str
    about: str
    entries: tuple[Entry, ...]
    figures: tuple[Drawn, ...]
    tables: tuple[Table, ...]
    evidence: tuple[Table, ...]
    unlocked: tuple[Unlocked, ...]
    galleries: tuple[Gallery, ...]
    paper: Drawn | None
    notes: tuple[str, ...]
    """Warnings of the curves, and what was left out or chosen for them."""

    def scenes(self) -> list[Scene]:
        """Those that are worth a file."""
        wide = [drawn.scenes[0] for drawn in self.figures if drawn.kind == "wide"]
        others = [scene for drawn in self.figures if drawn.kind != "wide" for scene in drawn.scenes]
        return [*others, *wide, *(found.scene for found in self.unlocked), *(self.paper.scenes if self.paper else ())]


def section(group: Group, links: Links) -> Section:
    named = list(zip(group.readings, group.names, strict=True))
    triples = list(zip(group.readings, group.names, group.looks, strict=True))
    items = [one for reading, name, look in triples if (one := unlocked(reading, name, look, links))]
    galleries = [one for reading, name in named if (one := gallery(reading, name, links))]
    tables = (points_table(named, links), prompts_table(named, links))
    return Section(
        group.place,
        plain_name(group.readings[0].curve.experiment).capitalize(),
        _about(group),
        tuple(_entries(group)),
        tuple(_figures(group, links)),
        tuple(table for table in tables if table.rows),
        evidence_tables(named, links),
        tuple(items),
        tuple(galleries),
        _paper(group, links),
        tuple(f"{name}: {text}" for reading, name in named for text in (*reading.curve.warnings, *reading.notes)),
    )


def _entries(group: Group) -> Iterable[Entry]:
    parts = zip(group.readings, group.names, group.looks, strict=True)
    for number, (reading, name, look) in enumerate(parts):
        verdict = reading.verdict
        place = place_of(group, number)
        yield Entry(place, name, look, verdict.word, verdict.sentence, verdict.next_command or "")


def _figures(group: Group, links: Links) -> Iterable[Drawn]:
    shares, losses = share_scenes(group, links.to), loss_scenes(group, links.to)
    if shares:
        missing = no_scale_names(group)
        caption = "0 is the floor, 1 the ceiling; 95 % intervals. Hollow: in doubt. An arrow: beyond the axis."
        caption += f" No scale: {listed(missing)}." if missing else ""
        several = len(shares) > 1  # brackets say most, and a page is read from its top
        yield Drawn("Share of the skill", caption, tuple(shares), "many" if several else "one", folded=several)
    if losses:
        heading = plain_name(group.readings[0].curve.metric).capitalize()
        many = len(losses) > 1  # shares and brackets say most
        yield Drawn(
            heading, _loss_caption(many), tuple(losses), "many" if many else "one", folded=many and bool(shares)
        )
    if scaled := sum(map(has_scale, group.readings)):
        caption = "A bar leads from the most tokens found too few to the fewest shown to be enough."
        narrow = bracket_scene(group, links.to)
        if scaled > TOGETHER:
            yield Drawn("Brackets", caption, (bracket_scene(group, links.to, WIDE), narrow), "wide")
        else:
            yield Drawn("Brackets", caption, (narrow,))


def _loss_caption(is_change: bool) -> str:
    if is_change:
        return "Change of the loss from 0 tokens, paired on the same held-out items, with 95 % intervals."
    return "Chosen prompts, 95 % intervals over held-out items; dots are seeds. Below: paired with 0 tokens."


def _paper(group: Group, links: Links) -> Drawn | None:
    scene = paper_scene(group, links)
    if scene is None:
        return None
    caveats = "; ".join(paper().caveats_of(group.readings[0].curve.experiment))
    caption = f"Published: {paper().source}." + (f" Of the published numbers: {caveats}." if caveats else "")
    return Drawn("", caption, (scene,))


def _about(group: Group) -> str:
    """What was measured: metric, data, models, items and runs."""
    first = group.readings[0].curve
    data = listed(list(dict.fromkeys(reading.curve.data for reading in group.readings)))
    models = list(dict.fromkeys(reading.curve.model for reading in group.readings))
    samples = [run.result.data.test_samples for reading in group.readings for run in reading.runs]
    known = sorted({count for count in samples if count is not None})
    items = f", {known[0]:,} items" if len(known) == 1 else f", {known[0]:,} to {known[-1]:,} items" if known else ""
    prompts = sum(len(reading.prompts) for reading in group.readings)
    measured = f"{plain_name(first.metric).capitalize()} ({unit_text(first.unit)})" if first.unit else first.metric
    who = listed(models) if len(models) <= TOGETHER else count_text(len(models), "model")
    return f"{measured} on held-out {data}{items}. {count_text(prompts, 'run')} of {who}."
