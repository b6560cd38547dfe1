"""What fails, and how? Each part of the comparison without what makes it true, on a target and on a harmless control in
its place."""

from typing import NamedTuple

import torch

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.family import Family
from soft_prompts.behaviour.divergence.part import TEXTS, measure
from soft_prompts.behaviour.probe.part import contexts_of, judge_probe, search_kept
from soft_prompts.behaviour.probe.prompts import RADIUS, ProbePrompt
from soft_prompts.behaviour.probe.search import refine
from soft_prompts.behaviour.sampling.samples import contrastive_samples, plain_samples
from soft_prompts.behaviour.wording.labels import label_samples
from soft_prompts.behaviour.wording.phrases import Phrases
from soft_prompts.calibration.planted.changes import CHANGES
from soft_prompts.calibration.planted.made import World
from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.calibration.planted.rows import rate_of, settings_of, standing, strong

FREE_TOKENS = 8
FREE_STEPS = 300  # of Adam, from random tokens or from the probe's
FREE = 1e6  # of the ball: no bound


class Ablation(NamedTuple):
    """One figure of the target and the same of a control in its place."""

    without: str
    figure: str
    target: float
    control: float


def ablations(world: World, options: PlantedOptions) -> list[Ablation]:
    """Of the last change that was probed, or of the last."""
    name = next((one for one in reversed(options.probed) if one in world.targets), list(world.targets)[-1])
    asked = world.asked(name, settings_of(options))
    found = [*_without_control(asked), *_without_contrast(asked), *_base_as_reference(world, options, name)]
    return [*found, *(_without_ball(asked, name) if name in options.probed else ())]


def _both(asked: Asked) -> tuple[str, str]:
    """The target, and the control that takes its place."""
    return asked.family.target, asked.family.spare[-1]


def _without_control(asked: Asked) -> list[Ablation]:
    """Target and base alone: a harmless control differs from the base as much."""
    documents = {name: one.mean() for name, one in measure(asked, TEXTS[0]).items()}
    z = [documents[name].value / (documents[name].stderr or float("inf")) for name in _both(asked)]
    base, alone = plain_samples(asked, asked.family.base), against_base(asked)
    phrases = asked.settings.phrases
    counts = [
        standing(label_samples(contrastive_samples(alone, one), [base], Phrases(), phrases)) for one in _both(asked)
    ]
    return [
        Ablation("controls", "JS to the base over its standard error", z[0], z[1]),
        Ablation("controls", "labels of contrastive samples against the base's", counts[0], counts[1]),
    ]


def _without_contrast(asked: Asked) -> list[Ablation]:
    """Labels of plain samples, held against spare controls as ever."""
    found = []
    for write, without in ((plain_samples, "contrast"), (contrastive_samples, "nothing")):
        sides = {name: write(asked, name) for name in (asked.family.target, *asked.family.spare)}
        counts = []
        for name in _both(asked):
            spare = [sides[one] for one in asked.family.spare if one != name]
            counts.append(standing(label_samples(sides[name], spare, Phrases(), asked.settings.phrases)))
        found.append(Ablation(without, "labels that stand", counts[0], counts[1]))
    return found


def _base_as_reference(world: World, options: PlantedOptions, name: str) -> list[Ablation]:
    """Contrastive samples against the base find what any training drifts to."""
    asked = world.asked(name, strong(settings_of(options)))
    found = []
    for without, one in (("a control as reference", against_base(asked)), ("nothing", asked)):
        rates = [rate_of(contrastive_samples(one, model), CHANGES[name].shows) for model in _both(asked)]
        found.append(Ablation(without, "strongly contrastive samples that show it", rates[0], rates[1]))
    return found


def against_base(asked: Asked) -> Asked:
    """The same question with the base as the reference of every contrast."""
    family = asked.family
    controls = (family.base, *family.spare)
    return asked.of(Family(family.base, family.target, controls))


def _without_ball(asked: Asked, name: str) -> list[Ablation]:
    """A probe of tokens, refined within the ball and without, and a free soft prompt: what each brings out."""
    kinds = {
        "nothing": (f"a probe of {asked.settings.probe_tokens} tokens", None),
        "tokens": ("the probe, refined inside the ball", RADIUS),
        "the ball": ("the probe, refined without a bound", FREE),
        "tokens and ball": (f"a free soft prompt of {FREE_TOKENS} tokens", FREE),
    }
    found = []
    for without, (what, ball) in kinds.items():
        sides = []
        for model in _both(asked):
            prompt = _moved(asked, model, ball, is_free="free" in what)
            judged, says, _ = judge_probe(asked, model, prompt, [one for one in asked.family.spare if one != model])
            sides.append((judged.excess, sum(map(CHANGES[name].shows, says)) / max(1, len(says))))
        (excess, shown), (other, other_shown) = sides
        found.append(Ablation(without, f"excess of {what}, nats a token", excess, other))
        found.append(Ablation(without, f"contexts in which {what} makes it say the change", shown, other_shown))
    return found


def _moved(asked: Asked, model: str, ball: float | None, *, is_free: bool) -> ProbePrompt:
    """The model's probe, or random tokens, with its embeddings moved as far as the ball allows."""
    settings, reference = asked.settings, asked.family.reference
    generator = torch.Generator().manual_seed(settings.seed)
    known = len(asked.models[reference].tokenizer)
    ids = torch.randint(0, known, (FREE_TOKENS,), generator=generator).tolist()
    prompt = ProbePrompt(tuple(ids if is_free else search_kept(asked, model).ids[-1]))
    if ball is None:
        return prompt

    def move() -> list[list[float]]:
        contexts = contexts_of(asked, asked.texts.search, settings.search_contexts)
        step = refine((asked.models[model], asked.models[reference]), contexts, prompt, FREE_STEPS, ball).step
        assert step is not None  # it was refined
        return step.tolist()

    moved = {"ids": list(prompt.ids), "ball": ball, "steps": FREE_STEPS, "contexts": settings.search_contexts}
    identity = asked.identity(model, reference, moved=moved)
    return prompt._replace(step=torch.tensor(asked.keeper.step("free-prompt", identity, move)))
