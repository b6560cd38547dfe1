"""How do documents become the batches that a model learns from?"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError
from soft_prompts.data.jsonl import read_jsonl
from soft_prompts.engine.batch import Batch, collate
from soft_prompts.models.frozen import FrozenModel
from soft_prompts.tasks.lesson import Lesson
from soft_prompts.tasks.task import UNSCORED, Example, text_start


class Document(NamedTuple):
    """What one line teaches."""

    input_ids: list[int]
    labels: list[int]


def read_documents(path: Path, tokenizer: PreTrainedTokenizerBase, completion_only: bool, most: int) -> list[Document]:
    """Every line of the file as token ids and labels; raises InputError with the line's number."""
    if not tokenizer.is_fast:
        raise InputError("the model's tokenizer cannot tell where its tokens lie in the text; give one with a fast one")
    lines = read_jsonl(path, {"prompt": str, "completion": str})
    documents = [
        _document(tokenizer, line.fields["prompt"], line.fields["completion"], completion_only) for line in lines
    ]
    for line, document in zip(lines, documents, strict=True):
        if all(label == UNSCORED for label in document.labels[1:most]):
            raise InputError(
                f"{path}, line {line.number}: no token to learn within {most}; give a longer text or limit"
            )
    if longer := sum(len(document.input_ids) > most for document in documents):
        say(f"{path}: {longer} of {len(documents)} documents are cut to {most} tokens")
    return [Document(document.input_ids[:most], document.labels[:most]) for document in documents]


def _document(tokenizer: PreTrainedTokenizerBase, prompt: str, completion: str, completion_only: bool) -> Document:
    """A token that begins in the prompt and ends in the completion belongs to the completion."""
    encoded = tokenizer(prompt + completion, return_offsets_mapping=True, verbose=False)
    ids, offsets = list(encoded["input_ids"]), encoded["offset_mapping"]  # pyright: ignore[reportArgumentType]
    border = len(prompt) if completion_only else 0
    labels = [token if end > border else UNSCORED for token, (_, end) in zip(ids, offsets, strict=True)]
    if isinstance(end_token := tokenizer.eos_token_id, int) and ids[-1:] != [end_token]:
        ids, labels = [*ids, end_token], [*labels, end_token]
    return Document(ids, labels)


def document_batch(lesson: Lesson, documents: Sequence[Document], step: int, frozen: FrozenModel) -> Batch:
    """The batch after `step` finished ones: a pure function of (seed, step)."""
    epoch, place = divmod(step, math.ceil(len(documents) / lesson.batch_size))
    order = np.random.default_rng((lesson.seed, epoch)).permutation(len(documents))
    order = order if lesson.shuffled else np.arange(len(documents))
    chosen = [documents[i] for i in order[place * lesson.batch_size : (place + 1) * lesson.batch_size]]
    generator = np.random.default_rng((lesson.seed, epoch, place))
    begin = text_start(frozen.tokenizer, "Q")  # where a prompt will stand: behind a BOS
    known = min(len(frozen.tokenizer), frozen.model.get_input_embeddings().weight.shape[0])  # pyright: ignore
    leading = (
        int(generator.integers(1, lesson.leading_tokens + 1))
        if lesson.leading_tokens and generator.random() < 0.5
        else 0
    )
    random = generator.integers(0, known, (len(chosen), leading))
    unscored = [UNSCORED] * leading
    rows = zip(random.tolist(), chosen, strict=True)
    examples = [
        Example([*ids[:begin], *front, *ids[begin:]], [*labels[:begin], *unscored, *labels[begin:]])
        for front, (ids, labels) in rows
    ]
    return collate(examples, frozen.pad_id).to(frozen.device)
