"""A vector for each class, by any method, with layer and strength chosen on dev: `soft-prompts steer fit`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.engine.activations.sums import check_map
from soft_prompts.steering.data.choices import Choices, group_of
from soft_prompts.steering.effects import STRENGTHS, Tried, choose
from soft_prompts.steering.vectors.contrast import Activations, contrast_vector
from soft_prompts.steering.vectors.fit import Fitting, fitted_vector
from soft_prompts.steering.vectors.function import HeadEffects, as_vector, function_vector, head_effects, head_means
from soft_prompts.steering.vectors.vector import SteeringVector

Method = Literal["mean", "pca", "fv", "fit"]


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    method: Method = "mean"
    classes: tuple[str, ...] = ()
    """Empty: all that the data have."""
    positions: str = "generated"
    layers: tuple[int, ...] = ()
    """Empty: all."""
    strengths: tuple[float, ...] = STRENGTHS
    seed: int = 0
    fitting: Fitting = field(default_factory=Fitting)


@dataclass(frozen=True)
class Fitted:
    """A vector, and what was tried to choose its layer and strength."""

    vector: SteeringVector
    tried: tuple[Tried, ...]
    heads: HeadEffects | None = None
    """Of method fv."""


def fit_vectors(inside: Inside, choices: Choices, wanted: Wanted = Wanted()) -> list[Fitted]:
    """Made of the train split, chosen on dev. Raises UsageError for data or classes that no vector can be made of."""
    check_map(inside)
    train, dev = choices.part("train"), choices.part("dev")
    names = wanted.classes or choices.classes
    if missing := [name for name in names if name not in choices.classes]:
        raise UsageError(f"{choices.where}: class {missing[0]!r} is missing; it has {', '.join(choices.classes)}")
    if wrong := [strength for strength in wanted.strengths if not 0 < strength < float("inf")]:
        raise UsageError(f"strengths holds {wrong[0]}; give numbers above 0")
    found = Activations(inside, train, wanted.layers or None)
    made_of = tuple(dict.fromkeys(group_of(item.prompt) for part in (train, dev) for item in part.items))
    fitted = [_fitted(inside, (found, train, dev), name, wanted) for name in names]
    return [replace(one, vector=replace(one.vector, made_of=made_of)) for one in fitted]


def _fitted(inside: Inside, data: tuple[Activations, Choices, Choices], name: str, wanted: Wanted) -> Fitted:
    found, train, dev = data
    start = contrast_vector(found, name, "pca" if wanted.method == "pca" else "mean", positions=wanted.positions)
    heads = None
    if wanted.method == "fv":
        means = head_means(inside, train)
        heads = head_effects(inside, train, name, means, wanted.seed)
        start = as_vector(start, function_vector(inside, means, name, heads.top()))
    tried = choose(inside, start, dev, wanted.strengths)
    best = start.chosen(tried[0].layer, tried[0].strength)
    if wanted.method == "fit":
        fitted = fitted_vector(inside, train, start, tried[0].layer, replace(wanted.fitting, seed=wanted.seed))
        tried = [*choose(inside, fitted, dev, wanted.strengths), *tried]
        best = fitted.chosen(tried[0].layer, tried[0].strength)
    return Fitted(best, tuple(tried), heads)


def chosen(inside: Inside, vector: SteeringVector, choices: Choices, strengths: Sequence[float] = STRENGTHS) -> Fitted:
    """A vector as it came, with layer and strength chosen on dev where it has none."""
    if vector.layer is not None and vector.strength is not None:
        return Fitted(vector, ())
    tried = choose(inside, vector, choices.part("dev"), strengths)
    return Fitted(vector.chosen(tried[0].layer, tried[0].strength), tuple(tried))
