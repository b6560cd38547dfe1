"""Which part of the model is meant? `resid.3`, `attn.3`, `mlp.3`, `head.3.1`: names that hold in every architecture.

resid.L is the residual stream behind block L, resid.-1 what enters block 0 (GPT-2's position embeddings included);
attn.L and mlp.L are what a block's two parts add to it; head.L.H is what head H gives to the attention's output
projection. Never the model's `hidden_states`, whose last entry is already normed. Names of TransformerLens are aliases.
"""

import re
from typing import NamedTuple

from soft_prompts.common.errors import UsageError

KINDS = ("resid", "attn", "mlp", "head")
NAME = re.compile(r"(resid|attn|mlp)\.(-?\d+)|(head)\.(\d+)\.(\d+)")
ALIASES = {  # of TransformerLens
    r"hook_embed": "resid.-1",
    r"blocks\.(\d+)\.hook_resid_post": "resid.{0}",
    r"blocks\.(\d+)\.hook_resid_pre": "resid.{0}",  # of the block before
    r"blocks\.(\d+)\.hook_attn_out": "attn.{0}",
    r"blocks\.(\d+)\.hook_mlp_out": "mlp.{0}",
    r"blocks\.(\d+)\.attn\.hook_z\.(\d+)": "head.{0}.{1}",
}


class Component(NamedTuple):
    """One part of the model."""

    kind: str
    layer: int
    head: int | None = None

    @property
    def name(self) -> str:
        """As `component` reads it."""
        return ".".join(str(part) for part in self if part is not None)


def component(name: str) -> Component:
    """The part of a name; raises UsageError for a name that is none."""
    for alias, ours in ALIASES.items():
        if found := re.fullmatch(alias, name):
            before = alias.endswith("resid_pre")
            name = ours.format(*(int(number) - before for number in found.groups()))
    found = NAME.fullmatch(name)
    if found is None:
        raise UsageError(f"component is {name!r}; give resid.L, attn.L, mlp.L or head.L.H")
    kind, layer, _, head_layer, head = found.groups()
    return Component("head", int(head_layer), int(head)) if kind is None else Component(kind, int(layer))
