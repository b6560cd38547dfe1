"""What stands on the page, and in which order? Everything is text or a figure by the time the template sees it."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.readings import Readings
from soft_prompts.behaviour.comparison.finding import Comparison
from soft_prompts.common.errors import InputError
from soft_prompts.report.behaviour.section import BehaviourSection, behaviour_section
from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.figures.groups import groups_of
from soft_prompts.report.page.findings import FindingEntry, entries
from soft_prompts.report.page.grid import Grid, grid_of, said
from soft_prompts.report.page.sections import Section, section
from soft_prompts.report.page.table import Links, Table, runs_table
from soft_prompts.report.text import count_text, visible
from soft_prompts.results.findings import Finding


@dataclass(frozen=True)
class Document:
    subtitle: str
    grid: Grid
    sections: tuple[Section, ...]
    runs: Table
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    behaviours: tuple[BehaviourSection, ...] = ()
    findings: tuple[FindingEntry, ...] = ()

    def figures(self) -> list[Scene]:
        """Those that stand alone in files."""
        scenes = [scene for one in (*self.sections, *self.behaviours) for scene in one.scenes()]
        return [*scenes, *(scene for one in self.findings for scene in one.figures)]


def document(
    readings: Readings, folder: Path, comparisons: Sequence[Comparison] = (), findings: Sequence[Finding] = ()
) -> Document:
    """The page of these, to lie in `folder`; raises InputError where there is none of them."""
    if not (readings.readings or comparisons or findings):
        why = readings.problems[0] if readings.problems else "give files or folders with results"
        raise InputError(f"no result to report: {why}")
    links, groups = Links(folder), groups_of(readings.readings)
    return Document(
        _subtitle(readings),
        grid_of(groups),
        tuple(section(group, links) for group in groups),
        runs_table(readings.results, links),
        readings.problems,
        readings.warnings,
        tuple(map(behaviour_section, comparisons)),
        entries(findings, links),
    )


def _subtitle(readings: Readings) -> str:
    runs: Sequence[Run] = readings.results
    curves = count_text(len(readings.readings), "curve")
    models = count_text(len({reading.curve.model for reading in readings.readings}), "frozen model")
    start = f"{curves} of {models}: {said(readings.readings)}"
    if not runs:
        return start
    days = sorted((run.result.environment.finished or run.result.environment.started)[:10] for run in runs)
    span = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    versions = sorted({run.result.environment.package_version for run in runs})
    return f"{start} · {count_text(len(runs), 'result')} of {span}, soft_prompts {', '.join(versions)}"


def rendered(page: Any, name: str = "page.html.jinja") -> str:
    """The whole page: style, script and figures inside; its policy lets nothing be fetched and nothing else run."""
    return "".join(pieces(page, name))


def pieces(page: Any, name: str = "page.html.jinja") -> Iterator[str]:
    """The page from its first line to its last."""
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
    template = environment.get_template(name)
    return template.generate(page=page, style=Markup(style), script=Markup(script), policy=policy)


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
