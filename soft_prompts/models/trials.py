"""Does a small forward say on one road what it says on another? The comparisons behind the probes.

Logits are compared in float32, relative to the largest of them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from soft_prompts.models.model import FrozenModel, Writing, scales_by_row
from soft_prompts.models.packed import Heads, Layout, NotPacked, stretches_of
from soft_prompts.models.writing import ROADS, Choice

LENGTHS = (13, 4, 9)  # longest first; beyond the sliding windows and chunks of small models
PADDING = 160  # positions in front of rows that are to be written on: more than a block of sparse attentions has
WRITTEN = 3  # tokens: from the first on, then out of a cache
TOLERANCE = {torch.float32: 1e-4}  # of the largest logit: another order of summing, and no more
COARSE = 3e-2  # the same in 16 bits
SLOPE = 0.15  # of the gradient's length, in 16 bits: thirty layers of rounding are .05, one text's part is .24 and more
LOUD = 1000.0  # hidden states are scaled up to logits of this size: no rounding hides a cap or scale there
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)  # whatever a model's own code may raise on a road that it has not


def probe_texts(frozen: FrozenModel) -> list[Int[Tensor, "1 T"]]:
    """Random tokens, special ones left out; the same ones at every load."""
    known = min(len(frozen.tokenizer), len(frozen.embedding.weight))
    plain = sorted(set(range(known)) - set(frozen.tokenizer.all_special_ids)) or list(range(known))
    generator = torch.Generator().manual_seed(0)
    picks = [torch.randint(len(plain), (length,), generator=generator).tolist() for length in LENGTHS]
    return [torch.tensor([[plain[pick] for pick in row]], device=frozen.device) for row in picks]


def another_token(frozen: FrozenModel, ids: Int[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Of each id the next one, the first behind the last."""
    return (ids + 1) % len(frozen.embedding.weight)


def not_finite(frozen: FrozenModel, logits: Sequence[Tensor]) -> str | None:
    """What is NaN or infinite, a weight if there is one, and what to do; None where all logits are numbers."""
    if all(one.isfinite().all() for one in logits):
        return None
    try:
        weights = frozen.model.named_parameters()
        spoilt = next((name for name, weight in weights if not weight.isfinite().all()), None)
    except FAILURES:  # of a weight that is no plain number, or lies on the disk
        spoilt = None
    if spoilt is not None:
        return f"its weight {spoilt} is not finite (NaN or infinite); give another checkpoint"
    return f"its logits are not finite (NaN or infinite) in {frozen.dtype}; give another --dtype or checkpoint"


def is_like_cached(frozen: FrozenModel, ids: Int[Tensor, "1 T"], own: Float[Tensor, "1 T V"]) -> bool:
    """Does the model say the same where it is free to fill a cache? A cache that cannot be filled is no matter."""
    try:
        return same(frozen.model(input_ids=ids).logits, own)
    except FAILURES:
        return True


def is_like_ids(frozen: FrozenModel, ids: Int[Tensor, "1 T"], own: Float[Tensor, "1 T V"]) -> bool:
    """Do the embeddings of ids have the ids' own logits, and vectors between tokens finite ones?"""
    embeds = frozen.embed(ids)
    if not frozen.logits((embeds + embeds.roll(1, 1)) / 2).isfinite().all():
        return False
    return same(frozen.logits(embeds), own)


def is_like_alone(frozen: FrozenModel, rows: list[Tensor], alone: list[Tensor]) -> bool:
    """Rows [T H], padded on the right as in training, against each by itself."""
    try:
        batch = frozen.logits(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0.0))
    except FAILURES:
        return False
    return all(same(logits[: len(own)], own) for logits, own in zip(batch, alone, strict=True))


def is_plain_head(frozen: FrozenModel, head: torch.nn.Linear) -> bool:
    """Are the logits the head's of the last hidden states, also where these are so large that a cap or scale is far
    above rounding?"""
    embeds = frozen.embed(probe_texts(frozen)[0])
    try:
        hidden = frozen.hidden(embeds)
        if frozen.model.base_model is frozen.model or not same(frozen.logits(embeds), head(hidden)):
            return False
        louder = LOUD / float(head(hidden).abs().max())
        with _scaled(frozen.model.base_model, louder):
            return same(frozen.logits(embeds), head(hidden * louder))
    except FAILURES:
        return False


@contextmanager
def _scaled(body: torch.nn.Module, factor: float) -> Iterator[None]:
    """Within, the body's last hidden states are so many times larger."""

    def scale(_: torch.nn.Module, __: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state * factor
        return output

    hook = body.register_forward_hook(scale)
    try:
        yield
    finally:
        hook.remove()


def packs_like_alone(frozen: FrozenModel) -> bool:
    """Does a packed row give every text's own logits, and the gradient of what they share?

    The first text is the head of the others, once in the same row and once in an earlier one.
    """
    head, *tails = (frozen.embed(ids)[0] for ids in probe_texts(frozen))
    tails = [tails[0], tails[1], tails[1].flip(0)]
    try:
        with torch.enable_grad():
            own, one, two = (head.detach().clone().requires_grad_() for _ in range(3))
            alone = [_answers(frozen, torch.cat([own, tail])[None])[0] for tail in tails]
            expected = torch.cat([alone[0][: len(head)], *(row[len(head) :] for row in alone)])
            whole = _packed(frozen, [one, *tails])
            behind = _packed_behind(frozen, two, tails)
            slopes = [_slope(row[len(head) :], leaf) for row, leaf in ((expected, own), (whole, one))]
    except (*FAILURES, NotPacked):
        return False
    return same(whole, expected) and same(behind, expected[len(head) :]) and _same_slope(*slopes)


def _slope(answers: Float[Tensor, "N D"], leaf: Float[Tensor, "_ H"]) -> Float[Tensor, "_ H"]:
    """Gradient of a sum that no normalisation holds fast."""
    weights = torch.linspace(-1, 1, answers.shape[1], device=answers.device)
    return torch.autograd.grad((answers.float() @ weights).sum(), leaf)[0]


def _same_slope(expected: Float[Tensor, "_ H"], found: Float[Tensor, "_ H"]) -> bool:
    """Rounding adds up backwards through the layers: in 16 bits it is the direction and length of all that is asked."""
    if found.dtype in TOLERANCE:
        return same(found, expected)
    expected, found = expected.float(), found.float()
    return bool((found - expected).norm() <= SLOPE * expected.norm())


def _answers(frozen: FrozenModel, embeds: Float[Tensor, "B S H"]) -> Tensor:
    return frozen.logits(embeds) if frozen.head is None else frozen.hidden(embeds)


def _packed(frozen: FrozenModel, segments: Sequence[Float[Tensor, "_ H"]]) -> Tensor:
    """A packed row in which the first segment is the head of the others."""
    head, *lengths = map(len, segments)
    stretches = [*stretches_of(0, [head]), *stretches_of(head, lengths, prefix=slice(0, head))]
    positions = torch.cat([torch.arange(head), *(torch.arange(head, head + length) for length in lengths)])
    layout = Layout(tuple(stretches), positions[None], head + max(lengths))
    return frozen.packed(torch.cat(list(segments))[None], layout)


def _packed_behind(frozen: FrozenModel, head: Float[Tensor, "_ H"], tails: Sequence[Float[Tensor, "_ H"]]) -> Tensor:
    """A packed row of the tails, whose head is in an earlier row."""
    kept, size, lengths = list[Heads](), len(head), [len(tail) for tail in tails]
    alone = Layout(tuple(stretches_of(0, [size])), torch.arange(size)[None], size)
    frozen.packed(head[None], alone, kept)
    positions = torch.cat([torch.arange(size, size + length) for length in lengths])
    stretches = tuple(stretches_of(0, lengths, earlier=slice(0, size)))
    layout = Layout(stretches, positions[None], size + max(lengths), kept)
    return frozen.packed(torch.cat(list(tails))[None], layout)


def writes_like_forward(frozen: FrozenModel, writing: Writing) -> bool:
    """Are the logits that tokens are chosen by those of the whole row's forward?"""
    rows = [frozen.embed(ids)[0] for ids in probe_texts(frozen)]
    rows = [rows[0], rows[0].flip(0)] if writing.batching.kind == "equal" else rows
    rows = rows[:1] if writing.batching.kind == "alone" else rows
    embeds = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_side="left")
    if len({len(row) for row in rows}) > 1:
        if scales_by_row(frozen.model.config) is not None:
            return False
        spare = math.inf if frozen.context_length is None else frozen.context_length - embeds.shape[1] - WRITTEN
        embeds = torch.nn.functional.pad(embeds, (0, 0, int(max(0, min(PADDING, spare))), 0))
    starts = torch.tensor([embeds.shape[1] - len(row) for row in rows], device=frozen.device)
    mask = torch.arange(embeds.shape[1], device=frozen.device) >= starts[:, None]
    try:
        written = ROADS[writing.road](frozen, embeds, mask, Choice(WRITTEN), keep=True)
    except FAILURES:
        return False
    return written.logits is not None and all(map(_goes_on(frozen), rows, written.tokens, written.logits))


def _goes_on(frozen: FrozenModel) -> Callable[[Tensor, Tensor, Tensor], bool]:
    def like_forward(row: Tensor, tokens: Tensor, logits: Tensor) -> bool:
        whole = torch.cat([row, frozen.embed(tokens[None, :-1])[0]])
        return len(tokens) == WRITTEN and same(logits, frozen.logits(whole[None])[0, len(row) - 1 :])

    return like_forward


def same(one: Tensor, other: Tensor) -> bool:
    """Equal up to rounding, relative to the largest value."""
    tolerance = TOLERANCE.get(other.dtype, COARSE)
    largest = float(other.float().abs().max())
    return bool((one.float() - other.float()).abs().max() <= tolerance * largest)
