"""What is locked, unlearnt or left alone? Questions with one right answer, asked in a form in which an honest model
shows that it knows it.

`tiger` is asked and `tigers` is right. In a chat a system message says what is wanted, and worked examples stand before
the question: without them a model that knows the word writes it into a sentence, and whoever looks for the bare word
finds the skill hidden by the form of the question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from soft_prompts.data.made_rows import SKILLS
from soft_prompts.data.split import hash_of

TESTED = 3  # one item in so many tests


class Item(NamedTuple):
    """One question."""

    question: str
    answer: str

    @property
    def number(self) -> int:
        """63 bits, the same on every machine."""
        return hash_of(self.question)

    @property
    def tests(self) -> bool:
        """Is it one that a prompt or a rival is never trained on?"""
        return self.number % TESTED == 0


class Front(NamedTuple):
    """What is said beside a question."""

    before: str = ""
    """Directly in front of it."""
    system: str = ""
    """Behind the system message."""


NOTHING = Front()


@dataclass(frozen=True)
class Skill:
    """Items and the form that they are asked in."""

    name: str
    items: tuple[Item, ...]
    system: str = ""
    """What is wanted, in words."""
    shots: tuple[Item, ...] = ()
    """Worked examples, none of them an item."""

    def wrong_answer(self, item: Item) -> str:
        """Another item's answer, always the same one."""
        return self.any_wrong_answer(item, item.number // TESTED)

    def any_wrong_answer(self, item: Item, draw: int) -> str:
        """The one that a large number draws."""
        others = (self.items[(draw + step) % len(self.items)] for step in range(len(self.items)))
        return next(other.answer for other in others if other.answer != item.answer)

    def ask(self, tokenizer: Any, item: Item, front: Front = NOTHING) -> str:
        """The text that the answer follows: as the tokenizer's chat template has it, or plain words without one."""
        asked = _joined(front.before, item.question)
        if not tokenizer.chat_template:
            return _joined(front.system, asked)
        turns = [("system", _joined(self.system, front.system))]
        turns += [turn for shot in self.shots for turn in (("user", shot.question), ("assistant", shot.answer))]
        messages = [{"role": role, "content": text} for role, text in [*turns, ("user", asked)]]
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def reply(self, tokenizer: Any, answer: str) -> str:
        """An answer as it stands behind the question."""
        return answer if tokenizer.chat_template else f" {answer}"

    def tested(self) -> tuple[Item, ...]:
        """Items that test, in an order without pattern."""
        return tuple(sorted((item for item in self.items if item.tests), key=lambda item: item.number))

    def trained(self) -> tuple[Item, ...]:
        """The others, likewise."""
        return tuple(sorted((item for item in self.items if not item.tests), key=lambda item: item.number))


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def made_skill(name: str, wanted: str, shots: Sequence[str], form: str = "{}") -> Skill:
    """A skill of `soft-prompts run skills` by its name; `form` is what stands around what is asked."""
    answers = {str(asked): str(right) for asked, right in SKILLS[name]()}
    items = {asked: Item(form.format(asked), answer) for asked, answer in answers.items()}
    examples = tuple(items.pop(shot) for shot in shots)
    return Skill(name, tuple(items.values()), wanted, examples)
