"""Which figures show how one way to a behaviour compares with another? A mean beside each item's own activation,
vectors of several sources, a taught model beside a prompt: shares of one gain, or accuracies, all on the test split."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from soft_prompts.report.drawing.dots import SMALL, WIDTH, Dot, Row, dots_scene
from soft_prompts.report.drawing.layout import stacked
from soft_prompts.report.drawing.letters import text_width
from soft_prompts.report.drawing.panels import Look, legend
from soft_prompts.report.drawing.scene import MARKERS, SERIES, Scene
from soft_prompts.report.text import count_text, interval_text, share_text

LOOKS = tuple(Look(role, marker, ()) for role, marker in zip(SERIES, MARKERS, strict=False))
KINDS = {"dealt": "dealt by item", "told": "a function, told"}
LIKENESS = {"patch": "each item's own activation", "mean": "the mean difference"}
SOURCES = {"prompt_accuracy": "the prompt", "vector_accuracy": "its vector on bare prompts"}
COSINES = ("same function", "other functions")
TAUGHT = {
    "item_patch": "each item's own activation, taught model",
    "model_mean": "mean difference, taught model",
    "prompt_mean": "mean difference, prompt",
}

Interval = tuple[float | None, float | None, float | None]


def likeness_scene(name: str, figures: Mapping[str, Any], n: int) -> Scene | None:
    """How much of what the prompt does the mean does, for what depends on the item and for what does not; None for
    another comparison."""
    if "dealt" not in figures:
        return None
    rows = []
    for kind, called in KINDS.items():
        verdict = figures[kind]["verdict"].split(":")[0]  # without why nothing can be said
        rows.append(_row(called, _shares(figures[kind], LIKENESS), LIKENESS.values(), verdict))
    title = "What the mean difference does of what each item's own activation does"
    heading = f"{count_text(n, 'test item')}, 95 % intervals"
    body = dots_scene(name, "", rows, heading, "share of the prompt's gain in logit difference")
    return _whole(name, title, [_legend(LIKENESS.values()), body])


def sources_scene(name: str, figures: Mapping[str, Any], n: int) -> Scene | None:
    """Whether prompts of each source and their vectors give the functions, and how alike the vectors are; None for
    another comparison."""
    if "prompt_accuracy" not in figures:
        return None
    intervals, ranges = figures.get("intervals", {}), figures.get("ranges", {})
    accuracies = []
    for kind in figures["prompt_accuracy"]:
        given = {part: _interval(figures[part][kind], intervals.get(part, {}).get(kind)) for part in SOURCES}
        accuracies.append(_row(kind, given, SOURCES.values(), _listed(given.values())))
    cosines = []
    for pair, means in figures["cosines"].items():
        ends = ranges.get(pair, [(None, None)] * len(means))
        found = {part: (mean, *end) for part, mean, end in zip(COSINES, means, ends, strict=True)}
        cosines.append(_row(pair.replace(" and ", ", "), found, COSINES, _listed(found.values())))
    room = max(text_width(row.words, SMALL) for row in (*accuracies, *cosines))
    heading = f"{count_text(n, 'test item')}, 95 % intervals"
    above = dots_scene(name, "", accuracies, heading, "accuracy", room)
    heading = f"vectors at layer {figures['layer']}: means, least and greatest"
    below = dots_scene(name, "", cosines, heading, "cosine of two sources' vectors", room)
    title = "Functions from several sources: accuracy of prompts and vectors, and cosines of the vectors"
    return _whole(name, title, [_legend(SOURCES.values()), above, _legend(COSINES), below])


def taught_scene(name: str, figures: Mapping[str, Any], n: int) -> Scene | None:
    """What the taught model's activations and the prompt's do in the base, layer by layer; None for another
    comparison."""
    if "gap_nats" not in figures:
        return None
    rows = [
        _row(f"layer {one['layer']}", _shares(one, TAUGHT), TAUGHT.values(), f"cosine {share_text(one['cosine'])}")
        for one in figures["layers"]
    ]
    title = f"What a model that was taught {figures['function']} and the prompt share, by layer"
    heading = f"{figures['function']}, {count_text(n, 'test item')}, 95 % intervals; cosine of the means"
    body = dots_scene(name, "", rows, heading, "share of the taught model's gain")
    return _whole(name, title, [_legend(TAUGHT.values()), body])


def _shares(found: Mapping[str, Any], parts: Iterable[str]) -> dict[str, Interval]:
    ends = found.get("intervals") or {}
    return {part: _interval(found[part], ends.get(part)) for part in parts}


def _interval(value: float | None, ends: Sequence[Any] | None) -> Interval:
    """Findings of before have no ends; shares of what is no gain have no value."""
    return (value, None, None) if ends is None else (ends[0], ends[1], ends[2])


def _row(name: str, found: Mapping[str, Interval], called: Iterable[str], words: str) -> Row:
    dots = [
        Dot(value, low, high, look.role, look.marker, f"{name}, {what}: {interval_text((value, low, high))}")
        for (value, low, high), what, look in zip(found.values(), called, LOOKS, strict=False)
        if value is not None
    ]
    return Row(name, tuple(dots), words)


def _listed(found: Iterable[Interval]) -> str:
    return ", ".join(share_text(one[0]) for one in found)


def _legend(names: Iterable[str]) -> Scene:
    return legend(list(zip(names, LOOKS, strict=False)), WIDTH)


def _whole(name: str, title: str, parts: Sequence[Scene]) -> Scene:
    whole = stacked(parts, 4)
    return Scene(name, title, whole.width, whole.height, whole.shapes)
