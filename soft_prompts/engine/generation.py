"""What does the model write with a prompt in front, in the middle, or at the end of a text?

Hugging Face's own `generate` does the decoding where the probes at load found it right, from embeddings that are
padded on the left, so that every row ends where its text ends and no pad is ever attended to; else our own loop does.
"""

import itertools
import math
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
from soft_prompts.models.model import GENERATE, FrozenModel, Writing
from soft_prompts.models.room import refuse_beyond
from soft_prompts.models.tokenizer import encode, text_behind
from soft_prompts.models.writing import ROADS, Choice, Contrast, by_contrast, by_shared_beginning
from soft_prompts.tasks.task import Example, Query

WINDOWS = ("sliding_window", "attention_chunk_size", "window_size")  # names that configurations have for them
WORTH = 0.1  # of all positions: so many have to be saved before texts that begin alike share their beginning
ENOUGH = 0.5  # of a batch's texts have ended: what the others have so far goes through the model again, in a fuller one


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
    contrast: Contrast | None = None,
) -> list[str]:
    """Continuations of the queries' texts, without the texts; greedy at temperature 0. Stops at an end token.

    `as_fits` writes fewer new tokens where the context ends, rather than refuse. What is sampled depends on the seed
    and the query's place: in `queries`, or where these are part of more, the one that `places` gives. With a `contrast`
    its reference reads the same prompt and texts, and what it would say too counts less.

    Raises UsageError where prompt, text and new tokens do not fit the model's context, or there is neither prompt nor
    text.
    """
    if not queries:
        return []
    examples = [_as_example(frozen, query) for query in queries]
    lengths = _lengths(frozen, prompt, examples)
    _refuse_misfit(frozen, lengths, 1 if as_fits else max_new_tokens)
    room = frozen.context_length or sys.maxsize
    drafts = [
        Draft(example, length, min(max_new_tokens, room - length), place)
        for example, length, place in zip(examples, lengths, places or range(len(examples)), strict=True)
    ]
    choice = Choice(0, temperature, top_p, tuple(_end_tokens(frozen)), seed, enough=ENOUGH, contrast=contrast)
    asked = queries if temperature == 0 else range(len(queries))  # likeliest tokens are the same for equal queries
    different = dict(zip(asked, drafts, strict=True))
    finished = dict(zip(different, _finish(frozen, prompt, list(different.values()), choice, batch_size), strict=True))
    texts = {which: _continuation(frozen, draft) for which, draft in finished.items()}
    return [texts[which] for which in asked]


class Draft(NamedTuple):
    """A text that is being written."""

    example: Example
    """What the model goes on from: the text, and what is written so far."""
    length: int
    """Its positions, the prompt's included."""
    left: int
    """Most tokens that are still to be written; 0 when it is finished."""
    place: int
    """Says, with the seed, what is sampled."""
    written: int = 0
    """Tokens so far, up to an end token."""

    def with_more(self, tokens: Sequence[int], ends: Sequence[int]) -> "Draft":
        """The draft and what was written behind it."""
        more = list(itertools.takewhile(lambda token: token not in ends, tokens))  # behind it there is padding
        ids = [*self.example.input_ids, *more]
        left = self.left - len(more) if len(more) == len(tokens) else 0
        example = self.example._replace(input_ids=ids, labels=ids)
        return Draft(example, self.length + len(more), left, self.place, self.written + len(more))


def _finish(
    frozen: FrozenModel, prompt: nn.Module, drafts: list[Draft], choice: Choice, batch_size: int
) -> list[Draft]:
    """All drafts, finished: whenever enough of a batch have ended, the others go on together with those of other
    batches."""
    while unfinished := [number for number, draft in enumerate(drafts) if draft.left > 0]:
        for writing, numbers in _jobs(frozen, drafts, unfinished, choice.contrast):
            size = 1 if writing.batching.kind == "alone" else batch_size
            work = partial(_write, frozen, prompt, drafts, writing.road, choice)
            for done in list(in_batches(numbers, size, work, halves=not frozen.in_step)):
                for number, draft in done.items():
                    drafts[number] = draft
    return drafts


def _jobs(
    frozen: FrozenModel, drafts: Sequence[Draft], unfinished: Sequence[int], contrast: Contrast | None
) -> list[tuple[Writing, list[int]]]:
    """Drafts that may be written together, shortest first: what is written behind one does not depend on others."""
    by_room = sorted(unfinished, key=lambda number: (-drafts[number].left, drafts[number].length))
    roads: dict[Writing, list[int]] = {}
    for number in by_room:
        draft = drafts[number]
        writing = _writing(frozen, draft.length, draft.left)
        if contrast is not None:
            caches = frozen.caches and contrast.reference.caches
            writing = _beside(writing, _writing(contrast.reference, draft.length, draft.left), caches)
        roads.setdefault(writing, []).append(number)
    return [
        (writing, [numbers[at] for at in group])
        for writing, numbers in roads.items()
        for group in writing.batching.groups([drafts[number].length for number in numbers])
    ]


def _writing(frozen: FrozenModel, length: int, most: int) -> Writing:
    """The model's own way, but a text that crosses the length where its rotary factors change goes through it whole for
    each token: what a cache holds was made with the other factors."""
    limit = frozen.batching.limit
    if frozen.batching.kind != "sides" or length + most <= limit:
        return frozen.writing
    return Writing("cached loop" if length > limit else "plain loop", Batching("equal"))


def _beside(writing: Writing, reference: Writing, caches: bool) -> Writing:
    """Of two models: padded rows where both write those and have caches that hold positions, else rows of one length,
    or alone; whole rows anew where a cache of one of them is not to be trusted."""
    if caches and writing == reference == GENERATE:
        return writing
    both = (writing, reference)
    road = "plain loop" if any(one.road == "plain loop" for one in both) else "cached loop"
    return Writing(road, Batching("alone" if any(one.batching.kind == "alone" for one in both) else "equal"))


def _write(
    frozen: FrozenModel, prompt: nn.Module, drafts: Sequence[Draft], road: str, choice: Choice, numbers: Sequence[int]
) -> dict[int, Draft]:
    """Some of the drafts with more behind them: as much as fits behind each, or until enough have ended."""
    some = [drafts[number] for number in numbers]
    embeds, mask = _left_padded(frozen, prompt, [draft.example for draft in some])
    choice = choice._replace(
        most=min(draft.left for draft in some),
        places=tuple(draft.place for draft in some),
        begun=tuple(draft.written for draft in some),
        contrast=_embedded(choice.contrast, prompt, some),
    )
    shared = _shared(frozen, some, choice.most) if (frozen.writing, choice.contrast) == (GENERATE, None) else 0
    if choice.contrast is not None:
        written = by_contrast(frozen, embeds, mask, choice, cached=road != "plain loop")
    elif shared * (len(some) - 1) > WORTH * mask.numel():
        written = by_shared_beginning(frozen, embeds, mask, choice, shared)
    else:
        written = ROADS[road](frozen, embeds, mask, choice)
    rows = written.tokens.tolist()
    return {number: draft.with_more(row, choice.ends) for number, draft, row in zip(numbers, some, rows, strict=True)}


def _shared(frozen: FrozenModel, drafts: Sequence[Draft], most: int) -> int:
    """Positions that all begin with, the prompt's among them where it is the same one in the same place; 0 where a
    model keeps no cache that texts can share, or looks back less far than to what it would stand behind."""
    if not (frozen.packs and frozen.caches) or _window(frozen) < max(draft.length for draft in drafts) + most:
        return 0
    examples = [draft.example for draft in drafts]
    texts = sorted(list(example.input_ids) for example in examples)
    least = min(map(len, texts)) - 1  # each keeps a position of its own
    if least < 0:
        return 0
    alike = next((n for n, pair in enumerate(zip(texts[0], texts[-1], strict=False)) if pair[0] != pair[1]), least)
    alike, tokens = min(alike, least), drafts[0].length - len(examples[0].input_ids)
    first = min(example.insert_at for example in examples)
    is_same = len({(example.conditions, example.insert_at) for example in examples}) == 1 and first <= alike
    return alike + tokens if is_same or tokens == 0 else min(alike, first)


def _window(frozen: FrozenModel) -> float:
    """Positions that every layer looks back."""
    settings = frozen.model.config.get_text_config()
    found = (getattr(settings, name, None) for name in WINDOWS)
    return min((float(one) for one in found if isinstance(one, int)), default=math.inf)


def _embedded(contrast: Contrast | None, prompt: nn.Module, drafts: Sequence[Draft]) -> Contrast | None:
    """The contrast with what its reference reads."""
    if contrast is None:
        return None
    embeds, _ = _left_padded(contrast.reference, prompt, [draft.example for draft in drafts])
    return contrast._replace(embeds=embeds)


def _continuation(frozen: FrozenModel, draft: Draft) -> str:
    """What is written behind the text."""
    ids = draft.example.input_ids
    return text_behind(frozen.tokenizer, ids, len(ids) - draft.written)


def _end_tokens(frozen: FrozenModel) -> list[int]:
    """Ids that end a text: the tokenizer's, and the model's own, which for chat models are more."""
    own = frozen.model.generation_config.eos_token_id  # pyright: ignore[reportOptionalMemberAccess]
    ids = [frozen.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    return sorted({token for token in ids if isinstance(token, int)})


def _as_example(frozen: FrozenModel, query: Query) -> Example:
    ids = encode(frozen.tokenizer, query.text).ids if query.ids is None else list(query.ids)
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
    """Before anything is written."""
    if min(lengths) == 0:
        raise UsageError("there is nothing to go on from: the text is empty and the prompt has no tokens; give --text")
    positions, instead = max(lengths) + max_new_tokens, "give a shorter text or fewer new tokens"
    refuse_beyond(frozen, positions, "prompt, text and new tokens are", instead)
