"""Which choices does a name or a path stand for? Embedded worlds by name, files and folders by their layout."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from soft_prompts.common.errors import InputError, UsageError, near_match
from soft_prompts.data.functions.choices import KINDS, land_lines, neutral_lines
from soft_prompts.steering.data.choices import Choice, Choices, checked, read_choices
from soft_prompts.steering.data.importers import Imported, named_files, read_caa, read_function_pairs, read_machiavelli

Layout = Literal["choices", "caa", "functions", "machiavelli"]
FOLDERS = {
    "functions": "a JSON list of input and output for each function",
    "machiavelli": "scenes.json, tree.json and annotations.json",
}
EMBEDDED = {f"lands-{kind}": kind for kind in KINDS}


def find_choices(name: str, layout: Layout = "choices", label: str | None = None, seed: int = 0) -> Imported:
    """Choices, and what was left out of them, by reason; raises UsageError or InputError in one line."""
    if name in EMBEDDED:
        return Imported(land_choices(EMBEDDED[name], seed), {})
    path = Path(name)
    if not path.exists():
        known = list(EMBEDDED)
        raise InputError(f"{name} does not exist; {near_match(name, known)}give {', '.join(known)}, or a path")
    if layout in FOLDERS and not path.is_dir():
        raise InputError(f"{name} is a file; --layout {layout} reads a folder with {FOLDERS[layout]}")
    readers: dict[str, Callable[[], Imported]] = {
        "choices": lambda: Imported(read_choices(path), {}),
        "caa": lambda: read_caa(path),
        "functions": lambda: read_function_pairs(dict(named_files(path)), seed),
        "machiavelli": lambda: read_machiavelli(path, _needed(label)),
    }
    return readers[layout]()


def land_choices(kind: str, seed: int = 0) -> Choices:
    """The embedded world's."""
    lines = land_lines(kind, seed)
    items = [Choice(one["prompt"], one["options"], one["group"], None, one["cues"], one["split"]) for one in lines]
    return checked(Choices(tuple(items), f"lands-{kind}"))


def neutral_texts(path: Path | None, data: str) -> list[str]:
    """Lines of a file; for the embedded world its own sentences; else none."""
    if path is None:
        return neutral_lines() if data in EMBEDDED else []
    try:
        lines = [line for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; give a text file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 (byte {error.start + 1}); save the text as UTF-8") from error
    if not lines:
        raise InputError(f"{path} holds no line of text; give sentences, or leave --neutral out")
    return lines


def _needed(label: str | None) -> str:
    if label is None:
        raise UsageError("a Machiavelli folder needs --label, the annotation that tells the classes apart")
    return label
