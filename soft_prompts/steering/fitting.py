"""A vector for each class, by any method, with layer and strength chosen on dev: `soft-prompts steer fit`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.engine.activations.sums import check_map
from soft_prompts.stats.bootstrap import Interval
from soft_prompts.steering.data.choices import Choices, group_of, with_cues
from soft_prompts.steering.effects import STRENGTHS, Tried, choose, intervals
from soft_prompts.steering.scoring import option_scores
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


class Unsteered(NamedTuple):
    """How well the model itself does what the vector is to ask for, told by the cue, or by the prompt that shows it."""

    accuracy: Interval
    """Of train and dev items."""
    chance: float
    items: int

    @property
    def is_above_chance(self) -> bool:
        """Beyond doubt, where there are groups enough to say."""
        low = self.accuracy.value if self.accuracy.low is None else self.accuracy.low
        return low > self.chance

    def figures(self) -> dict[str, Any]:
        """As finding.schema.json has them."""
        return {**self._asdict(), "above_chance": self.is_above_chance}


@dataclass(frozen=True)
class Fitted:
    """A vector, and what was tried to choose its layer and strength."""

    vector: SteeringVector
    tried: tuple[Tried, ...]
    heads: HeadEffects | None = None
    """Of method fv."""
    unsteered: Unsteered | None = None
    """None where neither cues nor prompts tell the model what is asked for."""


def fit_vectors(inside: Inside, choices: Choices, wanted: Wanted = Wanted()) -> list[Fitted]:
    """Made of the train split, chosen on dev. Raises UsageError for data or classes that no vector can be made of."""
    check_map(inside)
    train, dev = choices.part("train"), choices.part("dev")
    names = wanted.classes or choices.classes
    if missing := [name for name in names if name not in choices.classes]:
        raise UsageError(f"{choices.where}: class {missing[0]!r} is missing; it has {', '.join(choices.classes)}")
    if wrong := [strength for strength in wanted.strengths if not 0 < strength < float("inf")]:
        raise UsageError(f"strengths holds {wrong[0]}; give numbers above 0")
    _refuse_absent((train, dev), names)
    found = Activations(inside, train, wanted.layers or None)
    made_of = tuple(dict.fromkeys(group_of(item.prompt) for part in (train, dev) for item in part.items))
    fitted = [_fitted(inside, (found, train, dev), name, wanted) for name in names]
    return [
        replace(one, vector=replace(one.vector, made_of=made_of), unsteered=unsteered(inside, (train, dev), name))
        for one, name in zip(fitted, names, strict=True)
    ]


def unsteered(inside: Inside, parts: Sequence[Choices], name: str) -> Unsteered | None:
    """Of a class, on items of all parts that offer it."""
    items = tuple(item for part in parts for item in part.items if name in item.options)
    asked: Choices | None = replace(parts[0], items=items)
    if items[0].shown is None:
        asked = with_cues(asked, name)
    else:
        asked = replace(asked, items=tuple(item for item in items if item.shown == name))
    if asked is None:
        return None
    right = option_scores(inside.frozen, asked).right(name)
    chance = sum(1 / len(item.options) for item in asked.items) / len(asked.items)
    return Unsteered(intervals({"accuracy": right[None]}, asked.groups)["accuracy"], chance, len(asked.items))


def cannot_do(fitted: Sequence[Fitted]) -> list[str]:
    """A line on the classes that the model itself does not tell from the others; none where there are none."""
    told = {one.vector.name: one.unsteered for one in fitted if one.unsteered is not None}
    weak = {name: one for name, one in told.items() if not one.is_above_chance}
    if not weak:
        return []
    shares = (f"{name} {one.accuracy.text} of {one.items} (chance {one.chance:.2f})" for name, one in weak.items())
    asked = "train and dev items that ask it for the class"
    return [f"the model itself is not right beyond chance on {asked}: {', '.join(shares)}"]


def _refuse_absent(parts: Sequence[Choices], names: Sequence[str]) -> None:
    """Raises UsageError where a class is in the file, and not in a part that its vector is made of or chosen on."""
    there = [name for name in names if all(name in part.classes for part in parts)]
    for part in parts:
        if absent := [name for name in names if name not in part.classes]:
            less = f", or --classes {' '.join(there)}" if there else ""
            raise UsageError(f"{part.lacks(absent[0])}{less}")


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
