"""Is the map this model's? Its components add up to the residual stream, or something else was read."""

import torch
from torch import Tensor

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.hooks import capture
from soft_prompts.engine.activations.module_map import Inside

CLOSE = 1e-4  # of the largest value: a sum in another order changes float32 far less
ROUNDINGS = 3  # of a narrower type; one and less was seen


@torch.no_grad()
def check_map(inside: Inside) -> float:
    """How far the parts are from their sum, as a share of the largest value of the stream, on a few tokens.

    Heads and the projection's bias make up attn; what enters a block, attn and mlp what leaves it. Raises UsageError
    where either is more than 1e-4 apart, or three roundings of a narrower type: the map is not this model's.
    """
    names = inside.names()
    ids = torch.arange(8, device=inside.frozen.device)[None] % len(inside.frozen.vocabulary)
    with capture(inside, names) as held:
        inside.frozen.hidden(inside.frozen.embed(ids))
    values = {name: value.float() for name, value in held.items()}
    worst = max(_apart(inside, layer, values) for layer in range(inside.layers))
    if not worst <= max(CLOSE, rounding(inside)):
        raise UsageError(f"{inside.frozen.name}: components do not add up to the residual stream; give its ModuleMap")
    return worst


def rounding(inside: Inside) -> float:
    """What equal values, computed in two ways, may differ by: a share of their size."""
    return ROUNDINGS * torch.finfo(inside.frozen.vocabulary.dtype).eps


def _apart(inside: Inside, layer: int, held: dict[str, Tensor]) -> float:
    heads = [inside.contribution(f"head.{layer}.{head}", held[f"head.{layer}.{head}"]) for head in range(inside.heads)]
    bias = dict(inside.projection(layer).named_parameters()).get("bias")
    attention = torch.stack(heads).sum(dim=0) + (0.0 if bias is None else bias)
    stream = held[f"resid.{layer - 1}"] + held[f"attn.{layer}"] + held[f"mlp.{layer}"]
    after = held[f"resid.{layer}"]
    apart = [(attention - held[f"attn.{layer}"]).abs().max(), (stream - after).abs().max()]
    return float(torch.stack(apart).max() / after.abs().max())
