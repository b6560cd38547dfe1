"""How does each arm of the guidance experiments ask its questions? As published; behind a context; or told as whom."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from soft_prompts.batch import Example
from soft_prompts.conditions import ConditionEncoder
from soft_prompts.data.guidance import GuidanceData, Row
from soft_prompts.data.guidance_arms import Arm
from soft_prompts.data.guidance_text import answer_completion, guidance_document, guidance_line, question_prompt
from soft_prompts.questions import Question, target_examples

MODEL_ID = ConditionEncoder(("model=M1", "model=M2"), (0.0, 0.0), (1.0, 1.0))


@dataclass(frozen=True)
class Asked:
    """How an arm asks the questions of its data set."""

    arm: Arm
    data: GuidanceData

    def questions(self, rows: Sequence[Row]) -> list[Question]:
        """Every row, for one model after the other."""
        return [self.question(row, model) for model in range(self.arm.models) for row in rows]

    def examples(self, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row]) -> list[Example]:
        """The same as samples of one answer each."""
        return [example._replace(units=1) for example in target_examples(tokenizer, self.questions(rows))]

    def question(self, row: Row, model: int) -> Question:
        """The row asked of a model."""
        told = tuple(float(model == other) for other in range(self.arm.models)) if self.arm.told else ()
        prompt = self._context(row, model) + question_prompt(row.anchor)
        target = row.targets[model].strip()
        return Question(prompt, answer_completion(target), target, told)

    def _context(self, row: Row, model: int) -> str:
        if self.arm.context == "guidance":
            return guidance_document([guidance_line(row.anchor, row.targets[model], self.arm.order)]) + "\n\n"
        return f"You are Model M{model + 1}.\n\n" if self.arm.context == "identity" else ""
