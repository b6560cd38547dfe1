"""How does a model go on from embeddings? By transformers' `generate`, or by our own loop where that cannot be."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

from soft_prompts.models.model import FrozenModel


class Choice(NamedTuple):
    """How much is written and how tokens are chosen; the random state is torch's own."""

    most: int
    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    ends: tuple[int, ...] = ()
    """Tokens that end a text."""


class Written(NamedTuple):
    """Tokens, and the logits that each was chosen by; behind an end token stands anything."""

    tokens: Int[Tensor, "B N"]
    logits: Float[Tensor, "B N V"] | None


def by_generate(
    frozen: FrozenModel, embeds: Float[Tensor, "B S H"], mask: Bool[Tensor, "B S"], choice: Choice, keep: bool = False
) -> Written:
    """transformers' own decoding, of rows that are padded on the left."""
    sampling = {"temperature": choice.temperature, "top_p": choice.top_p, "top_k": 0} if choice.temperature > 0 else {}
    with default_settings(frozen.model):
        written = frozen.model.generate(  # pyright: ignore[reportCallIssue]
            inputs_embeds=embeds,
            attention_mask=mask.long(),
            max_new_tokens=choice.most,
            pad_token_id=frozen.pad_id,
            eos_token_id=list(choice.ends) or None,
            do_sample=choice.temperature > 0,
            output_logits=keep,
            return_dict_in_generate=True,
            **sampling,
        )
    return Written(written.sequences, torch.stack(written.logits, dim=1) if keep else None)


def by_cached_loop(
    frozen: FrozenModel, embeds: Float[Tensor, "B S H"], mask: Bool[Tensor, "B S"], choice: Choice, keep: bool = False
) -> Written:
    """Token by token on the model's forward and cache; rows of one length."""
    logits, cache = frozen.go_on(embeds, None)
    tokens, kept = [], []
    while True:
        tokens.append(_next(logits[:, -1], choice))
        kept += [logits[:, -1]] if keep else []
        if _is_done(tokens, choice):
            return _written(tokens, kept)
        logits, cache = frozen.go_on(frozen.embed(tokens[-1][:, None]), cache)


def by_plain_loop(
    frozen: FrozenModel, embeds: Float[Tensor, "B S H"], mask: Bool[Tensor, "B S"], choice: Choice, keep: bool = False
) -> Written:
    """Token by token, the whole row through the model for each; rows of one length."""
    tokens, kept = [], []
    while True:
        logits = frozen.next_logits(embeds)
        tokens.append(_next(logits, choice))
        kept += [logits] if keep else []
        if _is_done(tokens, choice):
            return _written(tokens, kept)
        embeds = torch.cat([embeds, frozen.embed(tokens[-1][:, None])], dim=1)


ROADS: dict[str, Callable[..., Written]] = {
    "generate": by_generate,
    "cached loop": by_cached_loop,
    "plain loop": by_plain_loop,
}


def _next(logits: Float[Tensor, "B V"], choice: Choice) -> Int[Tensor, " B"]:
    if choice.temperature == 0:
        return logits.argmax(dim=-1)
    none = cast(torch.LongTensor, logits.new_empty(len(logits), 0, dtype=torch.long))  # both look at scores alone
    scores = TemperatureLogitsWarper(float(choice.temperature))(none, cast(torch.FloatTensor, logits.float()))
    if choice.top_p < 1:
        scores = TopPLogitsWarper(choice.top_p)(none, scores)
    return torch.multinomial(scores.softmax(dim=-1), 1)[:, 0]


def _is_done(tokens: list[Tensor], choice: Choice) -> bool:
    """Enough tokens, or an end in every row."""
    if len(tokens) == choice.most:
        return True
    ends = torch.tensor(choice.ends, dtype=torch.long, device=tokens[0].device)
    return bool(torch.isin(torch.stack(tokens, dim=1), ends).any(dim=1).all())


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
