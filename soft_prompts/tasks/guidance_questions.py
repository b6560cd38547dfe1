"""How does each arm of the guidance experiments ask its questions? As published; behind a context; or told as whom."""

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from soft_prompts.batch import Example
from soft_prompts.data.guidance_arms import Arm
from soft_prompts.data.guidance_sources import GuidedQuestion
from soft_prompts.data.guidance_text import guidance_document
from soft_prompts.data.jsonl import line_error
from soft_prompts.questions import MOST_ANSWER_TOKENS, Question, target_examples


class Asked(NamedTuple):
    """How an arm asks."""

    arm: Arm

    def questions(self, guided: Sequence[GuidedQuestion]) -> list[Question]:
        """Every one, for one model after the other."""
        return [self.question(one, model) for model in self.arm.asked for one in guided]

    def examples(self, tokenizer: PreTrainedTokenizerBase, guided: Sequence[GuidedQuestion]) -> list[Example]:
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
