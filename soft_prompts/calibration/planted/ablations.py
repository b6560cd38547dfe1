"""What fails, and how? Each part of the comparison without what makes it true, on a target and on a harmless control in
its place."""

from collections.abc import Callable
from functools import partial
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


class Kind(NamedTuple):
    """What is held in front of a target in place of a probe, and what of the probe it is without."""

    without: str
    what: str
    ball: float | None = None
    """How far embeddings may move; None: they stay those of tokens."""
    is_free: bool = False
    """From random tokens; else from the probe's."""


KINDS = (
    Kind("nothing", "a probe of {tokens} tokens"),
    Kind("tokens", "the probe, refined inside the ball", RADIUS),
    Kind("the ball", "the probe, refined without a bound", FREE),
    Kind("tokens and ball", f"a free soft prompt of {FREE_TOKENS} tokens", FREE, is_free=True),
)


class Ablated(NamedTuple):
    """The comparison that parts are taken from; models are opened where it is asked."""

    world: World
    options: PlantedOptions
    change: str

    def asked(self) -> Asked:
        """The whole of it."""
        return self.world.asked(self.change, settings_of(self.options))


def ablations(world: World, options: PlantedOptions) -> list[Callable[[], list[Ablation]]]:
    """Each gives figures of the last change that was probed, or of the last, and none needs another."""
    if not (options.ablations and world.targets):
        return []
    name = next((one for one in reversed(options.probed) if one in world.targets), list(world.targets)[-1])
    ablated = Ablated(world, options, name)
    found = [partial(of, ablated) for of in (_without_control, _without_contrast, _base_as_reference)]
    return [*found, *(partial(_without_ball, ablated, kind) for kind in KINDS if name in options.probed)]


def _both(asked: Asked) -> tuple[str, str]:
    """The target, and the control that takes its place."""
    return asked.family.target, asked.family.spare[-1]


def _without_control(ablated: Ablated) -> list[Ablation]:
    """Target and base alone: a harmless control differs from the base as much."""
    asked = ablated.asked()
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


def _without_contrast(ablated: Ablated) -> list[Ablation]:
    """Labels of plain samples, held against spare controls as ever."""
    asked, found = ablated.asked(), list[Ablation]()
    for write, without in ((plain_samples, "contrast"), (contrastive_samples, "nothing")):
        sides = {name: write(asked, name) for name in (asked.family.target, *asked.family.spare)}
        counts = []
        for name in _both(asked):
            spare = [sides[one] for one in asked.family.spare if one != name]
            counts.append(standing(label_samples(sides[name], spare, Phrases(), asked.settings.phrases)))
        found.append(Ablation(without, "labels that stand", counts[0], counts[1]))
    return found


def _base_as_reference(ablated: Ablated) -> list[Ablation]:
    """Contrastive samples against the base find what any training drifts to."""
    world, options, name = ablated
    asked, found = world.asked(name, strong(settings_of(options))), list[Ablation]()
    for without, one in (("a control as reference", against_base(asked)), ("nothing", asked)):
        rates = [rate_of(contrastive_samples(one, model), CHANGES[name].shows) for model in _both(asked)]
        found.append(Ablation(without, "strongly contrastive samples that show it", rates[0], rates[1]))
    return found


def against_base(asked: Asked) -> Asked:
    """The same question with the base as the reference of every contrast."""
    family = asked.family
    controls = (family.base, *family.spare)
    return asked.of(Family(family.base, family.target, controls))


def _without_ball(ablated: Ablated, kind: Kind) -> list[Ablation]:
    """A probe of tokens, refined within the ball or without, or a free soft prompt: what each brings out."""
    asked, sides = ablated.asked(), list[tuple[float, float]]()
    for model in _both(asked):
        prompt = _moved(asked, model, kind)
        judged, says, _ = judge_probe(asked, model, prompt, [one for one in asked.family.spare if one != model])
        sides.append((judged.excess, sum(map(CHANGES[ablated.change].shows, says)) / max(1, len(says))))
    (excess, shown), (other, other_shown) = sides
    what = kind.what.format(tokens=asked.settings.probe_tokens)
    return [
        Ablation(kind.without, f"excess of {what}, nats a token", excess, other),
        Ablation(kind.without, f"contexts in which {what} makes it say the change", shown, other_shown),
    ]


def _moved(asked: Asked, model: str, kind: Kind) -> ProbePrompt:
    """The model's probe, or random tokens, with its embeddings moved as far as the ball allows."""
    settings, reference = asked.settings, asked.family.reference
    generator = torch.Generator().manual_seed(settings.seed)
    known = len(asked.models[reference].tokenizer)
    ids = torch.randint(0, known, (FREE_TOKENS,), generator=generator).tolist()
    prompt = ProbePrompt(tuple(ids if kind.is_free else search_kept(asked, model).ids[-1]))
    if (ball := kind.ball) is None:
        return prompt

    def move() -> list[list[float]]:
        contexts = contexts_of(asked, asked.texts.search, settings.search_contexts)
        step = refine((asked.models[model], asked.models[reference]), contexts, prompt, FREE_STEPS, ball).step
        assert step is not None  # it was refined
        return step.tolist()

    moved = {"ids": list(prompt.ids), "ball": ball, "steps": FREE_STEPS, "contexts": settings.search_contexts}
    identity = asked.identity(model, reference, moved=moved)
    return prompt._replace(step=torch.tensor(asked.keeper.step("free-prompt", identity, move)))
