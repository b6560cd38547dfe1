"""What does the doctor say? Facts, a line each, and findings: what is wrong and what to do."""

from collections.abc import Sequence
from typing import NamedTuple


class Report(NamedTuple):
    """What one look found."""

    facts: Sequence[str] = ()
    findings: Sequence[str] = ()
    """Each what is wrong, a semicolon, and what to do."""


def gigabytes(size: int | float) -> str:
    """`0.35 GB`, `24.1 GB`, `140 GB`."""
    found = size / 1e9
    return f"{found:.2f} GB" if found < 1 else f"{found:.1f} GB" if found < 100 else f"{found:.0f} GB"
