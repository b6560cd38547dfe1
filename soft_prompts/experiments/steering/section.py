"""What does a part of the experiment give back?"""

from typing import Any, NamedTuple

from soft_prompts.results.findings import Kind


class Section(NamedTuple):
    """A finding without its header."""

    name: str
    kind: Kind
    data: str
    n: int
    figures: dict[str, Any]
    says: list[str]
    title: str
