"""What does the frozen model say about text with a prompt in it?

Embed, insert, run the body, and let scored positions alone reach the vocabulary matrix: in one packed row where the
model can read it, else, and as its reference, on the plain road, sample beside padded sample.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._subclasses.fake_tensor import is_fake

from soft_prompts.engine.batch import Batch
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.engine.loss import head_loss, logits_loss
from soft_prompts.engine.rows.evened import Evened, even
from soft_prompts.engine.rows.packing import WORTH, Packing, chains_of, pack, scored_of
from soft_prompts.engine.rows.recorded import Answers, does_the_same, is_usable, is_worth, recorded
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.packed import Heads, Layout, NotPacked
from soft_prompts.tasks.task import UNSCORED


class TokenLosses(NamedTuple):
    """One entry a scored token, rows in order."""

    nats: Float[Tensor, " N"]
    row: Int[Tensor, " N"]
    """The sample that the token belongs to."""
    hits: Bool[Tensor, " N"] | None
    """Is the token the model's first choice? None where a gradient is wanted."""
    weights: Float[Tensor, " N"] | None = None
    """How much each token counts; None: all alike."""


def token_losses(frozen: FrozenModel, prompt: nn.Module, batch: Batch) -> TokenLosses:
    """Loss of every scored label of a batch; gradient to the prompt's parameters alone."""
    return token_losses_together(frozen, [(prompt, batch)])[0]


def token_losses_together(frozen: FrozenModel, parts: Sequence[tuple[nn.Module, Batch]]) -> list[TokenLosses]:
    """Losses of several prompts, each on a batch of its own, up to rounding those of each alone.

    In one packed row, where the model can read it, on a GPU in one whose form comes again; else one after another on
    the plain road.
    """
    emitted = [_emit(frozen, prompt, batch) for prompt, batch in parts]
    if frozen.packs:
        chains = [chains_of(one.batch, part, one.kinds, one.tokens) for part, one in enumerate(emitted)]
        packing = pack(
            [chain for part in chains for chain in part],
            prompts_alone=torch.is_grad_enabled() and not frozen.learns,
        )
        if records(frozen):
            evened = even(chains)
            if is_worth(frozen.model, evened.length, packing.work):
                with suppress(NotPacked):
                    return _even_losses(frozen, emitted, evened)
        if len(parts) > 1 or packing.work < (1 - WORTH) * emitted[0].work:
            with suppress(NotPacked):
                return _packed_losses(frozen, emitted, packing)
    return [_plain_losses(frozen, one) for one in emitted]


def records(frozen: FrozenModel) -> bool:
    """On one GPU, where weights are numbers and stay, nothing is hooked in, and sums may come in any order."""
    if frozen.device.type != "cuda" or frozen.is_spread or frozen.in_step or is_fake(frozen.embedding.weight):
        return False
    if frozen.learns or torch.are_deterministic_algorithms_enabled() or _is_hooked(frozen.model):
        return False
    return does_the_same(frozen.model.config) and is_usable(frozen.model)


def _is_hooked(model: nn.Module) -> bool:
    """But for the hooks that transformers leaves behind, which do nothing unless they are asked."""
    hooks = (
        hook
        for part in model.modules()
        for some in (part._forward_hooks, part._forward_pre_hooks)
        for hook in some.values()
    )
    return any(getattr(hook, "__name__", "") != "output_capturing_hook" for hook in hooks)


class _Emitted(NamedTuple):
    """A batch, and the vectors that a prompt makes of its different conditions."""

    batch: Batch
    vectors: Float[Tensor, "G P H"]
    kinds: list[int]
    """Of each sample, which of the G."""

    @property
    def tokens(self) -> int:
        """P."""
        return self.vectors.shape[1]

    @property
    def work(self) -> int:
        """Positions of the plain road."""
        return self.batch.mask.numel() + len(self.batch.mask) * self.tokens


def _emit(frozen: FrozenModel, prompt: nn.Module, batch: Batch) -> _Emitted:
    """Samples of the same conditions have the same vectors: each is made once."""
    every = [tuple(row) for row in batch.conditions.tolist()]
    different = {conditions: kind for kind, conditions in enumerate(dict.fromkeys(every))}
    conditions = batch.conditions.new_tensor(list(different)).to(frozen.device, non_blocking=True)
    return _Emitted(batch, prompt(conditions), [different[one] for one in every])


def _packed_losses(frozen: FrozenModel, parts: Sequence[_Emitted], packing: Packing) -> list[TokenLosses]:
    scored = scored_of(packing.chains, packing.places)
    sources, targets, row = (torch.from_numpy(found).to(frozen.device, non_blocking=True) for found in scored)
    asked = _answers(frozen, packing, [one.vectors for one in parts]).index_select(0, sources)
    nats, hits = logits_loss(asked, targets) if frozen.head is None else head_loss(asked, frozen.head, targets)
    return _parted(frozen, parts, scored.row, TokenLosses(nats, row, hits))


def _even_losses(frozen: FrozenModel, parts: Sequence[_Emitted], evened: Evened) -> list[TokenLosses]:
    """The same in a form that comes again."""
    numbers = (evened.ids, evened.table, evened.positions, *evened.scored)
    *inputs, row = (torch.from_numpy(found).to(frozen.device, non_blocking=True) for found in numbers)
    vectors = []
    for one, (prompts, _) in zip(parts, evened.form.tokens, strict=True):
        kinds = torch.tensor(one.kinds[:prompts]).to(frozen.device, non_blocking=True)
        vectors.append(one.vectors.index_select(0, kinds))
    row_of = partial(_even_scores, frozen, Layout(evened.stretches, torch.zeros(1, 0).long(), evened.form.longest))
    found = recorded(frozen.model, evened.form, row_of, (*inputs, *vectors))
    nats, hits = (found, None) if isinstance(found, Tensor) else found
    count = evened.asked
    losses = TokenLosses(nats[:count], row[:count], None if hits is None else hits[:count])
    return _parted(frozen, parts, evened.scored.row[:count], losses)


def _even_scores(
    frozen: FrozenModel, layout: Layout, ids: Tensor, index: Tensor, positions: Tensor, *more: Tensor
) -> Answers:
    """Nats, and where no gradient is wanted hits, of the positions that are asked."""
    sources, targets, *vectors = more
    texts = frozen.embed(ids[None])[0]
    table = torch.cat([*(one.flatten(0, 1).to(texts.dtype) for one in vectors), texts])
    layout = layout._replace(positions=positions[None])
    asked = frozen.packed(table.index_select(0, index)[None], layout).index_select(0, sources)
    nats, hits = logits_loss(asked, targets) if frozen.head is None else head_loss(asked, frozen.head, targets)
    return nats if hits is None else (nats, hits)


def _parted(
    frozen: FrozenModel, parts: Sequence[_Emitted], of_samples: NDArray[np.int64], losses: TokenLosses
) -> list[TokenLosses]:
    """Each part's losses; `of_samples`: the sample of each, among those of all parts."""
    nats, row, hits, _ = losses
    ends = np.cumsum([0, *(len(one.kinds) for one in parts)])  # of each part among all samples
    cuts = np.searchsorted(of_samples, ends)
    return [
        TokenLosses(
            nats[cut:end],
            row[cut:end] - int(first),
            None if hits is None else hits[cut:end],
            _weights(one.batch, one.tokens, frozen.device),
        )
        for cut, end, first, one in zip(cuts, cuts[1:], ends, parts, strict=False)
    ]


def _answers(frozen: FrozenModel, packing: Packing, vectors: Sequence[Tensor]) -> Tensor:
    """Hidden states (without a plain head: logits) at the positions of the row and behind them of the earlier one."""
    if packing.earlier is None:
        return frozen.packed(packing.row.embeds(frozen, vectors), packing.row.layout(packing.longest))
    kept = list[Heads]()
    with torch.no_grad():
        before = frozen.packed(packing.earlier.embeds(frozen, ()), packing.earlier.layout(packing.longest), kept)
    here = frozen.packed(packing.row.embeds(frozen, vectors), packing.row.layout(packing.longest, kept))
    return torch.cat([here, before])


def _plain_losses(frozen: FrozenModel, one: _Emitted) -> TokenLosses:
    """Every sample whole, padded to the longest."""
    vectors, batch = one.vectors[one.kinds], one.batch.to(frozen.device)
    parts = [_losses(frozen, vectors[rows], some, rows) for rows, some in apart(frozen, batch, one.tokens)]
    if len(parts) == 1:
        return parts[0]
    row = torch.cat([part.row for part in parts])
    order = row.argsort(stable=True)
    hits = [part.hits for part in parts if part.hits is not None]
    weights = [part.weights for part in parts if part.weights is not None]
    return TokenLosses(
        torch.cat([part.nats for part in parts])[order],
        row[order],
        torch.cat(hits)[order] if hits else None,
        torch.cat(weights)[order] if weights else None,
    )


def apart(frozen: FrozenModel, batch: Batch, prompt_tokens: int) -> Iterator[tuple[list[int] | slice, Batch]]:
    """The batch in the parts that may go through this model together: nearly always one part, the batch itself."""
    if frozen.batching.kind == "padded":
        yield slice(None), batch
        return
    lengths = (batch.mask.sum(dim=1) + prompt_tokens).tolist()
    for rows in frozen.batching.groups(lengths):
        yield rows, batch.rows(rows)


def _losses(frozen: FrozenModel, vectors: Float[Tensor, "B P H"], batch: Batch, rows: list[int] | slice) -> TokenLosses:
    """Of one part, which stands in `rows` of the whole."""
    inserted = insert_prompt(frozen.embed(batch.input_ids), vectors, batch.labels, batch.mask, batch.insert_at)
    # Padding lies on the right, where a causal model cannot look from a scored position: no attention mask is needed,
    # and without one attention takes its fast causal path. The probes show that padding changes nothing.
    scored = inserted.labels[:, 1:] != UNSCORED  # [B S-1]: position q predicts label q + 1
    targets = inserted.labels[:, 1:][scored]
    row = scored.nonzero()[:, 0]
    if not isinstance(rows, slice):
        row = torch.tensor(rows, device=row.device)[row]
    if frozen.head is None:
        scores = logits_loss(frozen.logits(inserted.embeds)[:, :-1][scored], targets)
    else:
        scores = head_loss(frozen.hidden(inserted.embeds)[:, :-1][scored], frozen.head, targets)
    return TokenLosses(scores.nats, row, scores.hits, _weights(batch, vectors.shape[1], frozen.device))


def _weights(batch: Batch, prompt_tokens: int, device: torch.device) -> Float[Tensor, " N"] | None:
    """Of the labels that have a position before them: a text's first token only where the prompt is in front."""
    if batch.weights is None:
        return None
    scored = batch.labels != UNSCORED
    scored[:, 0] &= (batch.insert_at == 0) & (prompt_tokens > 0)
    return batch.weights[scored].to(device)
