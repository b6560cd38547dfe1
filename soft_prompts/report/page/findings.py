"""What does the page say of activations and vectors? The sentences of each finding, and its largest figures."""

from collections.abc import Sequence
from dataclasses import dataclass

from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.figures.findings import scenes_of
from soft_prompts.report.page.table import Cell, Links, Table, heads, number
from soft_prompts.report.text import count_text
from soft_prompts.results.findings import Finding
from soft_prompts.stats.bootstrap import Interval

TITLES = {
    "fit": "Vectors made",
    "eval": "What vectors do, beside their controls",
    "activations": "What differs inside, and what matters",
    "tokens": "Vectors in soft tokens",
    "items": "Vectors on the items of soft prompts",
    "concepts": "Concepts",
    "experiment": "Compared",
}
SHOWN = 20  # components of a table


@dataclass(frozen=True)
class FindingEntry:
    """One finding on the page."""

    title: str
    about: str
    href: str
    says: tuple[str, ...]
    tables: tuple[Table, ...]
    figures: tuple[Scene, ...] = ()


def entries(findings: Sequence[Finding], links: Links) -> tuple[FindingEntry, ...]:
    """In the order of the files."""
    return tuple(_entry(one, links) for one in findings)


def _entry(found: Finding, links: Links) -> FindingEntry:
    name = f"{found.path.name.split('.')[0]}: " if found.path else ""
    about = f"{name}{found.model}, {found.data}, {count_text(found.n, 'item')}, seed {found.seed}"
    tables = {"eval": _arms, "activations": _components}.get(found.kind)
    href = links.to(found.path) if found.path else ""
    return FindingEntry(
        TITLES[found.kind], about, href, found.says, (tables(found),) if tables else (), scenes_of(found)
    )


def _arms(found: Finding) -> Table:
    """Accuracy of every arm, a row a class."""
    classes = found.figures["classes"]
    arms = list(dict.fromkeys(name for one in classes for name in one["arms"]))
    columns = heads("*class", "layer", "strength", *arms)
    rows = tuple(
        (
            Cell(one["class"]),
            number(one["layer"]),
            number(one["strength"]),
            *(_accuracy(one["arms"].get(name)) for name in arms),
        )
        for one in classes
    )
    return Table(
        "Accuracy of every arm",
        "Test items; 95 % intervals over groups, and over vectors where there are several.",
        columns,
        rows,
    )


def _accuracy(arm: dict | None) -> Cell:
    if arm is None:
        return number(None)
    found = Interval(*arm["accuracy"])
    return number(found.value, found.text)


def _components(found: Finding) -> Table:
    """Those that were patched, largest share first."""
    patched = [row for row in found.figures["components"] if row["share"] is not None]
    best = sorted(patched, key=lambda row: -abs(row["share"]))[:SHOWN]
    columns = heads("*component", "position", "share", "gradient", "root mean square", "p")
    rows = tuple(
        (
            Cell(row["component"]),
            number(row["position"]),
            *(
                number(row[name], None if row[name] is None else f"{row[name]:.3g}")
                for name in ("share", "gradient", "root_mean_square", "p")
            ),
        )
        for row in best
    )
    return Table("Components that were patched", "Positions count from the last token, 0.", columns, rows)
