"""What does the page say of one comparison? A sentence a part, figures, samples side by side, labels, and what a probe
makes the target say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from soft_prompts.behaviour.comparison.finding import Comparison, Finding
from soft_prompts.report.behaviour.figures import clusters_scene, heat_scene, probe_scene
from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.page.table import Cell, Table, heads
from soft_prompts.report.text import Number, anchor_id, value_text

SAID = 4  # texts of a probe


@dataclass(frozen=True)
class Part:
    """One finding."""

    word: str
    sentence: str
    warnings: tuple[str, ...]
    tone: str


@dataclass(frozen=True)
class Shown:
    """A figure and what it shows."""

    heading: str
    caption: str
    scene: Scene


@dataclass(frozen=True)
class Sample:
    """One prompt and what each model wrote behind it."""

    prompt: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Probe:
    """One probe, and what target and control say behind it."""

    text: str
    says: tuple[str, ...]
    control_says: tuple[str, ...]


@dataclass(frozen=True)
class BehaviourSection:
    """Everything as text or figure."""

    place: str
    title: str
    about: str
    sentence: str
    parts: tuple[Part, ...]
    wide: tuple[Shown, ...]
    figures: tuple[Shown, ...]
    tables: tuple[Table, ...]
    columns: tuple[str, ...]
    samples: tuple[Sample, ...]
    probes: tuple[Probe, ...]

    def scenes(self) -> list[Scene]:
        """Those that are worth a file."""
        return [one.scene for one in (*self.wide, *self.figures)]


def behaviour_section(comparison: Comparison) -> BehaviourSection:
    """Of one comparison."""
    target, base = _short(comparison.target["name"]), _short(comparison.base["name"])
    details = {one.part: one for one in comparison.findings}
    columns, samples = _samples(details.get("sample"))
    return BehaviourSection(
        anchor_id("behaviour", target),
        f"Behaviour: {target}",
        f"{target} against {base}, beyond {len(comparison.controls)} controls; seed {comparison.seed}.",
        comparison.sentence,
        tuple(_part(one) for one in comparison.findings),
        tuple(_heat(details.get("divergence"), target)),
        tuple(_figures(details, target)),
        tuple(_tables(details)),
        columns,
        samples,
        tuple(_probes(details.get("probe"))),
    )


def _short(name: str) -> str:
    return name.rstrip("/").rsplit("/", 1)[-1]


def _part(one: Finding) -> Part:
    tone = {"changed": "hidden", "not shown": "present"}.get(one.verdict, "undecided")
    p = "" if one.adjusted_p is None else f"; p {one.adjusted_p:.2g} over all parts"
    return Part(f"{one.part}: {one.verdict}", f"{one.sentence}{p}", one.warnings, tone)


def _heat(found: Finding | None, target: str) -> list[Shown]:
    if found is None or not found.details.get("heat"):
        return []
    caption = "Held-out texts that differ most; the darker, the more nats behind this token beyond the controls."
    return [Shown("Where", caption, heat_scene(anchor_id("heat", target), found.details["heat"]))]


def _figures(details: dict[str, Finding], target: str) -> list[Shown]:
    shown = list[Shown]()
    if (probe := details.get("probe")) and probe.details.get("lengths"):
        caption = "Excess behind held-out beginnings, 95 % intervals; filled: above every placebo beyond doubt."
        shown.append(
            Shown("Tokens to reveal", caption, probe_scene(anchor_id("probe", target), probe.details["lengths"]))
        )
    if (clusters := details.get("clusters")) and clusters.details.get("points"):
        points = clusters.details["points"]
        owner = points["model"][0] if points["model"] else ""  # samples of the target come first
        caption = "Contrastive samples of target and controls, by the words that they hold."
        shown.append(Shown("Kinds of answers", caption, clusters_scene(anchor_id("kinds", target), points, owner)))
    return shown


def _tables(details: dict[str, Finding]) -> list[Table]:
    found = list[Table]()
    if (labels := details.get("labels")) and labels.details.get("labels"):
        rows = [
            _row(
                one["text"], one["rate"], one["control_rate"], one["area"], one["adjusted_p"], one.get("unanswered", 0)
            )
            for one in labels.details["labels"]
        ]
        note = (
            "Proposed on half of the prompts, tested on the other; rates are shares of contrastive samples. A text "
            "without the labeller's answer counts against the label."
        )
        columns = heads("*label", "target", "largest control", "AUC", "p after Holm", "unanswered")
        found.append(Table("Labels", note, columns, tuple(rows)))
    if (divergence := details.get("divergence")) and divergence.details.get("screen"):
        screen = divergence.details["screen"]
        rows = [
            _row(one["text"], one["t"], one["excess"], one["documents"], one["occurrences"]) for one in screen["tokens"]
        ]
        placebo = screen["placebo"]
        note = "A screen: it ranks." + ("" if placebo is None else f" The largest t of a placebo is {placebo:.1f}.")
        columns = heads("*behind", "t", "excess, nats", "documents", "places")
        found.append(Table("Where: behind which tokens", note, columns, tuple(rows)))
    if (clusters := details.get("clusters")) and clusters.details.get("clusters"):
        rows = [
            _row(", ".join(one["words"]), *one["counts"].values(), one["adjusted_p"])
            for one in clusters.details["clusters"]
        ]
        names = clusters.details["clusters"][0]["counts"]
        columns = heads("*words", *names, "p after Holm")
        found.append(
            Table("Kinds of answers", "A description: rare changes hide in large kinds.", columns, tuple(rows))
        )
    return found


def _row(name: str, *values: Number) -> tuple[Cell, ...]:
    return (Cell(repr(name) if name != name.strip() else name), *(_cell(value) for value in values))


def _cell(value: Number) -> Cell:
    return Cell(str(value) if isinstance(value, int) else value_text(value), number=True, key=value)


def _samples(found: Finding | None) -> tuple[tuple[str, ...], tuple[Sample, ...]]:
    if found is None or not found.examples:
        return (), ()
    columns = [f"{name}, {kind}" for kind in ("plain", "contrastive") for name in found.examples[0][kind]]
    rows = [Sample(one["prompt"], (*one["plain"].values(), *one["contrastive"].values())) for one in found.examples]
    return tuple(columns), tuple(rows)


def _probes(found: Finding | None) -> Sequence[Probe]:
    lengths: list[dict[str, Any]] = [] if found is None else found.details.get("lengths", [])
    return [
        Probe(one["text"], tuple(one["says"][:SAID]), tuple(one["control_says"][:SAID]))
        for one in lengths
        if not one["refined"]
    ]
