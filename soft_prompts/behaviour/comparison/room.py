"""Do texts, and what is written behind them, fit the positions of every model? Asked before the first part is made."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.texts import token_ids
from soft_prompts.models.tokenizer import encode


class Need(NamedTuple):
    """Positions that a part reads at most, and how to need fewer."""

    positions: int
    said: str
    instead: str


def refuse_beyond_room(asked: Asked, parts: Sequence[str]) -> None:
    """Raises UsageError where one of the parts would read beyond a model's positions."""
    for need in _needs(asked, parts):
        asked.models.refuse_beyond(need.positions, need.said, need.instead)


def _needs(asked: Asked, parts: Sequence[str]) -> Iterator[Need]:
    """The probe's are known where it is known to be made: `probe/part.py`, `look_ahead`."""
    settings, tokenizer = asked.settings, asked.models[asked.family.base].tokenizer
    if "divergence" in parts:
        longest = max(len(token_ids(tokenizer, one.text, settings.document_tokens)) for one in asked.texts.held_out)
        said = f"a held-out document has {longest} tokens, and document-tokens is {settings.document_tokens}"
        yield Need(longest, said, "give fewer --document-tokens")
    if set(parts) - {"probe"}:  # what the models write is read by all of them
        longest = max(len(encode(tokenizer, one.text).ids) for one in asked.texts.prompts)
        said = f"a prompt of {longest} tokens and new-tokens {settings.new_tokens}"
        positions = longest + settings.new_tokens
        yield Need(positions, f"{said} are {positions} positions", "give shorter prompts or fewer --new-tokens")
