"""How do findings about activations and vectors look? Their pictures, on the page and beside their files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.figures.arms import arms_scene, edited_scene
from soft_prompts.report.figures.inside import causes_scene, sweep_scene
from soft_prompts.report.figures.network import concepts_scene
from soft_prompts.report.figures.worth import worth_scenes
from soft_prompts.results.findings import FINDING, Finding, find_findings

SCENES: dict[str, Callable[[str, Mapping[str, Any]], list[Scene | None]]] = {
    "eval": lambda name, figures: [arms_scene(name, figures), sweep_scene(f"{name}-strength", figures)],
    "activations": lambda name, figures: [causes_scene(name, figures)],
    "tokens": lambda name, figures: [*worth_scenes(name, figures)],
    "concepts": lambda name, figures: [concepts_scene(name, figures)],
    "experiment": lambda name, figures: [edited_scene(name, figures)],
}


def scenes_of(found: Finding) -> tuple[Scene, ...]:
    """Called as the finding's file; none where there is nothing to draw."""
    name = found.path.name.removesuffix(FINDING) if found.path else found.kind
    drawn = SCENES[found.kind](name, found.figures) if found.kind in SCENES else []
    return tuple(scene for scene in drawn if scene is not None)


def draw_findings(folder: Path) -> list[Path]:
    """PNGs beside each finding that has pictures; returns what was drawn."""
    from soft_prompts.report.drawing.paint import write_scene  # matplotlib takes half a second to load

    drawn = []
    for found in find_findings([folder]):
        for scene in scenes_of(found):
            assert found.path is not None
            drawn.append(found.path.with_name(f"{scene.name}.png"))
            write_scene(scene, drawn[-1])
    return drawn
