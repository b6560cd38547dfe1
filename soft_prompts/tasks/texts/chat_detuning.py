"""How many tokens bring a chat model back to raw text, as its base model reads it?

The objective is that of `autoregressive` on raw text; the gap to the base model is that of the same windows under the
base model's tokenizer and weights (`--reference`). Beside the loss, what the model writes: after conversations put into
its chat template, several system messages times questions, and after raw text. Source: arXiv 2505.14943, chat detuning.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from soft_prompts.common.errors import InputError
from soft_prompts.models.tokenizer import Tokenizer, encode, need_spans, text_start
from soft_prompts.results.schema import Generation
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import Complete, DataRequest, Example, Measures, PromptPosition, Query, Task
from soft_prompts.tasks.texts.autoregressive import SHOWN, SHOWN_TOKENS, continuations, next_token_example
from soft_prompts.tasks.texts.windows import TextData, open_text, text_fingerprint

SYSTEM_MESSAGES = (
    "You are a helpful assistant.",
    "You answer in one short sentence.",
    "You explain programming to beginners.",
)
QUESTIONS = (
    "What is 17 + 25?",
    "How do you spell garden?",
    "What does the function open do?",
)


@dataclass(frozen=True)
class ChatDetuningTask(Task):
    """The chat detuning experiment's own flags."""

    position: PromptPosition = "front"
    """Where the prompt stands: in front of every sample, or at a random place of each."""
    chat_template_from: str | None = None
    """Model whose chat template wraps the questions that are shown. None: the run's own model, and no questions where
    it has no template."""

    name: ClassVar[str] = "chat_detuning"
    starts_from_bare: ClassVar[bool] = True
    headline: ClassVar[str] = "loss_per_byte"
    unit: ClassVar[str] = "byte"

    @property
    def variant(self) -> str | None:
        return "random-position" if self.position == "random" else None

    def fingerprint(self, request: DataRequest) -> str:
        return text_fingerprint(request)

    def open(self, request: DataRequest, tokenizer: Tokenizer) -> TextData:
        """Read the held-out documents and put the questions into the template; raises InputError where the model named
        for it has none."""
        label = partial(next_token_example, self, request.score_first, None)
        return open_text(self, request, tokenizer, label, partial(show_both, tokenizer, self._chats(tokenizer)))

    def _chats(self, tokenizer: Tokenizer) -> list[str]:
        need_spans(tokenizer)
        if self.chat_template_from is None:
            found = chats(tokenizer) if tokenizer.chat_template else []
            return [begun_once(tokenizer, text) for text in found]
        from soft_prompts.models.frozen import load_tokenizer  # another model's: most runs need none

        named = load_tokenizer(self.chat_template_from)
        if not named.chat_template:
            raise InputError(
                f"{self.chat_template_from} has no chat template; give --chat-template-from a chat model, or leave the "
                "flag out"
            )
        return [begun_once(tokenizer, text) for text in chats(named)]


def chats(tokenizer: Tokenizer) -> list[str]:
    """Every system message with every question, up to where the assistant is to answer; raises InputError where the
    template takes no such conversation."""
    from jinja2 import TemplateError  # with transformers there already

    try:
        return [_chat(tokenizer, *pair) for pair in itertools.product(SYSTEM_MESSAGES, QUESTIONS)]
    except (TemplateError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"the model's chat template refuses a conversation ({reason}); give another model") from error


def _chat(tokenizer: Tokenizer, system: str, question: str) -> str:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def begun_once(tokenizer: Tokenizer, text: str) -> str:
    """The text without special tokens that it begins with and that the tokenizer puts there anyway."""
    ids, spans, start = encode(tokenizer, text)
    twice = start > 0 and ids[:start] == ids[start : 2 * start]
    return text[spans[2 * start - 1][1] :] if twice else text


def show_both(
    tokenizer: Tokenizer,
    questions: Sequence[str],
    examples: Sequence[Example],
    items: Items,
    complete: Complete,
) -> Measures:
    """What the model writes after the questions and after raw text."""
    queries = [Query(text, (), text_start(tokenizer, text)) for text in questions]
    answers = complete(queries, SHOWN_TOKENS)
    shown = [Generation(prompt=q, condition=None, text=a) for q, a in zip(questions, answers, strict=True)]
    return Measures({}, shown + continuations(tokenizer, examples[:SHOWN], complete))
