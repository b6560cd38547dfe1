"""On which floor does each package stand, and does it import only from floors below its own?

A package knows nothing of what stands above it or beside it. `soft_prompts/__init__` is the face of the house and
`__main__` its bell: they belong to no floor, and no package imports them.
"""

import ast
import re
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

import pytest

HOUSE = Path(__file__).parents[2] / "soft_prompts"
FLOORS = (  # from the top
    ("commands",),
    ("calibration",),
    ("experiments", "recipes"),
    ("report", "finetuning", "steering"),
    ("training", "behaviour", "exchange"),
    ("engine", "analysis"),
    ("config",),
    ("prompts",),
    ("tasks",),
    ("data", "models"),
    ("results", "zoo"),
    ("common", "stats"),
)
MOST_FILES = 14  # of a folder
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
ROOMS = sorted(FLOOR)
SAYS_WHAT_IT_IMPORTS = r"(never|no|nothing)\b[^.:]*\bimports?\b|\bimports? (no|nothing)\b"


class Arrow(NamedTuple):
    """One import of another package."""

    room: str
    other: str
    where: str
    """File and line, for people."""


def room_of(file: Path, house: Path = HOUSE) -> str:
    """The package or single module under the house that a file belongs to."""
    return file.relative_to(house).parts[0].removesuffix(".py")


def imported(file: Path, house: Path = HOUSE) -> Iterator[tuple[str, int]]:
    """Dotted names of all that a file imports, inside functions too, or names in a string to be imported later."""
    inside = [house.name, *file.relative_to(house).parent.parts]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), ".".join(inside))
            yield from ((f"{source}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(rf"{house.name}(\.\w+)+", str(node.value)):
            yield str(node.value), node.lineno


def arrows(house: Path = HOUSE) -> list[Arrow]:
    """Every import of one package by another; the face and the bell draw none."""
    found = []
    for file in sorted(house.rglob("*.py")):
        room = room_of(file, house)
        for name, line in imported(file, house) if not room.startswith("__") else ():
            parts = name.split(".")
            if parts[0] == house.name and parts[1:2] != [room]:
                found.append(Arrow(room, (parts[1:2] or ["__init__"])[0], f"{file.relative_to(house)}:{line}"))
    return found


def wrong(found: list[Arrow]) -> list[Arrow]:
    """Those that do not run downwards."""
    return [arrow for arrow in found if FLOOR.get(arrow.other, -1) <= FLOOR[arrow.room]]


def test_every_package_stands_on_one_floor() -> None:
    assert sorted(room for rooms in FLOORS for room in rooms) == ROOMS
    rooms = {room_of(file) for file in HOUSE.rglob("*.py")}
    assert rooms - {"__init__", "__main__"} == set(ROOMS)


def test_no_import_runs_up_or_sideways() -> None:
    found = arrows()
    assert len({(arrow.room, arrow.other) for arrow in found}) > len(ROOMS)
    assert wrong(found) == []


@pytest.mark.parametrize(
    ("file", "source", "other"),
    [
        ("stats/own.py", "from soft_prompts.config import RunConfig", "config"),
        ("stats/own.py", "import soft_prompts.common.errors as errors", "common"),
        ("stats/own.py", "def late():\n    from soft_prompts import tasks", "tasks"),
        ("stats/own.py", "from ..tasks import task", "tasks"),
        ("stats/deep/own.py", "from ...tasks.task import Task", "tasks"),
        ("prompts/own.py", "if False:\n    import soft_prompts.engine.loss", "engine"),
        ("config.py", "from soft_prompts import RunConfig", "RunConfig"),
        ("config.py", "HOME = 'soft_prompts.training.loop'", "training"),
        ("data/own.py", "import soft_prompts", "__init__"),
    ],
)
def test_the_rule_sees_every_kind_of_import(file: str, source: str, other: str, tmp_path: Path) -> None:
    house = tmp_path / "soft_prompts"
    (house / file).parent.mkdir(parents=True)
    (house / file).write_text(f"from soft_prompts.{Path(file).parts[0].removesuffix('.py')} import own\n{source}\n")
    (arrow,) = wrong(arrows(house))
    assert arrow.other == other
    assert arrow.where.startswith(f"{file}:")


@pytest.mark.parametrize("room", [room for room in ROOMS if (HOUSE / room).is_dir()])
def test_a_package_says_what_it_answers_and_what_it_never_imports(room: str) -> None:
    docstring = ast.get_docstring(ast.parse((HOUSE / room / "__init__.py").read_text())) or ""
    text = " ".join(docstring.split())
    assert "?" in text
    assert re.search(SAYS_WHAT_IT_IMPORTS, text, re.I), text
    if "imports nothing of this package" in text:
        assert [arrow for arrow in arrows() if arrow.room == room] == []


def test_every_folder_can_be_seen_at_once() -> None:
    """It has a docstring, and no more files than a page shows."""
    for folder in {file.parent for file in HOUSE.rglob("*.py")}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder
        assert len(list(folder.glob("*.py"))) <= MOST_FILES, folder
