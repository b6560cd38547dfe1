"""How is the package built? Its graph from the code's own imports, and how long its files and functions are.

`python -m tests.benchmarks.structure [PICTURE.png]` draws docs/structure.png, or the picture that is named, and prints
the same as text; it fails where an arrow runs up or sideways.
"""

import ast
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.checks.test_floors import FLOORS, HOUSE, arrows, wrong

PICTURE = HOUSE.parent / "docs" / "structure.png"
COLOURS = ("#4269d0", "#d0803b", "#3a9a5b", "#b0435c", "#7a5cc0", "#5a6a78")  # of a floor's arrows, in turn
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Lines(NamedTuple):
    """How long something is."""

    count: int
    where: str


def edges() -> dict[str, list[str]]:
    """What each package imports; raises ValueError where an arrow does not run downwards."""
    found = arrows()
    if against := wrong(found):
        raise ValueError("; ".join(f"{arrow.where} imports {arrow.other}" for arrow in against))
    below: dict[str, set[str]] = defaultdict(set)
    for arrow in found:
        below[arrow.room].add(arrow.other)
    order = [room for rooms in FLOORS for room in rooms]
    return {room: sorted(below[room], key=order.index) for room in order}


def files() -> list[Lines]:
    return [Lines(len(path.read_text().splitlines()), _name(path)) for path in sorted(HOUSE.rglob("*.py"))]


def functions() -> list[Lines]:
    """From its first decorator to its last line."""
    return [line for path in sorted(HOUSE.rglob("*.py")) for line in _functions_of(path)]


def _functions_of(path: Path) -> Iterator[Lines]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, FUNCTIONS):
            start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield Lines((node.end_lineno or start) - start + 1, f"{_name(path)} {node.name}")


def _name(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def as_text(graph: dict[str, list[str]]) -> str:
    """A line a package, from the top, an empty line between floors."""
    floors = ("\n".join(f"{room:<12} -> {', '.join(graph[room])}" for room in rooms) for rooms in FLOORS)
    return "\n\n".join(floors)


def drawn(graph: dict[str, list[str]]) -> Figure:
    """Packages in rows by floor; an arrow an import, in the colour of the floor that it comes from."""
    figure = Figure(figsize=(9, 11))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(-len(FLOORS) + 0.4, 0.6))
    axes.set_axis_off()
    places = {
        room: (_across(number, place, len(rooms)), -float(number))
        for number, rooms in enumerate(FLOORS)
        for place, room in enumerate(rooms)
    }
    for number, rooms in enumerate(FLOORS):
        for room in rooms:
            for other in graph[room]:
                bow = 0.12 if places[other][0] >= places[room][0] else -0.12
                look = {"arrowstyle": "-|>", "color": COLOURS[number % len(COLOURS)], "lw": 0.8, "alpha": 0.6}
                look |= {"connectionstyle": f"arc3,rad={bow}", "shrinkA": 14, "shrinkB": 14}
                axes.annotate("", places[other], places[room], arrowprops=look)
    box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": "#30363d"}
    for room, place in places.items():
        axes.text(*place, room, ha="center", va="center", fontsize=12, bbox=box)
    return figure


def _across(number: int, place: int, rooms: int) -> float:
    """Even shares of the row; single rooms stand left and right in turn, so that arrows can pass them."""
    return (place + 1) / (rooms + 1) + (0.0 if rooms > 1 else (-0.12, 0.12)[number % 2])


def summary(what: str, lines: list[Lines]) -> str:
    longest = max(lines)
    median = statistics.median(line.count for line in lines)
    return f"{len(lines)} {what}: median {median:g} lines, longest {longest.count} ({longest.where})"


def main(path: Path = PICTURE) -> None:
    """Draw, and print."""
    graph = edges()
    FigureCanvasAgg(figure := drawn(graph))
    figure.savefig(path, dpi=80)
    print(as_text(graph))
    print()
    print(summary("files", files()))
    print(summary("functions", functions()))
    print(f"{sum(map(len, graph.values()))} arrows between {len(graph)} packages, all downwards; drawn in {path}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
