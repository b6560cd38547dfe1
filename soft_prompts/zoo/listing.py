"""What can each embedded model do, in a few lines of a terminal? Its card, shortened; README.md is the whole card."""

import json
from pathlib import Path
from textwrap import TextWrapper
from typing import Any

from soft_prompts.common.errors import UsageError, near_match
from soft_prompts.zoo import EMBEDDED

INDENT = "    "


def listing(names: tuple[str, ...], width: int) -> str:
    """All models shortened where `names` is empty, else the whole cards; raises UsageError for another name."""
    for name in names:
        if name not in EMBEDDED:
            raise UsageError(f"model is {name}; {near_match(name, list(EMBEDDED))}give one of {', '.join(EMBEDDED)}")
    if names:
        return "\n".join(f"{EMBEDDED[name]}\n\n{(EMBEDDED[name] / 'README.md').read_text()}" for name in names)
    shortened = [short_card(name, folder, width) for name, folder in EMBEDDED.items()]
    return "\n\n".join([*shortened, "A model's whole card: soft-prompts models NAME"])


def short_card(name: str, folder: Path, width: int) -> str:
    """Name and size, the first sentence on what the model does, and a line or two for each measure."""
    card = json.loads((folder / "card.json").read_text())
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    parameters = card["training"]["parameters"] / 1e6
    lines = [f"{name} ({parameters:.2f} M parameters, {megabytes:.1f} MB)"]
    lines += _wrapped(card["what"].split(". ")[0].rstrip(".") + ".", width, "")
    for measure, figure in card["measured"].items():
        lines += _wrapped(f"{_words(measure)}: {_figures(figure)}", width, "- ")
    return "\n".join(lines)


def _wrapped(text: str, width: int, bullet: str) -> list[str]:
    further = INDENT + " " * len(bullet)
    return TextWrapper(width, INDENT + bullet, further, break_on_hyphens=False).wrap(text)


def _figures(figure: dict[str, Any]) -> str:
    """A value with its standard error, or the values of a table in one row."""
    if "value" in figure:
        error = f" ± {figure['stderr']:.3f}" if "stderr" in figure else ""
        return f"{figure['value']:.3f}{error}"
    cells = [
        f"{_words(name)} {inner['value']:.3f}" if "value" in inner else f"{_words(name)} ({_figures(inner)})"
        for name, inner in figure.items()
    ]
    return ", ".join(cells)


def _words(name: str) -> str:
    return name.replace("_", " ")
