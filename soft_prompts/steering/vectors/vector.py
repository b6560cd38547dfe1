"""What is a steering vector? A direction for each layer of the residual stream, as long as it came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from soft_prompts.common.errors import UsageError
from soft_prompts.data.jsonl import shown
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.models.model import FrozenModel
from soft_prompts.steering.data.choices import group_of
from soft_prompts.steering.scoring import Steer, adding

METHODS = ("mean", "pca", "fv", "fit")


@dataclass(frozen=True)
class SteeringVector:
    """Of one class, for one model."""

    layers: dict[int, Float[Tensor, " H"]]
    """Layer of `resid.L` -> what is added there."""
    name: str
    """The class that it asks for."""
    method: str
    model: str = ""
    fingerprint: str | None = None
    """Of the model that it was made on; None: not known."""
    classes: tuple[str, ...] = ()
    """That it was made of."""
    n: int | None = None
    """Prompts that it was made of, of all classes."""
    positions: str = "generated"
    """Where it is added."""
    norm_shares: dict[int, float] = field(default_factory=dict)
    """Of each layer, its norm over the mean norm of the residual stream."""
    layer: int | None = None
    """Chosen on dev, as is the strength."""
    strength: float | None = None
    seed: int = 0
    made_of: tuple[str, ...] = ()
    """`group_of` each prompt that it was made of or chosen on; empty: not known."""

    def at(self, layer: int, strength: float = 1.0) -> dict[str, Tensor]:
        """What `add` takes; raises UsageError for a layer that it has not."""
        if layer not in self.layers:
            raise UsageError(f"layer is {layer}; the vector has {', '.join(map(str, self.layers))}")
        return {f"resid.{layer}": strength * self.layers[layer]}

    def steer(self, inside: Inside, layer: int | None = None, strength: float | None = None) -> Steer:
        """At work with its chosen layer and strength, unless others are given."""
        layer = self.layer if layer is None else layer
        strength = self.strength if strength is None else strength
        if layer is None:
            raise UsageError("the vector has no layer chosen; give --layer, or choose one with steer fit")
        return adding(inside, self.at(layer, 1.0 if strength is None else strength), self.positions)

    def chosen(self, layer: int, strength: float) -> "SteeringVector":
        return replace(self, layer=layer, strength=strength)

    def with_layers(self, layers: Mapping[int, Tensor], **facts: object) -> "SteeringVector":
        """Other directions under the same facts."""
        return replace(self, layers=dict(layers), **facts)  # pyright: ignore[reportArgumentType]


def refuse_seen(vector: SteeringVector, prompts: Sequence[str], where: str, made_of: Sequence[str] = ()) -> None:
    """Raises UsageError where test prompts are among those that the vector was made of or chosen on: those that it
    keeps, and the prompts `made_of`, if they are known from elsewhere."""
    known = {*vector.made_of, *map(group_of, made_of)}
    if seen := [prompt for prompt in prompts if group_of(prompt) in known]:
        raise UsageError(
            f"the vector of {vector.name!r} was made of, or chosen on, {len(seen)} of {len(prompts)} test items of "
            f"{where}, as {shown(seen[0])}; give other test data, or make the vector on the train split of these"
        )


def refuse_twice(vectors: Sequence[SteeringVector]) -> None:
    """Raises UsageError where a vector is given again, by whatever path: it would pass for a further seed."""
    for place, one in enumerate(vectors):
        for other in vectors[:place]:
            told = ((vector.name, vector.method, vector.seed, list(vector.layers)) for vector in (one, other))
            if len(set(map(repr, told))) == 1 and all(
                torch.equal(value, other.layers[layer]) for layer, value in one.layers.items()
            ):
                raise UsageError(f"the vector of {one.name!r} is given twice; give each once, or other seeds")


def refuse_other(vector: SteeringVector, frozen: FrozenModel, allow_mismatch: bool | None = None) -> None:
    """Raises UsageError for a vector of another model, another width, nothing, or what is no number.

    `allow_mismatch`: whether another model was allowed; None where nobody could allow it.
    """
    if vector.fingerprint not in (None, frozen.fingerprint) and not allow_mismatch:
        raise UsageError(_of_another(vector, frozen) + ("" if allow_mismatch is None else ", or --allow-mismatch"))
    inside, own = Inside(frozen), "give --model with the vector's own"
    for layer, direction in vector.layers.items():
        if not -1 <= layer < inside.layers:
            raise UsageError(f"the vector has layer {layer}; {frozen.name} has layers -1 to {inside.layers - 1}; {own}")
        if len(direction) != inside.hidden_size:
            raise UsageError(
                f"the vector has {len(direction)} dimensions; {frozen.name} has {inside.hidden_size}; {own}"
            )
        if not bool(torch.isfinite(direction).all()):
            raise UsageError(f"layer {layer} of the vector is not finite; make it again")
        if not bool(direction.any()):
            raise UsageError(f"layer {layer} of the vector is zero; leave the layer out, or make it again")


def _of_another(vector: SteeringVector, frozen: FrozenModel) -> str:
    if vector.model in ("", frozen.name):
        return f"the vector was made on other files than those of {frozen.name}; make it again, or give its own --model"
    return f"the vector was made on {vector.model}, and this is {frozen.name}; give --model {vector.model}"
