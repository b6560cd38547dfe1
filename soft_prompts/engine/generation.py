"""What does the model write with a prompt in front, in the middle, or at the end of a text?

Hugging Face's own `generate` does the decoding, from embeddings that are padded on the left, so that every row ends
where its text ends and no pad is ever attended to.
"""

import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.batch import collate
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.models.frozen import FrozenModel
from soft_prompts.models.tokenizer import encode
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
) -> list[str]:
    """Continuations of the queries' texts, without the texts; greedy at temperature 0. Stops at an end token.

    `as_fits` writes fewer new tokens where the context ends, rather than refuse.

    Raises UsageError where prompt, text and new tokens do not fit the model's context, or there is neither prompt nor
    text.
    """
    if not queries:
        return []
    examples = [_as_example(frozen, query) for query in queries]
    _refuse_misfit(frozen, prompt, examples, 1 if as_fits else max_new_tokens)
    by_length = sorted(range(len(examples)), key=lambda place: len(examples[place].input_ids))
    texts, ends = [""] * len(examples), _end_tokens(frozen)
    for start in range(0, len(examples), batch_size):
        places = by_length[start : start + batch_size]
        inputs = _left_padded(frozen, prompt, [examples[place] for place in places])
        room = (frozen.context_length or sys.maxsize) - inputs["attention_mask"].shape[1]
        sampling = {"temperature": temperature, "top_p": top_p, "top_k": 0} if temperature > 0 else {}
        devices = [frozen.device] if frozen.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), _default_settings(frozen.model):
            torch.manual_seed(seed + start)
            tokens = frozen.model.generate(  # pyright: ignore[reportCallIssue]
                **inputs,
                max_new_tokens=min(max_new_tokens, room),
                pad_token_id=frozen.pad_id,
                eos_token_id=ends or None,
                do_sample=temperature > 0,
                **sampling,
            )
        for place, row in zip(places, tokens.tolist(), strict=True):
            written = list(itertools.takewhile(lambda token: token not in ends, row))  # behind it there is padding
            texts[place] = _continuation(frozen, list(examples[place].input_ids), written)
    return texts


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


@contextmanager
def _default_settings(model: PreTrainedModel) -> Iterator[None]:
    """Lay a model's own generation settings aside: a penalty on repeats or a suppressed token would change what is
    measured, and whatever is not asked for would be taken from them."""
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def _as_example(frozen: FrozenModel, query: Query) -> Example:
    ids = encode(frozen.tokenizer, query.text).ids
    return Example(ids, ids, query.conditions, query.insert_at)


def _left_padded(frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
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
    return {
        "inputs_embeds": inserted.embeds.gather(1, source[..., None].expand_as(inserted.embeds)),
        "attention_mask": inserted.mask.gather(1, source).long(),
    }


def _refuse_misfit(frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example], max_new_tokens: int) -> None:
    """Before anything is written: rotary models raise nothing beyond their context."""
    prompt_tokens = prompt(torch.tensor([examples[0].conditions], device=frozen.device)).shape[1]
    lengths = [len(example.input_ids) for example in examples]
    if prompt_tokens + min(lengths) == 0:
        raise UsageError("there is nothing to go on from: the text is empty and the prompt has no tokens; give --text")
    positions = prompt_tokens + max(lengths) + max_new_tokens
    if frozen.context_length is not None and positions > frozen.context_length:
        raise UsageError(
            f"prompt, text and new tokens are {positions} positions; {frozen.name} has {frozen.context_length}; "
            "give a shorter text or fewer new tokens"
        )
