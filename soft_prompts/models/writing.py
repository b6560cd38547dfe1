"""How does a model go on from embeddings? By transformers' `generate`, or by our own loop where that cannot be.

What is sampled depends on the model, the seed and the text's place alone, not on the texts beside it.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteriaList
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

from soft_prompts.common.errors import InputError
from soft_prompts.models.model import FrozenModel

Pick = Callable[[Float[Tensor, "B V"], int], Int[Tensor, " B"]]  # tokens, of logits and the number of tokens before


class Contrast(NamedTuple):
    """Another model at the side: what it would say too counts less."""

    reference: FrozenModel
    """Reads the same text and what is written behind it; of the same vocabulary."""
    strength: float = 1.0
    """How much what the reference says is weakened by; 0: not at all."""
    cut: float = 0.1
    """Tokens below this share of the likeliest one's probability are never drawn; 0: all may be."""
    embeds: Float[Tensor, "B S H"] | None = None
    """The text as the reference embeds it, filled in where it is written."""


class Choice(NamedTuple):
    """How much is written, and how tokens are chosen."""

    most: int
    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    ends: tuple[int, ...] = ()
    """Tokens that end a text."""
    seed: int = 0
    places: tuple[int, ...] = ()
    """Of each row a number that, with the seed, says what is drawn for it; greedy needs none."""
    begun: tuple[int, ...] = ()
    """Of each row how many tokens were drawn for it before; greedy needs none."""
    enough: float = 1.0
    """Share of the rows whose end ends the writing of all: the others may go on in another batch."""
    contrast: Contrast | None = None
    """A model at the side; `by_contrast` alone looks at it."""


class Written(NamedTuple):
    """Tokens, and the logits that each was chosen by; behind an end token stands anything."""

    tokens: Int[Tensor, "B N"]
    logits: Float[Tensor, "B N V"] | None


def by_generate(
    frozen: FrozenModel, embeds: Float[Tensor, "B S H"], mask: Bool[Tensor, "B S"], choice: Choice, keep: bool = False
) -> Written:
    """transformers' own decoding, of rows that are padded on the left."""
    with default_settings(frozen.model):
        written = frozen.model.generate(  # pyright: ignore[reportCallIssue]
            inputs_embeds=embeds,
            attention_mask=mask.long(),
            max_new_tokens=choice.most,
            pad_token_id=frozen.pad_id,
            eos_token_id=list(choice.ends) or None,
            do_sample=False,
            logits_processor=[_only_picked(_pick_of(choice))] if choice.temperature > 0 else [],
            stopping_criteria=StoppingCriteriaList([lambda tokens, _: _all_done(tokens, choice)]),
            output_logits=keep,
            return_dict_in_generate=True,
        )
    return Written(written.sequences, torch.stack(written.logits, dim=1) if keep else None)


def by_cached_loop(
    frozen: FrozenModel, embeds: Float[Tensor, "B S H"], mask: Bool[Tensor, "B S"], choice: Choice, keep: bool = False
) -> Written:
    """Token by token on the model's forward and cache; rows of one length."""
    return _loop(frozen, embeds, NextLogits(frozen), choice, keep)


def by_shared_beginning(
    frozen: FrozenModel, embeds: Float[Tensor, "B S H"], mask: Bool[Tensor, "B S"], choice: Choice, shared: int
) -> Written:
    """The same of rows that are padded on the left and begin with `shared` positions alike: those go through the model
    once, and a row's padding then stands behind them. Every row has more positions than these."""
    first = int((~mask[0]).sum())
    cache = frozen.remember(embeds[:1, first : first + shared])
    cache.batch_repeat_interleave(len(embeds))
    seen = torch.cat([mask.new_ones(len(mask), shared), mask[:, :-shared]], dim=1)
    return _loop(frozen, embeds[:, shared:], NextLogits(frozen, cache=cache, seen=seen), choice)


def by_plain_loop(
    frozen: FrozenModel, embeds: Float[Tensor, "B S H"], mask: Bool[Tensor, "B S"], choice: Choice, keep: bool = False
) -> Written:
    """Token by token, the whole row through the model for each; rows of one length."""
    return _loop(frozen, embeds, NextLogits(frozen, cached=False), choice, keep)


def _loop(
    frozen: FrozenModel, entering: Float[Tensor, "B S H"], following: "NextLogits", choice: Choice, keep: bool = False
) -> Written:
    tokens, kept, pick = list[Tensor](), list[Tensor](), _pick_of(choice)
    while True:
        logits = following.behind(entering)
        tokens.append(pick(logits, len(tokens)))
        kept += [logits] if keep else []
        if _is_done(tokens, choice):
            return _written(tokens, kept)
        entering = frozen.embed(tokens[-1][:, None])


class NextLogits:
    """What a model says next behind rows that grow: on its cache, or, for a model that keeps none that it can be asked
    behind, with the whole rows anew each time."""

    def __init__(
        self, frozen: FrozenModel, cached: bool = True, cache: Any = None, seen: Bool[Tensor, "B K"] | None = None
    ) -> None:
        """`cache`: what stands in front already. `seen`: which positions are no padding, those in the cache and those
        of the first call; rows with padding need a cache. None: all."""
        self.frozen, self.cached, self.cache = frozen, cached, cache
        self.seen = None if seen is None or seen.all() else seen
        self.rows: Tensor | None = None

    def behind(self, entering: Float[Tensor, "B S H"]) -> Float[Tensor, "B V"]:
        """Logits behind these embeddings, which follow all that came before."""
        if not self.cached:
            self.rows = entering if self.rows is None else torch.cat([self.rows, entering], dim=1)
            some = self.rows.split(1) if self.frozen.batching.kind == "alone" else (self.rows,)
            return torch.cat([self.frozen.next_logits(rows) for rows in some])
        logits, self.cache = last_logits(self.frozen, entering, self.cache, self.seen)
        self.seen = None if self.seen is None else torch.cat([self.seen, self.seen.new_ones(len(self.seen), 1)], dim=1)
        return logits


def last_logits(
    frozen: FrozenModel, embeds: Float[Tensor, "B S H"], cache: Any, seen: Bool[Tensor, "B K"] | None = None
) -> tuple[Float[Tensor, "B V"], Any]:
    """Logits of the last position behind what the cache holds, and the new cache; `seen` is of all positions."""
    if frozen.head is None:
        logits, cache = frozen.go_on(embeds, cache, mask=seen, last=True)
        return logits[:, -1], cache
    hidden, cache = frozen.go_on(embeds, cache, body=True, mask=seen)
    return frozen.head(hidden[:, -1]), cache


def by_contrast(
    frozen: FrozenModel, embeds: Float[Tensor, "B S H"], mask: Bool[Tensor, "B S"], choice: Choice, cached: bool = True
) -> Written:
    """Token by token, with a second model at the side, each on a cache of its own, or both with whole rows anew; rows
    padded on the left, if at all and on caches.

    Raises ValueError where the choice has no contrast with embeddings.
    """
    contrast = choice.contrast
    if contrast is None or contrast.embeds is None:
        raise ValueError("choice has no contrast with embeddings; give one, or take another road")
    models, entering = (frozen, contrast.reference), [embeds, contrast.embeds]
    sides, tokens, pick = [NextLogits(model, cached, seen=mask) for model in models], list[Tensor](), _pick_of(choice)
    while True:
        own, beside = (side.behind(some) for side, some in zip(sides, entering, strict=True))
        tokens.append(pick(contrasted(own, beside, contrast), len(tokens)))
        if _is_done(tokens, choice):
            return _written(tokens, [])
        entering = [model.embed(tokens[-1][:, None]) for model in models]


def contrasted(logits: Float[Tensor, "B V"], beside: Float[Tensor, "B V"], contrast: Contrast) -> Float[Tensor, "B V"]:
    """log p + strength (log p - log p of the reference) where p is at least cut times its largest, else minus infinity.

    Contrastive decoding, Li et al., arXiv 2210.15097, with the model's own log-probability kept. Strength and cut 0
    give the logits themselves back.
    """
    if contrast.strength == 0 and contrast.cut == 0:
        return logits
    own = logits.float().log_softmax(dim=-1)
    scores = own + contrast.strength * (own - beside.float().log_softmax(dim=-1))
    if contrast.cut == 0:
        return scores
    return scores.masked_fill(own < own.amax(dim=-1, keepdim=True) + math.log(contrast.cut), -torch.inf)


ROADS: dict[str, Callable[..., Written]] = {
    "generate": by_generate,
    "cached loop": by_cached_loop,
    "plain loop": by_plain_loop,
}


def _pick_of(choice: Choice) -> Pick:
    if choice.temperature == 0:
        return lambda logits, _: logits.argmax(dim=-1)
    begun = choice.begun or (0,) * len(choice.places)
    draws = np.stack([_draws(choice, *where) for where in zip(choice.places, begun, strict=True)])

    def pick(logits: Float[Tensor, "B V"], step: int) -> Int[Tensor, " B"]:
        return at_shares(_probabilities(logits, choice), torch.from_numpy(draws[:, step])).to(logits.device)

    return pick


def _draws(choice: Choice, place: int, begun: int) -> np.ndarray:
    """[N] uniform in (0, 1], one for each token of the text in this place behind those that are begun."""
    return 1 - np.random.default_rng((choice.seed % 2**64, place)).random(begun + choice.most)[begun:]


def _probabilities(logits: Float[Tensor, "B V"], choice: Choice) -> Float[Tensor, "B V"]:
    """What tokens are drawn by, in float64 on the CPU, whose sums have one order."""
    scores = cast(torch.FloatTensor, logits.float().cpu())
    none = cast(torch.LongTensor, scores.new_empty(len(scores), 0, dtype=torch.long))  # both look at scores alone
    scores = TemperatureLogitsWarper(float(choice.temperature))(none, scores)
    if choice.top_p < 1:
        scores = TopPLogitsWarper(choice.top_p)(none, scores)
    return scores.softmax(dim=-1, dtype=torch.float64)


def at_shares(probability: Float[Tensor, "B V"], share: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    """The first token of each row up to which that share, above 0, of its probability lies: never one that has none."""
    below = probability.cumsum(dim=-1)
    if not below.isfinite().all():
        raise InputError("the model's logits are no numbers, and nothing can be drawn by them; give another prompt")
    return torch.searchsorted(below, (share * below[:, -1])[:, None])[:, 0]


def _only_picked(pick: Pick) -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor of transformers that leaves one token to choose from."""

    def process(written: Int[Tensor, "B N"], scores: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
        picked = pick(scores, written.shape[1])
        return torch.full_like(scores, -torch.inf).scatter_(1, picked[:, None], 0.0)

    return process


def _is_done(tokens: list[Tensor], choice: Choice) -> bool:
    """Enough tokens, or an end in enough rows."""
    return len(tokens) == choice.most or bool(_all_done(torch.stack(tokens, dim=1), choice).all())


def _all_done(tokens: Int[Tensor, "B N"], choice: Choice) -> Bool[Tensor, " B"]:
    """True for all rows where enough of them have an end, else for none."""
    ended = torch.isin(tokens, torch.tensor(choice.ends, dtype=torch.long, device=tokens.device)).any(dim=1)
    return (ended.float().mean() >= choice.enough).expand(len(tokens))


def _written(tokens: list[Tensor], kept: list[Tensor]) -> Written:
    return Written(torch.stack(tokens, dim=1), torch.stack(kept, dim=1) if kept else None)


@contextmanager
def default_settings(model: PreTrainedModel) -> Iterator[None]:
    """Lay a model's own generation settings aside: a penalty on repeats or a suppressed token would change what is
    measured, and whatever is not asked for would be taken from them."""
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own
