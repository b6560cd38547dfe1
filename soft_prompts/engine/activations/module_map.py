"""Where in a model does each component lie? A small table of architectures, and a ModuleMap for any other."""

from collections.abc import Iterable
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.components import component
from soft_prompts.models.model import FrozenModel


class ModuleMap(NamedTuple):
    """Paths of modules, as `get_submodule` takes them."""

    blocks: str
    """The list of blocks, from the model."""
    projection: str
    """The attention's output projection, from a block; what enters it is the heads side by side."""
    mlp: str
    """From a block."""


MAPS = {
    "gpt_neox": ModuleMap("gpt_neox.layers", "attention.dense", "mlp"),
    "llama": ModuleMap("model.layers", "self_attn.o_proj", "mlp"),
    "gpt2": ModuleMap("transformer.h", "attn.c_proj", "mlp"),
}


class Site(NamedTuple):
    """A place that a component's value can be read and changed at."""

    module: nn.Module
    is_input: bool
    """Is it what enters the module, or what it gives out?"""
    part: slice
    """Of the last axis."""
    width: int


class Inside:
    """The components of one model, found by its map."""

    def __init__(self, frozen: FrozenModel, given: ModuleMap | None = None) -> None:
        """Raises UsageError for a model that no map is known of."""
        kind = frozen.model.config.get_text_config().model_type
        if given is None and kind not in MAPS:
            raise UsageError(
                f"{frozen.name} is a {kind}, whose components are not known; give a model of {', '.join(MAPS)} "
                "(in Python, Inside takes a ModuleMap of any other)"
            )
        self.frozen, self.map = frozen, given or MAPS[kind]
        self.blocks = [*frozen.model.get_submodule(self.map.blocks).children()]
        self.heads: int = frozen.model.config.get_text_config().num_attention_heads

    @property
    def layers(self) -> int:
        return len(self.blocks)

    def projection(self, layer: int) -> nn.Module:
        return self.blocks[layer].get_submodule(self.map.projection)

    def matrix(self, layer: int) -> Float[Tensor, "A H"]:
        """The projection's matrix, heads by residual stream; GPT-2 keeps it so, the others turned."""
        weight = self.projection(layer).get_parameter("weight")
        return weight.T if isinstance(self.projection(layer), nn.Linear) else weight

    @property
    def head_width(self) -> int:
        return len(self.matrix(0)) // self.heads

    @property
    def hidden_size(self) -> int:
        return self.matrix(0).shape[1]

    def site(self, name: str) -> Site:
        """Where a component lies; raises UsageError for one that the model has not."""
        asked = component(name)
        least = -1 if asked.kind == "resid" else 0
        if not least <= asked.layer < self.layers:
            raise UsageError(f"component is {name}; {self.frozen.name} has layers {least} to {self.layers - 1}")
        whole = slice(0, self.hidden_size)
        if asked.kind == "resid":
            block = self.blocks[max(asked.layer, 0)]
            return Site(block, asked.layer < 0, whole, self.hidden_size)
        if asked.kind == "mlp":
            return Site(self.blocks[asked.layer].get_submodule(self.map.mlp), False, whole, self.hidden_size)
        if asked.head is None:
            return Site(self.projection(asked.layer), False, whole, self.hidden_size)
        if asked.head >= self.heads:
            raise UsageError(f"component is {name}; {self.frozen.name} has heads 0 to {self.heads - 1}")
        width = self.head_width
        return Site(self.projection(asked.layer), True, slice(asked.head * width, (asked.head + 1) * width), width)

    def contribution(self, name: str, value: Float[Tensor, "... W"]) -> Float[Tensor, "... H"]:
        """What a component's value is worth in the residual stream: of a head its slice of the projection, no bias."""
        asked = component(name)
        return value if asked.head is None else value @ self.matrix(asked.layer)[self.site(name).part].to(value)

    def names(self, kinds: Iterable[str] = ("resid", "attn", "mlp", "head")) -> list[str]:
        """Every component of the kinds, from the first layer on; of resid the embeddings too."""
        found = []
        for layer in range(-1, self.layers):
            here = {"resid": [f"resid.{layer}"]}
            if layer >= 0:
                here |= {"attn": [f"attn.{layer}"], "mlp": [f"mlp.{layer}"]}
                here |= {"head": [f"head.{layer}.{head}" for head in range(self.heads)]}
            found += [name for kind in kinds for name in here.get(kind, [])]
        return found
