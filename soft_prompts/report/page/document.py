"""What stands on the page, and in which order? Everything is text or a figure by the time the template sees it."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from soft_prompts.analysis.drafts import Run
from soft_prompts.analysis.readings import Readings
from soft_prompts.common.errors import InputError
from soft_prompts.report.drawing.forest import NARROW, WIDE, forest_scene
from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.page.distances import forest_groups, verdict
from soft_prompts.report.page.losses import grouped_readings, names_of
from soft_prompts.report.page.sections import Section, section
from soft_prompts.report.page.table import Links, Table, runs_table
from soft_prompts.report.page.text import count_text, visible


@dataclass(frozen=True)
class Tile:
    number: str
    name: str


@dataclass(frozen=True)
class Document:
    subtitle: str
    tiles: tuple[Tile, ...]
    verdict: str
    forest: tuple[Scene, ...]
    """Wide and narrow; none where there is no distance."""
    sections: tuple[Section, ...]
    runs: Table
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    def figures(self) -> list[Scene]:
        """Those that stand alone in files."""
        charts = [scene for one in self.sections for figure in one.figures for scene in figure.files]
        items = [found.scene for one in self.sections for found in one.unlocked]
        return [*self.forest[:1], *charts, *items]


def document(readings: Readings, folder: Path) -> Document:
    """The page of these readings, to lie in `folder`; raises InputError where there is none."""
    runs = readings.results
    if not readings.readings:
        why = readings.problems[0] if readings.problems else "give files or folders with results"
        raise InputError(f"no result to report: {why}")
    links = Links(folder)
    groups = grouped_readings(readings.readings)
    sections = [section(members, links) for members in groups]
    listing = [(members, names_of(members), f"#{one.place}") for members, one in zip(groups, sections, strict=True)]
    rows = forest_groups(listing)
    counts = {point.tokens for reading in readings.readings for point in reading.curve.curve}
    forest = tuple(forest_scene(rows, width, sorted(counts)) for width in (WIDE, NARROW)) if rows else ()
    return Document(
        _subtitle(runs),
        _tiles(readings, runs),
        verdict(readings.readings),
        forest,
        tuple(sections),
        runs_table(runs, links),
        readings.problems,
        readings.warnings,
    )


def _subtitle(runs: Sequence[Run]) -> str:
    versions = sorted({run.result.environment.package_version for run in runs})
    days = sorted((run.result.environment.finished or run.result.environment.started)[:10] for run in runs)
    span = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    return f"soft_prompts {', '.join(versions)} · results of {span}"


def _tiles(readings: Readings, runs: Sequence[Run]) -> tuple[Tile, ...]:
    distances = [reading.distance for reading in readings.readings if reading.distance]
    counts = (
        (len({reading.curve.experiment for reading in readings.readings}), "experiment"),
        (len({run.result.model.name for run in runs}), "frozen model"),
        (len(runs), "result"),
        (len(readings.readings), "curve"),
    )
    tiles = [Tile(f"{count:,}", count_text(count, name).split(" ", 1)[1]) for count, name in counts]
    admissible = sum(distance.admissible for distance in distances)
    return (*tiles, Tile(f"{admissible} of {len(distances)}", "distances admissible"))


def rendered(page: Document) -> str:
    """The whole page: style, script and figures inside; its policy lets nothing be fetched and nothing else run."""
    style, script = (_part(name) for name in ("style.css", "page.js"))
    environment = Environment(
        loader=PackageLoader("soft_prompts.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if isinstance(value, str) else value,
    )
    allowed = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    template = environment.get_template("page.html.jinja")
    return template.render(page=page, style=Markup(style), script=Markup(script), policy=policy)


def _part(name: str) -> str:
    return resources.files("soft_prompts.report.page").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def unique_names(scenes: Iterable[Scene]) -> dict[str, Scene]:
    """A file name for each figure, numbered where two are alike."""
    names: dict[str, Scene] = {}
    for scene in scenes:
        name, number = scene.name, 2
        while name in names:
            name, number = f"{scene.name}-{number}", number + 1
        names[name] = scene
    return names
