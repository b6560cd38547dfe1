"""Do texts, and what is written behind them, fit the positions of every model? Asked before the first part is made."""

from collections.abc import Sequence

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.texts import token_ids
from soft_prompts.models.tokenizer import encode


def refuse_beyond_room(asked: Asked, parts: Sequence[str]) -> None:
    """Raises UsageError where one of the parts would read beyond a model's positions; what a probe needs is asked where
    it is known that one is made (`probe/part.py`, `look_ahead`)."""
    settings, tokenizer = asked.settings, asked.models[asked.family.base].tokenizer
    if "divergence" in parts:
        longest = max(len(token_ids(tokenizer, one.text, settings.document_tokens)) for one in asked.texts.held_out)
        said = f"a held-out document has {longest} tokens, and document-tokens is {settings.document_tokens}"
        asked.models.refuse_beyond(longest, said, "give fewer --document-tokens")
    if set(parts) - {"probe"}:  # what the models write is read by all of them
        longest = max(len(encode(tokenizer, one.text).ids) for one in asked.texts.prompts)
        whole = longest + settings.new_tokens
        said = f"a prompt of {longest} tokens and new-tokens {settings.new_tokens} are {whole} positions"
        asked.models.refuse_beyond(whole, said, "give shorter prompts or fewer --new-tokens")
