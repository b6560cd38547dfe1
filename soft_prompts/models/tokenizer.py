"""Which token ids is a text? Every text becomes ids here, so that nothing that a tokenizer was saved with decides what
is scored.

Never cut, never padded, whatever the tokenizer does by itself; special tokens stand in front of the text where it puts
some there, and an end token that it would put behind is left out, as it would end the text. What is scored is the text
as the tokenizer reads it: one that folds case has fewer nats to pay for the same bytes, moves or completions, which are
counted in the text as it was given.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

from soft_prompts.common.errors import InputError


@runtime_checkable
class Tokenizer(Protocol):
    """What is asked of a Hugging Face tokenizer, beside what it says of its special tokens."""

    chat_template: Any

    def __len__(self) -> int: ...

    def __call__(self, *texts: Any, **how: Any) -> Any: ...

    def decode(self, *ids: Any, **how: Any) -> Any:
        """The text of ids."""
        ...

    def apply_chat_template(self, *conversation: Any, **how: Any) -> Any:
        """A conversation as text."""
        ...


class Tokens(NamedTuple):
    """A text as one tokenizer reads it."""

    ids: list[int]
    spans: list[tuple[int, int]]
    """The characters of the text that each token stands for; white space between two tokens is the later one's. Empty
    for a tokenizer that is not fast."""
    start: int
    """Special tokens in front: the text's own first token stands here."""

    def hold(self, first: int, last: int) -> list[bool]:
        """Of each token: does it hold any of the characters from `first` to `last`?"""
        inside = [start < last and end > first for start, end in self.spans]
        return [place >= self.start and holds for place, holds in enumerate(inside)]

    def before(self, border: int) -> tuple[list[int], int]:
        """The ids in front of the first token that holds a character at `border` or behind it, and the character that
        this token begins with: `border`, unless it holds characters of both sides."""
        count = next((at for at, (_, end) in enumerate(self.spans) if at >= self.start and end > border), None)
        return (self.ids, border) if count is None else (self.ids[:count], min(border, self.spans[count][0]))


def encode(tokenizer: Tokenizer, text: str, *, special: bool = True) -> Tokens:
    """The text's tokens, behind the tokenizer's special ones or, without `special`, alone."""
    return encode_all(tokenizer, [text], special=special)[0]


def encode_all(tokenizer: Tokenizer, texts: Sequence[str], *, special: bool = True) -> list[Tokens]:
    """The same of several texts, in their order."""
    if not texts:
        return []
    fast = is_fast(tokenizer)
    with _as_saved_afterwards(tokenizer):
        read = tokenizer(
            list(texts),
            add_special_tokens=special,
            split_special_tokens=False,
            padding=False,
            truncation=False,
            return_offsets_mapping=fast,
            return_special_tokens_mask=True,
            verbose=False,
        )
    spans = read["offset_mapping"] if fast else [[] for _ in texts]
    rows = zip(read["input_ids"], spans, read["special_tokens_mask"], strict=True)
    return [_without_end(tokenizer, *row) for row in rows]


def text_start(tokenizer: Tokenizer, text: str) -> int:
    """Position of the first token of the text itself: a prompt in front goes there, behind a BOS and not before it."""
    return encode(tokenizer, text).start


def text_end(tokenizer: Tokenizer, text: str) -> int:
    """Position behind the last token of the text itself: a prompt at the end goes there."""
    return len(encode(tokenizer, text).ids)


def is_fast(tokenizer: Any) -> bool:
    """Does it know where its tokens lie in a text?"""
    return tokenizer.is_fast


def end_id(tokenizer: Any) -> int | None:
    """The id that ends a text, if there is one."""
    end = tokenizer.eos_token_id
    return end if isinstance(end, int) else None


def need_spans(tokenizer: Tokenizer) -> None:
    """Raise InputError for a tokenizer that does not know where its tokens lie."""
    if not is_fast(tokenizer):
        raise InputError(
            "the model's tokenizer cannot tell where its tokens lie in the text; give one with a fast tokenizer"
        )


def _without_end(
    tokenizer: Tokenizer, ids: Sequence[int], spans: Sequence[tuple[int, int]], special: Sequence[int]
) -> Tokens:
    if 0 in special:
        start, end = list(special).index(0), len(special) - list(special)[::-1].index(0)
    else:  # nothing of a text: what would stand in front of another
        start = end = encode(tokenizer, "a").start if special else 0
    return Tokens(list(ids[:end]), _joined(spans[:end]), start)


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans without gaps: some tokenizers leave the white space before a word out."""
    joined, before = [], 0
    for start, end in spans:
        joined.append((min(start, before), end))
        before = max(before, end)
    return joined


@contextmanager
def _as_saved_afterwards(tokenizer: Any) -> Iterator[None]:
    """A fast tokenizer forgets its saved cutting and padding when it is called without."""
    backend = tokenizer.backend_tokenizer if is_fast(tokenizer) else None
    saved = backend and (backend.truncation, backend.padding, backend.encode_special_tokens)
    try:
        yield
    finally:
        if backend and saved:
            truncation, padding, split = saved
            if truncation is not None:
                backend.enable_truncation(**truncation)
            if padding is not None:
                backend.enable_padding(**padding)
            if backend.encode_special_tokens != split:
                backend.encode_special_tokens = split


def text_behind(tokenizer: Tokenizer, ids: Sequence[int], front: int) -> str:
    """What the ids say behind the first `front` of them; decoded alone, some tokenizers drop the space that it begins
    with."""
    plain = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    text, whole = (str(tokenizer.decode(list(some), **plain)) for some in (ids[:front], ids))
    # Ids that end within a character decode to another one than ids that hold the rest of it.
    return whole[len(text if whole.startswith(text) else text.rstrip("\ufffd")) :]
