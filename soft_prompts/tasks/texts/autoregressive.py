"""Does a prompt make a model better at ordinary text, its own kind or another? The next token of any documents.

A sample is a window of a document, `def dumps(obj, *, skipkeys=False, ...`, and every token after the first is to be
predicted. Source: arXiv 2505.14943, autoregressive; departures: held-out documents, and a loss per byte of text, which
does not depend on a tokenizer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from soft_prompts.common.errors import UsageError
from soft_prompts.models.tokenizer import Tokenizer, text_end
from soft_prompts.results.schema import Generation
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import (
    UNSCORED,
    Complete,
    DataRequest,
    Example,
    Measures,
    PromptPosition,
    Query,
    Task,
)
from soft_prompts.tasks.texts.windows import TextData, Window, next_token_labels, open_text, text_fingerprint

SHOWN = 6  # continuations kept in the result
SHOWN_TOKENS = 48  # tokens of a continuation


@dataclass(frozen=True)
class AutoregressiveTask(Task):
    """The autoregressive experiment's own flags."""

    position: PromptPosition = "front"
    """Where the prompt stands: in front of every sample, or at a random place of each."""
    favour_future: int | None = None
    """In training a token answers for the losses of all tokens at least so many further on; None: for every loss
    alike."""

    name: ClassVar[str] = "autoregressive"
    starts_from_bare: ClassVar[bool] = True
    headline: ClassVar[str] = "loss_per_byte"
    unit: ClassVar[str] = "byte"

    def __post_init__(self) -> None:
        if self.favour_future is not None and self.favour_future < 1:
            raise UsageError(f"favour-future is {self.favour_future}; give 1 or more tokens, or None")

    @property
    def variant(self) -> str | None:
        parts = ["random-position"] if self.position == "random" else []
        parts += [f"favour-{self.favour_future}-on"] if self.favour_future else []
        return "-".join(parts) or None

    def fingerprint(self, request: DataRequest) -> str:
        return text_fingerprint(request)

    def open(self, request: DataRequest, tokenizer: Tokenizer) -> TextData:
        """Read the held-out documents; training documents are read as they are needed."""
        label = partial(next_token_example, self, request.score_first, self.favour_future)
        return open_text(self, request, tokenizer, label, partial(show_continuations, tokenizer))


def next_token_example(task: Task, score_first: bool, favour_future: int | None, window: Window) -> Example:
    """A window whose tokens are all to be predicted; its units are the bytes of the scored ones."""
    labels = next_token_labels(task, window, score_first)
    return Example(
        input_ids=window.input_ids,
        labels=labels,
        insert_at=window.insert_at,
        units=sum(size for size, label in zip(window.n_bytes, labels, strict=True) if label != UNSCORED),
        cluster=window.document,
        weights=None if favour_future is None else future_weights(labels, favour_future),
    )


def future_weights(labels: Sequence[int], ahead: int) -> list[float]:
    """Of each label: how many scored labels stand at least `ahead` before it, each of which answers for its loss.

    Where a text is too short for any, every label counts alike.
    """
    scored = np.array([label != UNSCORED for label in labels])
    before = np.concatenate([[0], np.cumsum(scored)])  # [t]: scored labels in front of position t
    weights = before[np.maximum(np.arange(len(labels)) - ahead + 1, 0)] * scored
    return (weights if weights.any() else scored).astype(float).tolist()


def show_continuations(tokenizer: Tokenizer, examples: Sequence[Example], items: Items, complete: Complete) -> Measures:
    """What the model adds to the first halves of a few test items."""
    shown = examples[:SHOWN]
    return Measures({}, continuations(tokenizer, shown, complete))


def continuations(tokenizer: Tokenizer, examples: Sequence[Example], complete: Complete) -> list[Generation]:
    """The model's own second halves, at most 48 tokens, beside the real ones."""

    def text(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    halves = [len(example.input_ids) // 2 for example in examples]
    starts = [text(example.input_ids[:half]) for example, half in zip(examples, halves, strict=True)]
    places = [min(e.insert_at, text_end(tokenizer, start)) for start, e in zip(starts, examples, strict=True)]
    queries = [Query(start, e.conditions, at) for start, e, at in zip(starts, examples, places, strict=True)]
    written = complete(queries, SHOWN_TOKENS)
    real = [text(e.input_ids[half : half + SHOWN_TOKENS]) for e, half in zip(examples, halves, strict=True)]
    return [
        Generation(prompt=start, condition=None, text=new, reference=reference)
        for start, new, reference in zip(starts, written, real, strict=True)
    ]
