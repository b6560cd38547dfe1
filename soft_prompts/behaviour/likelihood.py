"""How likely does a frozen model find an answer, with or without a prompt in front, and what does it write itself?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from soft_prompts.common.errors import InputError
from soft_prompts.engine.beginnings import nats_of
from soft_prompts.engine.evaluation import LossNotFinite, item_losses
from soft_prompts.engine.generation import generate
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.room import refuse_beyond
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.tasks.guidance.questions import MOST_ANSWER_TOKENS, Question, queries_of, target_examples
from soft_prompts.tasks.task import Example

BATCH = 64


class TargetScores(NamedTuple):
    """One entry a question."""

    log_probability: NDArray[np.float64]
    """Nats, summed over the target's tokens."""
    tokens: NDArray[np.int64]
    greedy: NDArray[np.bool_]
    """Is every token of the target the model's first choice, given those before it?"""


def target_scores(
    frozen: FrozenModel, questions: Sequence[Question], prompt: nn.Module | None = None, batch_size: int = BATCH
) -> TargetScores:
    """How likely each question's own target is, `prompt` in front of the text; raises InputError for a text that does
    not fit the model, LossNotFinite where there is no number."""
    prompt = prompt or no_prompt(frozen)
    examples = target_examples(frozen.tokenizer, questions)
    _refuse_beyond_context(frozen, prompt, examples)
    losses = item_losses(frozen, prompt, examples, batch_size)
    if not np.isfinite(losses.nats).all():
        raise LossNotFinite(f"{frozen.name} gives {(~np.isfinite(losses.nats)).sum()} answers no finite probability")
    return TargetScores(-losses.nats, losses.tokens, losses.hits == losses.tokens)


@torch.no_grad()
def candidate_scores(
    frozen: FrozenModel, questions: Sequence[Question], candidates: Sequence[str], prompt: nn.Module | None = None
) -> NDArray[np.float64]:
    """Log-probability [Q, T] of every candidate as the answer to every question, in nats.

    The same as `target_scores` of `question.answered(candidate)`, but what stands before the answers goes through the
    model once a question.
    """
    prompt = prompt or no_prompt(frozen)
    scores = np.empty((len(questions), len(candidates)))
    for row, question in enumerate(questions):
        examples = target_examples(frozen.tokenizer, [question.answered(candidate) for candidate in candidates])
        _refuse_beyond_context(frozen, prompt, examples)
        scores[row] = -nats_of(frozen, prompt, examples, BATCH)
    return scores


def write_answers(
    frozen: FrozenModel,
    questions: Sequence[Question],
    prompt: nn.Module | None = None,
    most_new_tokens: int = MOST_ANSWER_TOKENS,
    batch_size: int = BATCH,
) -> list[str]:
    """What the model writes after each question, greedily."""
    queries = queries_of(frozen.tokenizer, questions)
    return generate(frozen, prompt or no_prompt(frozen), queries, most_new_tokens, batch_size=batch_size)


def no_prompt(frozen: FrozenModel) -> nn.Module:
    """A prompt without tokens: the bare model."""
    return DirectPrompt(PromptShape(0, frozen.hidden_size, 0)).to(frozen.device)


def _refuse_beyond_context(frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example]) -> None:
    tokens = prompt(torch.tensor([examples[0].conditions], device=frozen.device)).shape[1] if examples else 0
    positions = tokens + max((len(example.input_ids) for example in examples), default=0)
    instead = "leave out what is longer, or take fewer prompt tokens"
    refuse_beyond(frozen, positions, "a question, its answer and the prompt are", instead, InputError)
