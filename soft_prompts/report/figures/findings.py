"""How do findings about activations and vectors look? Pictures of a finding, beside its file: those that stand on the
page, and further ones."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.figures.inside import SCENES
from soft_prompts.results.findings import FINDING, Finding, find_findings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EDGE = 0.3  # cosine from which two concepts are joined


def draw_findings(folder: Path) -> list[Path]:
    """PNGs beside each finding that has a picture; returns what was drawn."""
    from matplotlib.figure import Figure  # half a second to load

    from soft_prompts.report.drawing.paint import write_scene

    drawn = []
    for found in find_findings([folder]):
        if found.path is None:
            continue
        path = found.path.with_name(found.path.name.removesuffix(FINDING) + ".png")
        if found.kind in PICTURES:
            figure = Figure(figsize=(9, 4.5), layout="constrained")
            PICTURES[found.kind](figure, found.figures)
            figure.savefig(path, dpi=120)
            drawn.append(path)
        if scene := scene_of(found):
            path = path.with_stem(scene.name)
            write_scene(scene, path)
            drawn.append(path)
    return drawn


def scene_of(found: Finding) -> Scene | None:
    """The picture that stands on the page; None where there is none."""
    name = found.path.name.removesuffix(FINDING) if found.path else found.kind
    name = f"{name}-strength" if found.kind == "eval" else name
    return SCENES[found.kind](name, found.figures) if found.kind in SCENES else None


def draw_eval(figure: "Figure", figures: Mapping[str, Any]) -> None:
    """Accuracy of every arm over all classes' items; beside it dev accuracy by layer and strength."""
    left, right = figure.subplots(1, 2)
    arms = figures["together"]
    values = [arm["accuracy"] for arm in arms.values()]
    heights = [value for value, _, _ in values]
    ends = [[value - low, high - value] if low is not None else [0, 0] for value, low, high in values]
    left.barh(list(arms), heights, xerr=np.clip(np.array(ends).T, 0, None), color="#4477aa")
    left.set(xlim=(0, 1), xlabel="accuracy on test, 95 % intervals")
    left.invert_yaxis()
    _grid_of_tried(right, figures)


def _grid_of_tried(axes: "Axes", figures: Mapping[str, Any]) -> None:
    """Mean over classes; those that came with layer and strength were not tried."""
    tried = [tuple(one) for classes in figures["classes"] for one in classes["tried"]]
    if not tried:
        leads = [one["lead"] for one in figures["classes"]]
        axes.barh([one["class"] for one in figures["classes"]], leads, color="#4477aa")
        axes.set(xlabel="accuracy beyond the best control")
        return
    layers, strengths = (sorted({one[place] for one in tried}) for place in (0, 1))
    grid = [
        [np.mean([one[2] for one in tried if one[:2] == (layer, s)] or [np.nan]) for s in strengths] for layer in layers
    ]
    _map(axes, np.array(grid), [f"{s:g}" for s in strengths], [str(layer) for layer in layers], (0, 1))
    axes.set(xlabel="strength", ylabel="layer", title="accuracy on dev")


def draw_concepts(figure: "Figure", figures: Mapping[str, Any]) -> None:
    """Cosines at the middle layer, and the network of the larger ones."""
    left, right = figure.subplots(1, 2)
    names, layers = figures["classes"], figures["layers"]
    told = layers[len(layers) // 2]
    cosines = np.array(told["cosines"], dtype=float)
    _map(left, cosines, names, names, (-1, 1))
    left.set(title=f"cosines at layer {told['layer']}")
    angles = np.linspace(0, 2 * np.pi, len(names), endpoint=False)
    x, y = np.cos(angles), np.sin(angles)
    for a, b in zip(*np.triu_indices(len(names), 1), strict=True):
        if abs(cosines[a, b]) >= EDGE:
            colour = "#4477aa" if cosines[a, b] > 0 else "#cc6677"
            right.plot(x[[a, b]], y[[a, b]], color=colour, linewidth=4 * abs(cosines[a, b]))
    right.scatter(x, y, s=60, color="black", zorder=3)
    for name, one, other in zip(names, x, y, strict=True):
        right.annotate(name, (1.18 * one, 1.18 * other), ha="center", va="center")
    right.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), title=f"joined from |cosine| {EDGE:g}; red: opposed")
    right.set_axis_off()


def draw_tokens(figure: "Figure", figures: Mapping[str, Any]) -> None:
    """Scores of prompts by token count at both budgets, with the vector's as a line."""
    panels = figure.subplots(1, 2)
    for axes, measure in zip(panels, ("accuracy", "log_probability"), strict=True):
        for number, told in enumerate(figures["verdicts"]):
            runs = [run for run in figures["runs"] if run["class"] == told["class"]]
            colour = f"C{number}"
            for steps in sorted({run["steps"] for run in runs}):
                counts = sorted({run["tokens"] for run in runs})
                means = [np.mean([r[measure] for r in runs if (r["tokens"], r["steps"]) == (p, steps)]) for p in counts]
                axes.plot([0, *counts], [told["bare"][measure], *means], marker="o", color=colour, alpha=0.7)
            axes.axhline(told["vector"][measure], color=colour, linestyle="--", label=f"vector of {told['class']}")
        axes.set(xlabel="soft tokens", ylabel=measure.replace("_", " "))
        axes.legend()


def _map(axes: "Axes", grid: np.ndarray, columns: list[str], rows: list[str], ends: tuple[float, float]) -> None:
    shown = axes.imshow(grid, aspect="auto", cmap="RdBu" if ends[0] < 0 else "viridis", vmin=ends[0], vmax=ends[1])
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.figure.colorbar(shown, ax=axes)


PICTURES: dict[str, Callable[["Figure", Mapping[str, Any]], None]] = {
    "eval": draw_eval,
    "concepts": draw_concepts,
    "tokens": draw_tokens,
}
