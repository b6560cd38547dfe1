"""What is a question to a model: text that asks, its right answer, and the tokens of that answer?

Tokens of an answer are found by their offsets in the whole text, never by decoding what stands before them: where a
tokenizer joins the space or a line end to a word, the token that holds the word counts.
"""

from collections.abc import Sequence
from typing import NamedTuple

from soft_prompts.common.errors import InputError
from soft_prompts.data.jsonl import line_error
from soft_prompts.data.split import hash_of
from soft_prompts.models.tokenizer import Tokenizer, Tokens, encode_all, need_spans
from soft_prompts.tasks.guidance.arms import Arm
from soft_prompts.tasks.guidance.sources import GuidedQuestion
from soft_prompts.tasks.guidance.text import guidance_document
from soft_prompts.tasks.task import UNSCORED, Example, Query

MOST_ANSWER_TOKENS = 50  # written for an answer


class Question(NamedTuple):
    """Text that asks, and the right answer inside the completion that follows it."""

    prompt: str
    completion: str
    target: str
    """The answer: the completion without the white space before it and what follows it."""
    conditions: tuple[float, ...] = ()
    """What the soft prompt is told."""

    def answered(self, target: str) -> "Question":
        """The same question with another answer in the same place."""
        return self._replace(completion=self.completion.replace(self.target, target, 1), target=target)


def target_examples(tokenizer: Tokenizer, questions: Sequence[Question]) -> list[Example]:
    """Question and answer as a sample in which the answer's tokens alone are scored, cut behind the last of them.

    Units are the answer's tokens, the cluster is the question's. Raises InputError for a
    tokenizer without offsets, and for an answer that nothing precedes.
    """
    need_spans(tokenizer)
    texts = encode_all(tokenizer, [question.prompt + question.completion for question in questions])
    return [_example(question, tokens) for question, tokens in zip(questions, texts, strict=True)]


def queries_of(tokenizer: Tokenizer, questions: Sequence[Question]) -> list[Query]:
    """What a model is asked: the tokens in front of each completion, as they are read with it. One that holds the end
    of the question too is the model's to write. Raises InputError for a tokenizer without offsets."""
    need_spans(tokenizer)
    texts = encode_all(tokenizer, [question.prompt + question.completion for question in questions])
    found = []
    for question, tokens in zip(questions, texts, strict=True):
        ids, end = tokens.before(len(question.prompt))
        found.append(Query(question.prompt[:end], question.conditions, tokens.start, tuple(ids)))
    return found


def _example(question: Question, tokens: Tokens) -> Example:
    first = len(question.prompt)
    last = first + question.completion.index(question.target) + len(question.target)
    scored = tokens.hold(first, last)
    if scored[:1] == [True]:
        raise InputError(
            f"the answer {question.target!r} to {question.prompt!r} begins in the first token of the text, which "
            "nothing precedes; ask something that is a token of this model by itself"
        )
    length = max((place + 1 for place, keep in enumerate(scored) if keep), default=0)
    ids = tokens.ids[:length]
    return Example(
        input_ids=ids,
        labels=[token if keep else UNSCORED for token, keep in zip(ids, scored, strict=False)],
        conditions=question.conditions,
        insert_at=tokens.start,
        units=sum(scored),
        cluster=hash_of(question.prompt),
    )


class Asked(NamedTuple):
    """How an arm asks."""

    arm: Arm

    def questions(self, guided: Sequence[GuidedQuestion]) -> list[Question]:
        """Every one, for one model after the other."""
        return [self.question(one, model) for model in self.arm.asked for one in guided]

    def examples(self, tokenizer: Tokenizer, guided: Sequence[GuidedQuestion]) -> list[Example]:
        """The same as samples of one answer each; raises InputError with the line of an answer that is too long."""
        examples = target_examples(tokenizer, self.questions(guided))
        answers = [one.answers[model] for model in self.arm.asked for one in guided]
        for example, answer in zip(examples, answers, strict=True):
            if example.units > MOST_ANSWER_TOKENS:
                wrong = f"the answer is {example.units} tokens of this model, and {MOST_ANSWER_TOKENS} are written at"
                raise line_error(answer.path, answer.line, f"{wrong} most; shorten it, or leave it out")
        return [example._replace(units=1) for example in examples]

    def question(self, guided: GuidedQuestion, model: int) -> Question:
        """One of them, asked as a model."""
        told = tuple(float(model == other) for other in range(self.arm.models)) if self.arm.told else ()
        answer = guided.answers[model]
        return Question(self._context(guided, model) + guided.prompt, answer.completion, answer.text, told)

    def crossed(self, guided: Sequence[GuidedQuestion]) -> list[Question]:
        """Every question, asked as each model, with each model's answer: [Q, asked as, answering] in one row."""
        return [
            self.question(one, asked).answered(one.answers[answering].text)
            for one in guided
            for asked in self.arm.askings
            for answering in range(self.arm.models)
        ]

    def _context(self, guided: GuidedQuestion, model: int) -> str:
        if self.arm.context == "guidance":
            return guidance_document([guided.answers[model].guidance or ""]) + "\n\n"
        return f"You are Model M{model + 1}.\n\n" if self.arm.context == "identity" else ""
