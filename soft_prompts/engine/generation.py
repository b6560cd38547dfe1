"""What does the model write with a prompt in front, in the middle, or at the end of a text?

Hugging Face's own `generate` does the decoding where the probes at load found it right, from embeddings that are
padded on the left, so that every row ends where its text ends and no pad is ever attended to; else our own loop does.
"""

import itertools
import sys
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.batch import collate
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.engine.memory import in_batches
from soft_prompts.models.batching import Batching
from soft_prompts.models.model import FrozenModel, Writing
from soft_prompts.models.tokenizer import encode
from soft_prompts.models.writing import ROADS, Choice
from soft_prompts.tasks.task import Example, Query


@torch.no_grad()
def generate(
    frozen: FrozenModel,
    prompt: nn.Module,
    queries: Sequence[Query],
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    batch_size: int = 64,
    as_fits: bool = False,
    places: Sequence[int] | None = None,
) -> list[str]:
    """Continuations of the queries' texts, without the texts; greedy at temperature 0. Stops at an end token.

    `as_fits` writes fewer new tokens where the context ends, rather than refuse. What is sampled depends on the seed
    and the query's place: in `queries`, or where these are part of more, the one that `places` gives.

    Raises UsageError where prompt, text and new tokens do not fit the model's context, or there is neither prompt nor
    text.
    """
    if not queries:
        return []
    examples = [_as_example(frozen, query) for query in queries]
    lengths = _lengths(frozen, prompt, examples)
    _refuse_misfit(frozen, lengths, 1 if as_fits else max_new_tokens)
    texts, ends = [""] * len(examples), tuple(_end_tokens(frozen))
    places = tuple(range(len(examples)) if places is None else places)
    for job in _jobs(frozen, lengths, max_new_tokens):
        choice = Choice(job.most, temperature, top_p, ends, seed, places)
        size = 1 if job.writing.batching.kind == "alone" else batch_size
        write = partial(_write, frozen, prompt, examples, job.writing.road, choice)
        for written in in_batches(job.places, size, write):
            for place, tokens in written.items():
                texts[place] = _continuation(frozen, list(examples[place].input_ids), tokens)
    return texts


class Job(NamedTuple):
    """Texts that may be written together."""

    writing: Writing
    most: int
    """New tokens that fit behind each."""
    places: list[int]


def _jobs(frozen: FrozenModel, lengths: Sequence[int], max_new_tokens: int) -> list[Job]:
    """Every text once, shortest first: what is written behind one does not depend on the others."""
    by_length = sorted(range(len(lengths)), key=lambda place: lengths[place])
    rooms: dict[tuple[Writing, int], list[int]] = {}
    for place in by_length:
        most = min(max_new_tokens, (frozen.context_length or sys.maxsize) - lengths[place])
        rooms.setdefault((_writing(frozen, lengths[place], most), most), []).append(place)
    return [
        Job(writing, most, [places[at] for at in group])
        for (writing, most), places in rooms.items()
        for group in writing.batching.groups([lengths[place] for place in places])
    ]


def _writing(frozen: FrozenModel, length: int, most: int) -> Writing:
    """The model's own way, but a text that crosses the length where its rotary factors change goes through it whole for
    each token: what a cache holds was made with the other factors."""
    limit = frozen.batching.limit
    if frozen.batching.kind != "sides" or length + most <= limit:
        return frozen.writing
    return Writing("cached loop" if length > limit else "plain loop", Batching("equal"))


def _write(
    frozen: FrozenModel,
    prompt: nn.Module,
    examples: Sequence[Example],
    road: str,
    choice: Choice,
    places: Sequence[int],
) -> dict[int, list[int]]:
    """New tokens of some of the examples, up to an end token."""
    embeds, mask = _left_padded(frozen, prompt, [examples[place] for place in places])
    choice = choice._replace(places=tuple(choice.places[place] for place in places))
    rows = ROADS[road](frozen, embeds, mask, choice).tokens.tolist()
    return {
        place: list(itertools.takewhile(lambda token: token not in choice.ends, row))  # behind it there is padding
        for place, row in zip(places, rows, strict=True)
    }


def _continuation(frozen: FrozenModel, before: list[int], written: list[int]) -> str:
    """What `written` adds to the text: decoded alone, some tokenizers drop the space that it begins with."""
    plain = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    text, whole = frozen.tokenizer.batch_decode([before, before + written], **plain)
    return whole[len(text) :]


def _end_tokens(frozen: FrozenModel) -> list[int]:
    """Ids that end a text: the tokenizer's, and the model's own, which for chat models are more."""
    own = frozen.model.generation_config.eos_token_id  # pyright: ignore[reportOptionalMemberAccess]
    ids = [frozen.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    return sorted({token for token in ids if isinstance(token, int)})


def _as_example(frozen: FrozenModel, query: Query) -> Example:
    ids = encode(frozen.tokenizer, query.text).ids
    return Example(ids, ids, query.conditions, query.insert_at)


def _left_padded(
    frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example]
) -> tuple[Float[Tensor, "B S H"], Bool[Tensor, "B S"]]:
    """Embeddings with the prompt inserted and all padding rolled to the front."""
    filled = [e if e.input_ids else e._replace(input_ids=[frozen.pad_id], labels=[frozen.pad_id]) for e in examples]
    batch = collate(filled, frozen.pad_id).to(frozen.device)
    lengths = torch.tensor([len(example.input_ids) for example in examples], device=frozen.device)
    mask = torch.arange(batch.mask.shape[1], device=frozen.device) < lengths[:, None]  # an empty text's pad is no text
    inserted = insert_prompt(
        frozen.embed(batch.input_ids), prompt(batch.conditions), batch.labels, mask, batch.insert_at
    )
    length = inserted.mask.shape[1]
    shift = length - inserted.mask.sum(dim=1, keepdim=True)
    source = (torch.arange(length, device=frozen.device) - shift) % length  # [B S]: roll each row to the right
    embeds = inserted.embeds.gather(1, source[..., None].expand_as(inserted.embeds))
    padding = int(shift.min())  # an empty text's pad, where every text is empty
    return embeds[:, padding:], inserted.mask.gather(1, source)[:, padding:]


def _lengths(frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example]) -> list[int]:
    """Positions of each text with the prompt in it."""
    prompt_tokens = prompt(torch.tensor([examples[0].conditions], device=frozen.device)).shape[1]
    return [prompt_tokens + len(example.input_ids) for example in examples]


def _refuse_misfit(frozen: FrozenModel, lengths: Sequence[int], max_new_tokens: int) -> None:
    """Before anything is written: rotary models raise nothing beyond their context."""
    if min(lengths) == 0:
        raise UsageError("there is nothing to go on from: the text is empty and the prompt has no tokens; give --text")
    positions = max(lengths) + max_new_tokens
    if frozen.context_length is not None and positions > frozen.context_length:
        raise UsageError(
            f"prompt, text and new tokens are {positions} positions; {frozen.name} has {frozen.context_length}; "
            "give a shorter text or fewer new tokens"
        )
