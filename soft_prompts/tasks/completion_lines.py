"""How does a line become a sample, and when is a reply to it right?"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from soft_prompts.common.console import say
from soft_prompts.data.completions import Row, conditions_of
from soft_prompts.data.conditions import ConditionEncoder
from soft_prompts.data.texts.words import UNSPACED
from soft_prompts.models.tokenizer import Tokenizer, encode, encode_all, text_behind
from soft_prompts.tasks.task import UNSCORED, Example

JOINED = UNSPACED + "\u1100-\u11ff\uac00-\ud7a3"  # scripts whose words another follows without a space; Hangul


class Samples(NamedTuple):
    """Makes lines into examples."""

    tokenizer: Tokenizer
    sample_tokens: int
    end: int | None
    """The id scored behind each completion, if any."""
    encoder: ConditionEncoder

    def examples(self, rows: Sequence[Row]) -> list[Example]:
        """One a line; raises InputError for a line without a scored token, and for the longest with too many."""
        made = [self._example(row) for row in rows]
        longest = max((len(example.input_ids) for example in made), default=0)
        if longest > self.sample_tokens:
            row = next(row for row, example in zip(rows, made, strict=True) if len(example.input_ids) == longest)
            wrong = f"prompt and completion are {longest} tokens of this model, but a sample has {self.sample_tokens}"
            advice = f"shorten them, or give --sample-tokens {longest}, if the model has so many positions"
            raise row.error(f"{wrong}; {advice}")
        return made

    def seam(self, row: Row) -> "Seam":
        """Where the model is to go on from."""
        return Seam(*encode(self.tokenizer, row.prompt + row.completion).before(len(row.prompt)))

    def written(self, row: Row, wanted: str) -> str:
        """What comes back of the tokens of what is wanted: some tokenizers fold case, white space or characters."""
        ids, front = encode(self.tokenizer, row.prompt + row.completion).ids, len(self.seam(row).ids)
        return wanted if self._is_unknown(ids[front:]) else text_behind(self.tokenizer, ids, front)

    def folded(self, answers: Iterable[str]) -> dict[str, str]:
        """Of each different answer what comes back of its tokens."""
        different = list(dict.fromkeys(answers))
        tokens = encode_all(self.tokenizer, different, special=False)
        return {
            answer: answer if self._is_unknown(one.ids) else text_behind(self.tokenizer, one.ids, 0).strip()
            for answer, one in zip(different, tokens, strict=True)
        }

    def _is_unknown(self, ids: Sequence[int]) -> bool:
        """Does a token stand for whatever the tokenizer does not know? What is written of it says nothing."""
        unknown: int | None = getattr(self.tokenizer, "unk_token_id", None)
        return unknown is not None and unknown != self.end and unknown in ids

    def tell_seams(self, rows: Sequence[Row]) -> None:
        """Say of how many lines a token holds the end of the prompt and the beginning of the completion."""
        if joined := [row for row in rows if self.seam(row).end < len(row.prompt)]:
            say(
                f"in {len(joined)} of {len(rows)} test lines a token of this model holds the end of the prompt and the "
                f"beginning of the completion, first in {joined[0].where}: all of it is completion"
            )

    def _example(self, row: Row) -> Example:
        text, border = row.prompt + row.completion, len(row.prompt)
        tokens = encode(self.tokenizer, text)
        asked, ids = tokens.hold(border, len(text)), tokens.ids
        labels = [token if keep else UNSCORED for token, keep in zip(ids, asked, strict=True)]
        if not any(asked[1:] if not row.prompt else asked):  # a text's first token follows nothing, and is not scored
            wrong = f"the completion is {row.completion!r}, of which this model scores no token"
            if any(asked):
                wrong = f"{wrong}: the prompt is empty, so nothing precedes its first; give a prompt, or"
            raise row.error(f"{wrong}{'' if any(asked) else '; give'} a longer one")
        if asked[0] and row.prompt:
            wrong = f"the completion {row.completion!r} begins in the first token of the text, which nothing precedes"
            raise row.error(f"{wrong}; give a prompt that is a token of this model by itself")
        if self.end is not None:
            ids, labels = [*ids, self.end], [*labels, self.end]
        return Example(
            input_ids=ids,
            labels=labels,
            conditions=conditions_of(row, self.encoder),
            insert_at=tokens.start,
            units=1,
            cluster=row.identity,
        )


class Seam(NamedTuple):
    """The tokens in front of a completion's own, as the whole line is read, and the prompt's characters in them."""

    ids: list[int]
    end: int


class Reply(NamedTuple):
    """What was written, what should have been, and that as the model's tokenizer is able to write it."""

    text: str
    wanted: str
    writable: str

    def fits(self, is_right: Callable[[str, str], bool]) -> bool:
        """One that is empty is no answer."""
        return is_right(self.text, self.wanted) or (bool(self.writable.strip()) and is_right(self.text, self.writable))


def is_exact(reply: str, completion: str) -> bool:
    """The whole reply is the completion; white space around both does not count, inside it does."""
    return reply.strip() == completion.strip()


def is_prefix(reply: str, completion: str) -> bool:
    """The reply begins with the completion; white space around the completion and before the reply does not count."""
    return reply.lstrip().startswith(completion.strip())


def is_whole_prefix(reply: str, completion: str) -> bool:
    """And the last word or number of the completion ends there: `12` and `1.5` are not 1, `Nothing` is not No."""
    if not is_prefix(reply, completion):
        return False
    reply, completion = reply.lstrip(), completion.strip()
    last, behind = completion[-1:], reply[len(completion) :]
    if last.isdigit():
        return not re.match(r"[.,:/-]?\d", behind)
    if not (last.isalpha() or _is_mark(last)):
        return True
    if _is_mark(behind[:1]):
        return False  # it belongs to the letter before it: `रामा` is not राम
    return not re.match(rf"[^\W_{JOINED}]", behind) or bool(re.match(f"[{JOINED}]", last))


def _is_mark(character: str) -> bool:
    """A vowel sign, an accent: what a letter wears."""
    return bool(character) and unicodedata.category(character).startswith("M")
