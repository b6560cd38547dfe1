"""How do texts of any lengths go through a model as one row, behind beginnings that they share, without padding?

A packed row [1 N H] is segments, one behind another. Every layer but attention treats positions alike, so attention
alone has to know of them: a segment sees itself, causally, and all of what it stands behind. What is shared goes
through the model once. The function is registered with transformers under a name of its own and in use only within
`packed`; the probe at load finds out for which models that is the plain forward to rounding.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "soft_prompts_packed"
SHORT = 256  # queries: of fewer the kernel goes back in float32 as fast as in 16 bits, or up to 14 times as fast
# Arguments of attentions that are more than a softmax over all that is before.
SOFTENED = ("softcap", "s_aux", "position_bias", "head_mask", "block_indices", "indices")

Heads = tuple[Tensor, Tensor]


class NotPacked(RuntimeError):
    """The model asks of attention what a packed row cannot give: the plain road is left."""


class Stretch(NamedTuple):
    """Segments of one length, one behind another, and what each of them stands behind."""

    start: int
    segments: int
    length: int
    """Of each."""
    earlier: slice | None = None
    """Positions of an earlier row, whose keys and values are kept and have no gradient."""
    prefix: slice | None = None
    """Positions of this row, behind those of the earlier one."""

    @property
    def here(self) -> slice:
        """The positions of all its segments."""
        return slice(self.start, self.start + self.segments * self.length)


class Layout(NamedTuple):
    """What stands where in a packed row."""

    stretches: tuple[Stretch, ...]
    positions: Int[Tensor, "1 N"]
    """Each position's number in its own text, prompt included."""
    longest: int
    """Positions of the longest text."""
    earlier: Sequence[Heads] | None = None
    """Keys and values [G M D] of an earlier row, call by call of attention."""


class _Passing(NamedTuple):
    """A packed row on its way through the model."""

    layout: Layout
    earlier: Iterator[Heads]
    kept: list[Heads] | None


_passing: ContextVar[_Passing] = ContextVar("packed row")


def stretches_of(
    start: int, lengths: Sequence[int], earlier: slice | None = None, prefix: slice | None = None
) -> list[Stretch]:
    """Segments that lie one behind another from `start` on; sorted by length they are few stretches."""
    found = list[Stretch]()
    for length, alike in groupby(lengths):
        count = len(list(alike))
        found += [Stretch(start, count, length, earlier, prefix)] if length else []
        start += count * length
    return found


@contextmanager
def packed(model: PreTrainedModel, layout: Layout, kept: list[Heads] | None = None) -> Iterator[None]:
    """Within, the model's attention reads one row by its layout; keys and values are added to `kept`."""
    named = {id(part.config): part.config for part in model.modules() if isinstance(part, PreTrainedModel)}
    before = [(config, config._attn_implementation) for config in named.values()]
    token = _passing.set(_Passing(layout, iter(layout.earlier or ()), kept))
    try:
        for config, _ in before:
            config._attn_implementation = NAME
        yield
    finally:
        _passing.reset(token)
        for config, implementation in before:
            config._attn_implementation = implementation


def _no_mask(*arguments: Any, local_size: int | None = None, **more: Any) -> Tensor | None:
    """Asked for where a model makes its mask; a window or chunk that the texts fit into is none."""
    passing = _passing.get(None)
    if passing is None:
        return sdpa_mask(*arguments, local_size=local_size, **more)
    if local_size is not None and local_size < passing.layout.longest:
        raise NotPacked(f"attention reaches back {local_size} positions, and a text has more")
    return None


def _attention(
    module: torch.nn.Module,
    query: Float[Tensor, "1 h N D"],
    key: Float[Tensor, "1 g N D"],
    value: Float[Tensor, "1 g N D"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[Float[Tensor, "1 N h D"], None]:
    """The attention of a packed row, as transformers calls it; the usual one where another thread asks meanwhile."""
    passing = _passing.get(None)
    if passing is None:
        rest = {"scaling": scaling, "dropout": dropout, **more}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **rest)
    unknown = [name for name in SOFTENED if more.get(name) is not None]
    if unknown or dropout or attention_mask is not None or len(query) > 1 or key.shape != value.shape:
        raise NotPacked(f"attention of {type(module).__name__} is more than a softmax of one row")
    if more.get("is_causal") is False:
        raise NotPacked(f"attention of {type(module).__name__} is not causal")
    if passing.kept is not None:
        passing.kept.append((key[0].detach(), value[0].detach()))
    attend = merged if query.device.type == "cpu" else joined
    heads = query[0], key[0], value[0]
    return attend(*heads, scaling, passing.layout.stretches, next(passing.earlier, None))[None], None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _no_mask)


def joined(
    query: Float[Tensor, "h N D"],
    key: Float[Tensor, "g N D"],
    value: Float[Tensor, "g N D"],
    scale: float | None,
    stretches: Sequence[Stretch],
    earlier: Heads | None,
) -> Float[Tensor, "N h D"]:
    """One attention a stretch, what it stands behind repeated before each of its segments."""
    if len(key) < len(query) and query.dtype == torch.float32:  # a GPU's kernels share heads in half precision alone
        times = len(query) // len(key)
        key, value = (heads.repeat_interleave(times, 0) for heads in (key, value))
        earlier = earlier and (earlier[0].repeat_interleave(times, 0), earlier[1].repeat_interleave(times, 0))
    attend = partial(scaled_dot_product_attention, scale=scale, enable_gqa=len(key) < len(query))
    sizes = [one.segments * one.length for one in stretches]  # the whole row, in order: backwards one cat, no slices
    pieces = [heads.split(sizes, dim=1) for heads in (query, key, value)]
    whole = {(one.here.start, one.here.stop): number for number, one in enumerate(stretches)}
    found = list[Tensor]()
    for number, one in enumerate(stretches):
        asked, keys, values = (_beside(one, piece[number]) for piece in pieces)
        prefix = one.prefix and whole.get((one.prefix.start, one.prefix.stop))
        behind = _behind(
            one, (key, value), earlier, None if prefix is None else [piece[prefix] for piece in pieces[1:]]
        )
        if behind is None:
            out = attend(asked, keys, values, is_causal=True)
        else:
            before = (heads.expand(len(asked), -1, -1, -1) for heads in behind)
            keys, values = (torch.cat(pair, dim=2) for pair in zip(before, (keys, values), strict=True))
            mask: Any = causal_lower_right(asked.shape[2], keys.shape[2])
            out = attend(asked, keys, values, attn_mask=mask)
        found.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(found)


def merged(
    query: Float[Tensor, "h N D"],
    key: Float[Tensor, "g N D"],
    value: Float[Tensor, "g N D"],
    scale: float | None,
    stretches: Sequence[Stretch],
    earlier: Heads | None,
) -> Float[Tensor, "N h D"]:
    """Two attentions a stretch, of its segments to themselves and to what they stand behind, merged by the logarithms
    of their sums; nothing is repeated. For the CPU, whose kernel gives these and takes them back."""
    return _Merged.apply(query, key, value, scale, stretches, earlier)  # pyright: ignore[reportReturnType]


_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def _slopes(
    rows: Sequence[Tensor], sums: Tensor, *, is_causal: bool, scale: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Of queries, keys and values, by the kernel in the type that it is fast in; `rows`: the gradient of the answer,
    these three, and the answer."""
    rows = [row.float() for row in rows] if rows[1].shape[2] < SHORT else rows
    return _backward(*rows, sums, 0.0, is_causal, scale=scale)


class _Merged(torch.autograd.Function):
    """The gradient of either attention needs the sum over both, and no more of the other."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scale: float | None,
        stretches: Sequence[Stretch],
        earlier: Heads | None,
    ) -> Tensor:
        out = query.new_empty(query.shape[1], *query.shape[::2])
        total = query.new_empty(*query.shape[:2], 1, dtype=torch.float32)
        for one in stretches:
            own, sums = _forward(*(_apart(one, heads) for heads in (query, key, value)), 0.0, True, scale=scale)
            own, sums = _together(own), _together(sums[..., None])
            behind = _behind(one, (key, value), earlier)
            if behind is not None:
                other, more = _forward(query[None, :, one.here], *behind, 0.0, False, scale=scale)
                both = torch.logaddexp(sums, more[0, ..., None])
                own = own * (sums - both).exp_() + other[0] * (more[0, ..., None] - both).exp_()
                sums = both
            out[one.here] = own.transpose(0, 1)
            total[:, one.here] = sums
        ctx.save_for_backward(query, key, value, out, total)
        ctx.asked = scale, stretches, earlier
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, total = ctx.saved_tensors
        scale, stretches, earlier = ctx.asked
        found = [torch.zeros_like(heads, dtype=torch.float32) for heads in (query, key, value)]  # sums of many
        rows = [grads[0].transpose(0, 1), query, key, value, out.transpose(0, 1), total]
        for one in stretches:
            *parts, sums = (_apart(one, heads) for heads in rows)
            own = _slopes(parts, sums[..., 0], is_causal=True, scale=scale)
            for whole, part in zip(found, own, strict=True):
                whole[:, one.here] += _together(part)
            behind = _behind(one, (key, value), earlier)
            if behind is None:
                continue
            gradient, asked, answer, sums = (rows[place][None, :, one.here] for place in (0, 1, 4, 5))
            more = _slopes([gradient, asked, *behind, answer], sums[..., 0], is_causal=False, scale=scale)
            found[0][:, one.here] += more[0][0]
            if one.prefix is not None:
                here = one.prefix.stop - one.prefix.start  # the earlier row comes first, and has no gradient
                for whole, part in zip(found[1:], more[1:], strict=True):
                    whole[:, one.prefix] += part[0, :, -here:]
        return (*(slope.to(query.dtype) for slope in found), None, None, None)


def _apart(one: Stretch, heads: Float[Tensor, "h N D"]) -> Float[Tensor, "count h L D"]:
    """The segments of a stretch beside one another."""
    return _beside(one, heads[:, one.here])


def _beside(one: Stretch, piece: Float[Tensor, "h n D"]) -> Float[Tensor, "count h L D"]:
    return piece.unflatten(1, (one.segments, one.length)).transpose(0, 1)


def _together(segments: Float[Tensor, "count h L D"]) -> Float[Tensor, "h n D"]:
    """The positions of a stretch in one row again."""
    return segments.transpose(0, 1).flatten(1, 2)


def _behind(
    one: Stretch, heads: Heads, earlier: Heads | None, prefix: Sequence[Tensor] | None = None
) -> list[Float[Tensor, "1 g C D"]] | None:
    """Keys and values of what a stretch stands behind; `prefix`: those of this row, where they are at hand."""
    if one.earlier is None and one.prefix is None:
        return None
    assert one.earlier is None or earlier is not None, "a stretch stands behind an earlier row that is not there"
    parts = list[list[Tensor]]([[], []])
    if one.earlier is not None and earlier is not None:
        for part, of in zip(parts, earlier, strict=True):
            part.append(of[:, one.earlier])
    if one.prefix is not None:
        for part, of in zip(parts, prefix or [whole[:, one.prefix] for whole in heads], strict=True):
            part.append(of)
    return [torch.cat(part, dim=1)[None] if len(part) > 1 else part[0][None] for part in parts]
