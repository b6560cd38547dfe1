"""How do documents become the batches that a model learns from?"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError
from soft_prompts.data.jsonl import read_jsonl
from soft_prompts.engine.batch import Batch, collate
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import Tokenizer, encode, end_id, need_spans, text_start
from soft_prompts.tasks.lesson import Lesson
from soft_prompts.tasks.task import UNSCORED, Example


class Document(NamedTuple):
    """What one line teaches."""

    input_ids: list[int]
    labels: list[int]


def read_documents(path: Path, tokenizer: Tokenizer, completion_only: bool, most: int) -> list[Document]:
    """Every line of the file as token ids and labels; raises InputError with the line's number."""
    need_spans(tokenizer)
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


def _document(tokenizer: Tokenizer, prompt: str, completion: str, completion_only: bool) -> Document:
    """A token that begins in the prompt and ends in the completion belongs to the completion."""
    tokens = encode(tokenizer, prompt + completion)
    learnt = tokens.hold(len(prompt) if completion_only else 0, len(prompt + completion))
    ids, labels = tokens.ids, [token if keep else UNSCORED for token, keep in zip(tokens.ids, learnt, strict=True)]
    if (end_token := end_id(tokenizer)) is not None and ids[-1:] != [end_token]:
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
