"""How is one planted change found, part by part, and how often do samples show it?"""

from dataclasses import dataclass, replace
from typing import Any

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.compare import compare
from soft_prompts.behaviour.comparison.finding import Comparison, Finding
from soft_prompts.behaviour.comparison.settings import ComparisonSettings
from soft_prompts.behaviour.sampling.samples import Written, contrastive_samples, distinct_bigrams, plain_samples
from soft_prompts.behaviour.wording.labels import Label, label_samples
from soft_prompts.behaviour.wording.phrases import Phrases
from soft_prompts.calibration.planted.changes import CHANGES
from soft_prompts.calibration.planted.made import World
from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.calibration.planted.power import Power, label_power

STRONG = (3.0, 0.01)  # strength and cut that find more and repeat themselves
PARTS = ("divergence", "sample", "clusters", "labels", "two-sample")


@dataclass(frozen=True)
class ChangeRow:
    """A planted change and what was found of it."""

    change: str
    verdict: str
    js: float
    t: float | None
    screen_best: float | None
    screen_placebo: float | None
    rates: dict[str, float]
    """Share of samples that show it: plain, contrastive, strong."""
    control_rates: dict[str, float]
    distinct_2: dict[str, float]
    labels: dict[str, int]
    """Labels that stand, of plain and of contrastive samples."""
    words: tuple[str, ...]
    """The first labels."""
    power: list[Power]
    """How often labels find it, by the number of prompts."""
    probe: dict[str, Any] | None


def settings_of(options: PlantedOptions) -> ComparisonSettings:
    """Of every comparison of the experiment."""
    return ComparisonSettings(
        seed=options.seed, most_prompts=options.prompts, probe_tokens=options.probe_tokens, refine_steps=20
    )


def strong(settings: ComparisonSettings) -> ComparisonSettings:
    """The other end of the contrast."""
    return replace(settings, strength=STRONG[0], cut=STRONG[1])


def find_change(world: World, options: PlantedOptions, name: str) -> tuple[ChangeRow, Comparison]:
    """The whole comparison of one change, and how often samples show what is known to be there."""
    settings = settings_of(options)
    asked = world.asked(name, settings)
    found = compare(asked, PARTS + (("probe",) if name in options.probed else ()), of=f"{name}, ").comparison
    sets = samples_of(world, asked, name, settings)
    shows = CHANGES[name].shows
    divergence = found.finding("divergence")
    assert divergence is not None
    screened = divergence.details["screen"] or {"tokens": [], "placebo": None}
    contrastive = _labels(asked, contrast=True)
    row = ChangeRow(
        change=name,
        verdict=found.sentence,
        js=divergence.details["texts"]["documents"]["js"]["value"],
        t=divergence.details["texts"]["documents"]["excess"]["t"],
        screen_best=max((one["t"] for one in screened["tokens"]), default=None),
        screen_placebo=screened["placebo"],
        rates={kind: rate_of(some, shows) for kind, (some, _) in sets.items()},
        control_rates={kind: rate_of(some, shows) for kind, (_, some) in sets.items()},
        distinct_2={kind: distinct_bigrams([one.text for one in some]) for kind, (some, _) in sets.items()},
        labels={"plain": standing(_labels(asked, contrast=False)), "contrastive": standing(contrastive)},
        words=tuple(one.text for one in contrastive if one.adjusted_p <= settings.level)[:5],
        power=label_power(asked),
        probe=_probe(found.finding("probe"), shows),
    )
    return row, found


def samples_of(
    world: World, asked: Asked, name: str, settings: ComparisonSettings
) -> dict[str, tuple[list[Written], list[Written]]]:
    """Samples of the target and of a spare control: plain, contrastive, and strongly so."""
    more = world.asked(name, strong(settings))
    target, control = asked.family.target, asked.family.spare[0]
    return {
        "plain": (plain_samples(asked, target), plain_samples(asked, control)),
        "contrastive": (contrastive_samples(asked, target), contrastive_samples(asked, control)),
        "strong": (contrastive_samples(more, target), contrastive_samples(more, control)),
    }


def rate_of(samples: list[Written], shows: Any) -> float:
    """Share of samples that show something."""
    return sum(shows(one.text) for one in samples) / len(samples) if samples else 0.0


def _labels(asked: Asked, contrast: bool) -> list[Label]:
    """As the part tests them."""
    write = contrastive_samples if contrast else plain_samples
    own, *others = (write(asked, name) for name in (asked.family.target, *asked.family.spare))
    return label_samples(own, others, Phrases(), asked.settings.phrases)


def standing(labels: list[Label], level: float = 0.05) -> int:
    """Labels that stand."""
    return sum(one.adjusted_p <= level for one in labels)


def _probe(found: Finding | None, shows: Any) -> dict[str, Any] | None:
    if found is None:
        return None
    lengths = [
        {key: one[key] for key in ("tokens", "text", "refined", "excess", "stderr", "placebos", "reveals", "says")}
        | {"shown": sum(map(shows, one["says"])) / max(1, len(one["says"]))}
        for one in found.details["lengths"]
    ]
    return {"tokens_to_reveal": found.details["tokens_to_reveal"], "verdict": found.verdict, "lengths": lengths}
