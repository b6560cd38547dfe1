"""Which heads carry a function, and what do they give to the residual stream together? Function vectors.

The indirect effect of a head is what it does alone for the right answer: p(y | corrupt prompt, the head set to its mean
over the function's prompts) - p(y | corrupt prompt), averaged. The vector is the sum, over the ten heads of most
effect, of the mean over the function's prompts less the mean over all functions' prompts, through the projection
(arXiv 2310.15213, section 2; there the mean is not centred).

A corrupt prompt is `mixed`: each demonstration from another function. Shuffled labels alone may leave the answer as
likely as before: what is still likelier than half of before is refused.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.models.tokenizer import encode
from soft_prompts.steering.data.choices import Choice, Choices, refuse_few
from soft_prompts.steering.scoring import Steer, captured, option_scores, patching, untouched
from soft_prompts.steering.vectors.fit import only
from soft_prompts.steering.vectors.vector import SteeringVector

TOP = 10  # heads
STILL = 0.5  # of the clean probability: a prompt that keeps more is not corrupt
MOST_ITEMS = 32  # that an effect is measured on


class HeadEffects(NamedTuple):
    """Of one function."""

    heads: tuple[str, ...]
    effects: NDArray[np.float64]
    """Mean indirect effect of each head, as a difference of probabilities."""
    clean: float
    """Mean probability of the answer behind the function's own demonstrations."""
    corrupt: float

    def top(self, count: int = TOP) -> list[str]:
        """The heads of most effect."""
        return [self.heads[place] for place in np.argsort(-self.effects, kind="stable")[:count]]


class HeadMeans(NamedTuple):
    """Means over prompts behind the cues of each class, of every head at the last token."""

    classes: tuple[str, ...]
    values: dict[str, Tensor]
    """Head -> [K W]."""

    def of(self, head: str, name: str) -> Tensor:
        return self.values[head][self.classes.index(name)]


def head_means(inside: Inside, choices: Choices) -> HeadMeans:
    """Raises UsageError where items have no cue for every class, or a class has fewer than 8 prompts."""
    if not all(set(item.cues) == set(item.options) for item in choices.items):
        raise UsageError(f"{choices.where}: function vectors need a cue of each class in every line; give 'cues'")
    refuse_few(choices, choices.classes)
    heads, means = inside.names(("head",)), dict[str, list[Tensor]]()
    for name in choices.classes:
        texts = [item.cues[name] + item.prompt for item in choices.having(name).items]
        for head, value in captured(inside, texts, heads).items():
            means.setdefault(head, []).append(value[:, 0].mean(dim=0))
    return HeadMeans(choices.classes, {head: torch.stack(rows) for head, rows in means.items()})


def mixed(item: Choice, name: str, random: Random) -> Choice:
    """The item behind as many lines as the function's cue has, each from another function's cue."""
    others = [other for other in item.cues if other != name]
    count = len(item.cues[name].splitlines())
    names = random.sample(others, min(count, len(others)))
    lines = [random.choice(item.cues[other].splitlines(keepends=True)) for other in names]
    return Choice("".join(lines) + item.prompt, item.options, item.group, name)


def head_effects(inside: Inside, choices: Choices, name: str, means: HeadMeans, seed: int = 0) -> HeadEffects:
    """Every head's indirect effect on the function's answers; raises UsageError for options of several tokens, and
    where the corrupt prompts leave the answer likelier than half of what it was."""
    asked = choices.having(name).items[:MOST_ITEMS]
    refuse_long_options(inside, asked, name)
    random = Random(f"{seed} {name}")
    clean = only(Choices(tuple(item.cued(name) for item in asked), choices.where), name)
    corrupt = only(Choices(tuple(mixed(item, name, random) for item in asked), choices.where), name)
    before, after = (float(_p(inside, part, name, untouched).mean()) for part in (clean, corrupt))
    if after > STILL * before:
        raise UsageError(
            f"{name}: its answers have p = {after:.2f} behind corrupt prompts, {before:.2f} behind clean ones, so no "
            "head can be told from another; give cues whose lines decide"
        )
    base, effects = _p(inside, corrupt, name, untouched), []
    for head in inside.names(("head",)):
        value = means.of(head, name).expand(len(asked), -1)
        effects.append(float((_p(inside, corrupt, name, patching(inside, {head: value})) - base).mean()))
    return HeadEffects(tuple(inside.names(("head",))), np.array(effects), before, after)


def function_vector(inside: Inside, means: HeadMeans, name: str, heads: Sequence[str]) -> Tensor:
    """[H] what the heads give for this function beyond the mean of all functions."""
    parts = [
        inside.contribution(head, means.of(head, name) - means.values[head].mean(dim=0).to(means.of(head, name)))
        for head in heads
    ]
    return torch.stack(parts).sum(dim=0).float().cpu()


def as_vector(start: SteeringVector, direction: Tensor) -> SteeringVector:
    """The direction at every layer of `start`, whose facts it has: which layer it is added at is chosen on dev."""
    lengths = {layer: share / float(start.layers[layer].norm()) for layer, share in start.norm_shares.items()}
    shares = {layer: float(direction.norm()) * scale for layer, scale in lengths.items()}
    return start.with_layers(dict.fromkeys(start.layers, direction), method="fv", norm_shares=shares)


def refuse_long_options(inside: Inside, items: Sequence[Choice], name: str) -> None:
    """Raises UsageError where the class's option is not one token."""
    for item in items:
        tokens = len(encode(inside.frozen.tokenizer, item.options[name], special=False).ids)
        if tokens != 1:
            raise UsageError(f"option {item.options[name]!r} is {tokens} tokens; one is needed here: give letters")


def _p(inside: Inside, choices: Choices, name: str, steer: Steer) -> NDArray[np.float64]:
    return np.exp(option_scores(inside.frozen, choices, steer).of(name))
