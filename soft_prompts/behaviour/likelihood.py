"""How likely does a frozen model find an answer, with or without a prompt in front, and what does it write itself?"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import DynamicCache

from soft_prompts.common.errors import InputError
from soft_prompts.engine.batch import collate
from soft_prompts.engine.evaluation import LossNotFinite, item_losses
from soft_prompts.engine.generation import generate
from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.engine.loss import head_loss, logits_loss
from soft_prompts.engine.memory import in_batches
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import text_start
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.tasks.guidance.questions import MOST_ANSWER_TOKENS, Question, target_examples
from soft_prompts.tasks.task import UNSCORED, Example, Query

BATCH = 64
ROWS = 64  # candidates at once: each row holds a copy of the keys and values of what stands before them


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
        groups: dict[tuple[int, ...], list[int]] = {}  # by the tokens before the answer: nearly always one group
        for column, example in enumerate(examples):
            groups.setdefault(tuple(example.input_ids[: _first_scored(example)]), []).append(column)
        for columns in groups.values():
            scores[row, columns] = -_nats_behind_one_beginning(frozen, prompt, [examples[c] for c in columns])
    return scores


def write_answers(
    frozen: FrozenModel,
    questions: Sequence[Question],
    prompt: nn.Module | None = None,
    most_new_tokens: int = MOST_ANSWER_TOKENS,
    batch_size: int = BATCH,
) -> list[str]:
    """What the model writes after each question, greedily."""
    tokenizer = frozen.tokenizer
    queries = [Query(q.prompt, q.conditions, text_start(tokenizer, q.prompt)) for q in questions]
    return generate(frozen, prompt or no_prompt(frozen), queries, most_new_tokens, batch_size=batch_size)


def no_prompt(frozen: FrozenModel) -> nn.Module:
    """A prompt without tokens: the bare model."""
    return DirectPrompt(PromptShape(0, frozen.hidden_size, 0)).to(frozen.device)


def _first_scored(example: Example) -> int:
    return next(place for place, label in enumerate(example.labels) if label != UNSCORED)


def _nats_behind_one_beginning(frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example]) -> np.ndarray:
    """Nats [N] of the scored tokens of samples that are alike up to their first scored token."""
    first = _first_scored(examples[0])
    beginning = Example(examples[0].input_ids[:first], [UNSCORED] * first, *examples[0][2:4])
    if first == 0:  # nothing but perhaps the prompt stands before the answer: the plain road
        return item_losses(frozen, prompt, examples, BATCH).nats
    batch = collate([beginning], frozen.pad_id).to(frozen.device)
    embeds = insert_prompt(
        frozen.embed(batch.input_ids), prompt(batch.conditions), batch.labels, batch.mask, batch.insert_at
    ).embeds  # [1 P+first H]
    cache = _cache(frozen, embeds[:, :-1])
    if cache is None:  # a model whose cache is not the whole truth
        return item_losses(frozen, prompt, examples, BATCH).nats

    def nats_of(places: Sequence[int]) -> Float[Tensor, " N"]:
        some = [examples[place] for place in places]
        return _nats_of_answers(frozen, embeds[:, -1:], copy.deepcopy(cache), some, first)

    return torch.cat(list(in_batches(range(len(examples)), ROWS, nats_of))).cpu().numpy()


def _cache(frozen: FrozenModel, embeds: Float[Tensor, "1 S H"]) -> DynamicCache | None:
    """Keys and values of what every answer stands behind; None where the model keeps none that they can share."""
    if not frozen.caches:
        return None
    if embeds.shape[1] == 0:
        return DynamicCache(config=frozen.model.config)
    return frozen.go_on(embeds, None, body=True)[1]


def _nats_of_answers(
    frozen: FrozenModel, last: Float[Tensor, "1 1 H"], cache: DynamicCache, examples: Sequence[Example], first: int
) -> Float[Tensor, " N"]:
    """The position before the answers and the answers but their last token go in; every position predicts the next."""
    rest = [Example(e.input_ids[first:], e.labels[first:]) for e in examples]
    batch = collate(rest, frozen.pad_id, score_first=True).to(frozen.device)
    embeds = torch.cat([last.expand(len(rest), -1, -1), frozen.embed(batch.input_ids[:, :-1])], dim=1)
    if cache.get_seq_length():
        cache.batch_repeat_interleave(len(rest))
    scored = batch.labels != UNSCORED  # [N A]
    if frozen.head is None:
        logits, _ = frozen.go_on(embeds, cache)
        losses = logits_loss(logits[scored], batch.labels[scored]).nats
    else:
        hidden, _ = frozen.go_on(embeds, cache, body=True)
        losses = head_loss(hidden[scored], frozen.head, batch.labels[scored]).nats
    sums = torch.zeros(len(rest), dtype=torch.float64, device=frozen.device)
    return sums.index_add_(0, scored.nonzero()[:, 0], losses.double())


def _refuse_beyond_context(frozen: FrozenModel, prompt: nn.Module, examples: Sequence[Example]) -> None:
    tokens = prompt(torch.tensor([examples[0].conditions], device=frozen.device)).shape[1] if examples else 0
    positions = tokens + max((len(example.input_ids) for example in examples), default=0)
    if frozen.context_length is not None and positions > frozen.context_length:
        raise InputError(
            f"a question, its answer and the prompt are {positions} positions; {frozen.name} has "
            f"{frozen.context_length}; leave out what is longer, or take fewer prompt tokens"
        )
