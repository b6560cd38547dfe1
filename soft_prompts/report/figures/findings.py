"""How do findings about activations and vectors look? Their pictures, on the page and beside their files."""

from collections.abc import Callable
from pathlib import Path

from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.figures.arms import arms_scene, edited_scene
from soft_prompts.report.figures.compared import likeness_scene, sources_scene, taught_scene
from soft_prompts.report.figures.inside import causes_scene, sweep_scene
from soft_prompts.report.figures.network import concepts_scene
from soft_prompts.report.figures.tried import tried_scene
from soft_prompts.report.figures.worth import worth_scenes
from soft_prompts.results.findings import FINDING, Finding, find_findings

SCENES: dict[str, Callable[[str, Finding], list[Scene | None]]] = {
    "fit": lambda name, found: [tried_scene(name, found.figures)],
    "eval": lambda name, found: [arms_scene(name, found.figures), sweep_scene(f"{name}-strength", found.figures)],
    "activations": lambda name, found: [causes_scene(name, found.figures, found.n)],
    "tokens": lambda name, found: [*worth_scenes(name, found.figures)],
    "concepts": lambda name, found: [concepts_scene(name, found.figures)],
    "experiment": lambda name, found: [edited_scene(name, found.figures), *_compared(name, found)],
}


def scenes_of(found: Finding) -> tuple[Scene, ...]:
    """Called as the finding's file; none where there is nothing to draw."""
    name = found.path.name.removesuffix(FINDING) if found.path else found.kind
    drawn = SCENES[found.kind](name, found) if found.kind in SCENES else []
    return tuple(scene for scene in drawn if scene is not None)


def _compared(name: str, found: Finding) -> list[Scene | None]:
    """An experiment's figures say which comparison it made: all others draw nothing."""
    return [draw(name, found.figures, found.n) for draw in (likeness_scene, sources_scene, taught_scene)]


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
