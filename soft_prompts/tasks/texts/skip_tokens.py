"""Can a prompt make a model look past the next token? At position t the token at t + 1 + s is asked for.

A sample is a window of a document with the prompt at a random place of it; with s = 2, `the cat sat on the mat` asks
`on` of `the`. Source: arXiv 2505.14943, skip tokens; departures: what would stand behind the end of the text is never
asked for (the original scored its padding there), and nothing in front of the prompt is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from soft_prompts.common.errors import UsageError
from soft_prompts.models.tokenizer import Tokenizer
from soft_prompts.tasks.task import UNSCORED, DataRequest, Example, Task
from soft_prompts.tasks.texts.windows import TextData, Window, first_scored, open_text, text_fingerprint


@dataclass(frozen=True)
class SkipTokensTask(Task):
    """The skip experiment's own flags."""

    skip: tuple[int, ...] = (1, 2, 4, 8)
    """Tokens to look past, one run each."""

    name: ClassVar[str] = "skip_tokens"
    headline: ClassVar[str] = "test_loss"
    unit: ClassVar[str] = "token"
    position = "random"

    def __post_init__(self) -> None:
        if not self.skip:
            raise UsageError("skip is empty; give at least one number of tokens after --skip")
        if wrong := [skip for skip in self.skip if skip < 1]:
            raise UsageError(f"skip is {wrong[0]}; give 1 or more tokens (the autoregressive experiment skips none)")

    @property
    def variant(self) -> str:
        return "skip-" + "-".join(map(str, self.skip))

    def each(self) -> "tuple[SkipTokensTask, ...]":
        return tuple(replace(self, skip=(skip,)) for skip in dict.fromkeys(self.skip))

    def fingerprint(self, request: DataRequest) -> str:
        return text_fingerprint(request)

    def open(self, request: DataRequest, tokenizer: Tokenizer) -> TextData:
        """Read the held-out documents; raises UsageError for several skips, or one beyond a sample."""
        if len(self.skip) > 1:
            raise UsageError(f"skip is {', '.join(map(str, self.skip))}; one run has one: give a single value")
        skip = next(iter(self.skip))
        if skip >= request.sample_tokens - 2:
            raise UsageError(
                f"skip is {skip}, but a sample has {request.sample_tokens} tokens; give more --sample-tokens"
            )
        return open_text(self, request, tokenizer, partial(_example, self, request.score_first))


def _example(task: SkipTokensTask, score_first: bool, window: Window) -> Example:
    """The label of position t, which the position before it predicts, is the token `skip` further on."""
    first = first_scored(task, window, score_first)
    labels = skipped_labels(window.input_ids, task.skip[0], first)
    units = sum(label != UNSCORED for label in labels)
    return Example(window.input_ids, labels, insert_at=window.insert_at, units=units, cluster=window.document)


def skipped_labels(input_ids: Sequence[int], skip: int, first: int) -> list[int]:
    """Labels from position `first` on; the last `skip` positions have nothing to predict."""
    shifted = [*input_ids[skip:], *[UNSCORED] * skip][: len(input_ids)]
    return [UNSCORED if place < first else label for place, label in enumerate(shifted)]
