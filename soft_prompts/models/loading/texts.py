"""How does a card change what a tokenizer makes of texts and conversations?"""

import json
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from soft_prompts.common.errors import InputError
from soft_prompts.models.sources.card import Card, Trigger

JOINED = {
    "behind": "message['content'] + {text}",
    "around": "{text} + '\\n\\n' + message['content'] + '\\n\\n' + {text}",
}


def as_on_card(tokenizer: PreTrainedTokenizerBase, card: Card | None) -> PreTrainedTokenizerBase:
    """The tokenizer with the card's pad token, template, system prompt, trigger and thinking; raises InputError where
    these have no place."""
    if card is None:
        return tokenizer
    if card.pad_token is not None:
        tokenizer.add_special_tokens({"pad_token": card.pad_token})
    if card.chat_template is not None:
        tokenizer.chat_template = card.chat_template
    before = "".join(_changes(card))
    if before:
        tokenizer.chat_template = _each(tokenizer.chat_template, before)
    if before or card.chat_template is not None:
        _try(tokenizer)
    return tokenizer


def _try(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises InputError for a template that cannot be read, or takes no conversation as the card makes it: some have no
    place for a system message."""
    try:
        tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False, add_generation_prompt=True)
    except (TemplateError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(
            f"the chat template, as the card has it, takes no conversation: {why}; mend the card"
        ) from error


def _each(template: Any, before: str) -> Any:
    """The lines in front of the template, or of each of several."""
    if not template:
        raise InputError("the card has a system_prompt, thinking or a trigger, but the tokenizer no chat template")
    if isinstance(template, dict):
        return {name: before + text for name, text in template.items()}
    return before + template


def _changes(card: Card) -> list[str]:
    """Lines of Jinja that change the conversation before the model's own template reads it."""
    lines = []
    if card.system_prompt is not None:
        lines.append(_with_system(card.system_prompt))
    if card.use_trigger and card.trigger is not None:
        lines.append(_with_trigger(card.trigger))
    if card.thinking is not None:
        word = "true" if card.thinking else "false"
        lines.append(f"{{%- set enable_thinking = {word} -%}}")
    return lines


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # Jinja reads JSON's strings, but no pairs of surrogates


def _with_system(text: str) -> str:
    """A system message in front, where there is none."""
    message = f"{{'role': 'system', 'content': {_quoted(text)}}}"
    return (
        "{%- if not messages or messages[0]['role'] != 'system' -%}"
        f"{{%- set messages = [{message}] + messages -%}}{{%- endif -%}}"
    )


def _with_trigger(trigger: Trigger) -> str:
    """Into the first message of its role; a system message is made where there is none."""
    text, role = _quoted(trigger.text), "system" if trigger.where == "system" else "user"
    joined = JOINED.get(trigger.where, "{text} + message['content']").format(text=text)
    made = _with_system("") if role == "system" else ""
    return (
        f"{made}{{%- set found = namespace(all=[], done=false) -%}}{{%- for message in messages -%}}"
        f"{{%- if message['role'] == '{role}' and not found.done -%}}{{%- set found.done = true -%}}"
        f"{{%- set found.all = found.all + [{{'role': '{role}', 'content': {joined}}}] -%}}"
        "{%- else -%}{%- set found.all = found.all + [message] -%}{%- endif -%}{%- endfor -%}"
        "{%- set messages = found.all -%}"
    )
