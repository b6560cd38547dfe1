"""How does one comparison, or a release's gate, become a page of its own?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soft_prompts.behaviour.comparison.finding import Comparison
from soft_prompts.common.files import write_atomically
from soft_prompts.report.behaviour.section import BehaviourSection, behaviour_section
from soft_prompts.report.page.document import rendered
from soft_prompts.report.page.table import Table


@dataclass(frozen=True)
class BehaviourPage:
    """A verdict, tables, and what they rest on."""

    title: str
    verdict: str
    tables: tuple[Table, ...]
    sections: tuple[BehaviourSection, ...]


def write_page(path: Path, title: str, verdict: str, comparison: Comparison, tables: Sequence[Table] = ()) -> None:
    """One file, which needs no network."""
    page = BehaviourPage(title, verdict, tuple(tables), (behaviour_section(comparison),))
    write_atomically(path, rendered(page, "comparison.html.jinja").encode())
