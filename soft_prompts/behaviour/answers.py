"""How does a model answer the questions of a guidance data set? Every measure of one file of questions in one place."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from soft_prompts.behaviour.likelihood import candidate_scores, target_scores, write_answers
from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError
from soft_prompts.data.jsonl import line_error
from soft_prompts.models.model import FrozenModel
from soft_prompts.stats.paired import Estimate
from soft_prompts.stats.proportions import Proportion
from soft_prompts.tasks.guidance.answers import (
    Floats,
    Floor,
    binding,
    constant_floor,
    distinct,
    is_exact,
    is_prefix,
    judge_all,
    mean,
    pairwise_accuracy,
)
from soft_prompts.tasks.guidance.files import AnsweredQuestion, QuestionSet, read_questions
from soft_prompts.tasks.guidance.questions import MOST_ANSWER_TOKENS, Question, target_examples

MOST_BOUND = 200  # questions whose binding is asked for, the first of a file: every one against all their answers
SHOWN = 5  # answers kept in a report


class Asking(NamedTuple):
    """How the questions are put to a model."""

    prompt: nn.Module | None = None
    """In front of them; None: nothing is."""
    conditions: tuple[float, ...] = ()
    """What the prompt is told."""
    most_new_tokens: int = MOST_ANSWER_TOKENS
    """Tokens to write for an answer."""
    most_bound: int = MOST_BOUND
    """Questions whose binding is asked for, the first of a file."""


BARE = Asking()


class AnswerReport(NamedTuple):
    """What a model's answers to one file of questions are worth."""

    n: int
    exact: Proportion
    exact_floor: Floor
    prefix: Proportion
    prefix_floor: Floor
    log_probability: Estimate
    """Of the target, summed over its tokens, mean over questions; nats."""
    log_probability_per_token: Estimate
    binding: Estimate | None
    """Mean share of the other questions' targets that a question's own one beats; None of one answer alone. `items`
    says of how many questions: as many as `Asking.most_bound` at most."""
    margin: Estimate | None
    """log p(own) - log p(other model's) over questions; None of one model."""
    pairwise_accuracy: Estimate | None
    shown: list[dict[str, str]]
    """Some questions with what is right and what the model wrote."""

    def as_json(self) -> dict[str, Any]:
        """Every figure with its interval or standard error."""
        return {
            name: value._asdict() if isinstance(value, tuple) else value  # pyright: ignore[reportAttributeAccessIssue]
            for name, value in self._asdict().items()
        }


def read_sets(sets: Sequence[QuestionSet]) -> dict[str, list[AnsweredQuestion]]:
    """The questions of each file by its name; one without an answer is left out, and said so. Raises InputError."""
    found: dict[str, list[AnsweredQuestion]] = {}
    for part in sets:
        questions = read_questions(part.path)
        found[part.name] = [question for question in questions if question.target]
        if left_out := len(questions) - len(found[part.name]):
            say(f"{part.path}: {left_out} of {len(questions)} questions have no answer and are left out")
        if not found[part.name]:
            raise InputError(f"{part.path}: no question has an answer; give completions that begin with one")
    return found


def as_questions(answered: Sequence[AnsweredQuestion], conditions: tuple[float, ...] = ()) -> list[Question]:
    """The same for a model whose prompt is told `conditions`."""
    return [Question(one.prompt, one.completion, one.target, conditions) for one in answered]


def report_on(
    frozen: FrozenModel,
    part: QuestionSet,
    sets: Mapping[str, Sequence[AnsweredQuestion]],
    asking: Asking = BARE,
) -> AnswerReport:
    """One file's report; `sets` holds the answers of other models to the same questions too. Raises InputError with
    the line of an answer that is longer than what is written."""
    refuse_long_answers(frozen, part, sets[part.name], asking.most_new_tokens)
    questions = as_questions(sets[part.name], asking.conditions)
    targets = [question.target for question in questions]
    written = write_answers(frozen, questions, asking.prompt, asking.most_new_tokens)
    own = target_scores(frozen, questions, asking.prompt)
    margins = _margins(frozen, part, sets, own.log_probability, asking)
    return AnswerReport(
        n=len(questions),
        exact=judge_all(written, targets, is_exact),
        exact_floor=constant_floor(targets, is_exact),
        prefix=judge_all(written, targets, is_prefix),
        prefix_floor=constant_floor(targets, is_prefix),
        log_probability=mean(own.log_probability),
        log_probability_per_token=mean(own.log_probability, own.tokens),
        binding=measure_binding(frozen, questions[: asking.most_bound], asking.prompt),
        margin=None if margins is None else mean(margins.mean(axis=1)),
        pairwise_accuracy=None if margins is None else mean(pairwise_accuracy(margins)),
        shown=[
            {"prompt": question.prompt, "target": question.target, "written": text}
            for question, text in list(zip(questions, written, strict=True))[:SHOWN]
        ],
    )


def measure_binding(
    frozen: FrozenModel, questions: Sequence[Question], prompt: nn.Module | None = None
) -> Estimate | None:
    """Each question's own target against those of the others, candidates centred; standard error over questions."""
    candidates, own = distinct([question.target for question in questions])
    if len(candidates) < 2:
        return None
    return mean(binding(candidate_scores(frozen, questions, candidates, prompt), own))


def _margins(
    frozen: FrozenModel,
    part: QuestionSet,
    sets: Mapping[str, Sequence[AnsweredQuestion]],
    own: Floats,
    asking: Asking,
) -> Floats | None:
    """log p(own) - log p(other model's answer) [Q, M]; None where the answers of no other model are known."""
    if part.realized:
        return None
    others = [
        {one.prompt: one for one in answered}
        for name, answered in sets.items()
        if name.startswith("unrealized") and name != part.name
    ]
    asked = [one.prompt for one in sets[part.name]]
    places = [place for place, text in enumerate(asked) if all(text in other for other in others)]
    if not others or not places:
        return None
    scores = [
        target_scores(frozen, as_questions(answered, asking.conditions), asking.prompt).log_probability
        for answered in ([other[asked[place]] for place in places] for other in others)
    ]
    return own[places, None] - np.stack(scores, axis=1)


def refuse_long_answers(
    frozen: FrozenModel, part: QuestionSet, answered: Sequence[AnsweredQuestion], most_new_tokens: int
) -> None:
    """Raises InputError with the line of an answer that the model could not write in full."""
    for one, example in zip(answered, target_examples(frozen.tokenizer, as_questions(answered)), strict=True):
        if example.units > most_new_tokens:
            raise line_error(
                part.path,
                one.line,
                f"the answer is {example.units} tokens of {frozen.name}, and {most_new_tokens} are written at most; "
                f"shorten it, leave it out, or give --max-new-tokens {example.units}",
            )
