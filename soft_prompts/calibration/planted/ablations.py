"""What fails, and how? Each part of the comparison without what makes it true."""

from dataclasses import replace
from typing import Any, NamedTuple

import torch

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.probe.judge import judged, reveal
from soft_prompts.behaviour.probe.part import contexts_of
from soft_prompts.behaviour.probe.prompts import ProbePrompt
from soft_prompts.behaviour.probe.search import refine
from soft_prompts.behaviour.sampling.samples import Written, contrastive_samples, plain_samples
from soft_prompts.behaviour.wording.labels import label_samples
from soft_prompts.behaviour.wording.phrases import Phrases
from soft_prompts.calibration.planted.changes import CHANGES
from soft_prompts.calibration.planted.made import World
from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.calibration.planted.rows import rate_of, settings_of, standing, strong

FREE_TOKENS = 8
FREE_STEPS = 60
FREE = 1e6  # of the ball: no bound
HARMLESS = "a harmless control"


class Ablation(NamedTuple):
    """One figure of the target and the same of a control in its place."""

    without: str
    figure: str
    target: float
    control: float
    wanted: str


def ablations(world: World, options: PlantedOptions) -> list[Ablation]:
    """Of the last change that was probed, or of the last."""
    name = next((one for one in reversed(options.probed) if one in world.targets), list(world.targets)[-1])
    asked = world.asked(name, settings_of(options))
    return [*_without_control(asked), _base_as_reference(world, options, name), *_without_ball(asked, name)]


def _without_control(asked: Asked) -> list[Ablation]:
    """Labels of plain samples against the base alone: a harmless control has them too."""
    base = plain_samples(asked, asked.family.base)
    counts = [
        standing(label_samples(plain_samples(asked, one), [base], Phrases(), asked.settings.phrases))
        for one in (asked.family.target, asked.family.spare[-1])
    ]
    return [Ablation("controls", "labels against the base", counts[0], counts[1], f"0 of {HARMLESS}")]


def _base_as_reference(world: World, options: PlantedOptions, name: str) -> Ablation:
    """Contrastive samples against the base find what any training drifts to."""
    settings = strong(settings_of(options))
    of_control = world.asked(name, settings)
    against = replace(of_control, models=of_control.models)
    shows = CHANGES[name].shows
    to_base = rate_of(_against_base(against), shows)
    to_control = rate_of(contrastive_samples(of_control, of_control.family.target), shows)
    return Ablation("a control as reference", "samples that show it, base or control", to_base, to_control, "more")


def _against_base(asked: Asked) -> list[Written]:
    from soft_prompts.behaviour.comparison.family import Family, Models

    family = Family(asked.family.base, asked.family.target, (asked.family.base,))
    return contrastive_samples(replace(asked, models=Models(family, asked.models.loading)), family.target)


def _without_ball(asked: Asked, name: str) -> list[Ablation]:
    """Adam from random tokens without a bound, on the target and on a control in its place."""
    figures = [_free(asked, one) for one in (asked.family.target, asked.family.spare[-1])]
    shows = CHANGES[name].shows
    shares = [sum(map(shows, says)) / max(1, len(says)) for _, says in figures]
    what = f"a free soft prompt of {FREE_TOKENS} tokens"
    return [
        Ablation("tokens", f"excess of {what}", figures[0][0], figures[1][0], "the control's is no smaller"),
        Ablation("tokens", f"what {what} makes it say", shares[0], shares[1], "never the change"),
    ]


def _free(asked: Asked, name: str) -> tuple[float, list[str]]:
    family, settings = asked.family, asked.settings
    pair = (asked.models[name], asked.models[family.reference])
    contexts = contexts_of(asked, asked.texts.search, settings.search_contexts)
    generator = torch.Generator().manual_seed(settings.seed)
    ids = torch.randint(0, len(pair[0].tokenizer), (FREE_TOKENS,), generator=generator).tolist()
    prompt = refine(pair, contexts, ProbePrompt(tuple(ids)), FREE_STEPS, FREE)
    held_out = contexts_of(asked, asked.texts.held_out, settings.held_out_contexts).tolist()
    others = [one for one in family.spare if one != name]
    found: list[Any] = [
        reveal(asked.models[one], pair[1], prompt, held_out, settings.continuation) for one in (name, *others)
    ]
    return judged(found[0], found[1:]).excess, found[0].says
