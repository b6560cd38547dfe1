"""Which texts are the models held against? Documents and prompts from files.

Documents are split by id before anything is looked at.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from soft_prompts.behaviour.comparison.settings import ComparisonSettings
from soft_prompts.common.errors import InputError
from soft_prompts.data.jsonl import line_error, read_jsonl
from soft_prompts.models.tokenizer import Tokenizer, encode, encode_all


class Text(NamedTuple):
    """A document or a prompt."""

    id: str
    text: str


class Texts(NamedTuple):
    """Everything that a comparison reads; `search` and `held_out` share no document."""

    search: tuple[Text, ...]
    held_out: tuple[Text, ...]
    prompts: tuple[Text, ...]

    @property
    def fingerprint(self) -> str:
        """Of all of them, in order."""
        digest = hashlib.sha256()
        for part in self:
            for one in part:
                digest.update(f"{one.id}\0{one.text}\0".encode())
            digest.update(b"\1")
        return digest.hexdigest()[:16]


def read_texts(documents: Path, prompts: Path | None, settings: ComparisonSettings, tokenizer: Tokenizer) -> Texts:
    """Documents by the hash of their id; without a file of prompts, held-out documents' beginnings are the prompts.

    Raises InputError for what `read_documents` and `read_prompts` refuse, or where one part is left empty.
    """
    read = read_documents(documents)[: settings.most_documents]
    search, held_out = halves(read)
    if not search or not held_out:
        raise InputError(f"{documents}: {len(read)} documents are too few to be split; give 20 or more")
    if not any(len(token_ids(tokenizer, one.text, 2)) > 1 for one in held_out):
        raise InputError(f"{documents}: none of {len(held_out)} held-out documents has two tokens; give longer ones")
    asked = read_prompts(prompts) if prompts else beginnings(held_out, settings.prompt_tokens, tokenizer)
    if not asked:
        raise InputError(
            f"{documents}: none of {len(held_out)} held-out documents has more than {settings.prompt_tokens} tokens to "
            "begin a prompt with; give longer ones, --prompts, or fewer --prompt-tokens"
        )
    _refuse_shared(asked if prompts else [], search, prompts)
    return Texts(tuple(search), tuple(held_out), tuple(asked[: settings.most_prompts]))


def read_documents(path: Path) -> list[Text]:
    """Lines of `id` and `text`; raises InputError for an empty or repeated one, with its line."""
    return _read(path, "id", "text")


def read_prompts(path: Path) -> list[Text]:
    """Lines of `prompt`, or of `text`, with an `id` or without."""
    first = read_jsonl(path, {})[0].fields
    return _read(path, "id" if "id" in first else None, "prompt" if "prompt" in first else "text")


def _read(path: Path, key: str | None, field: str) -> list[Text]:
    lines = read_jsonl(path, {field: str} | ({key: str} if key else {}))
    ids, texts, found = dict[str, int](), dict[str, int](), list[Text]()
    for line in lines:
        text = line.fields[field]
        name = line.fields[key] if key else hashlib.sha256(text.encode()).hexdigest()[:12]
        if not text.strip():
            raise line_error(path, line.number, f"the {field} of {name!r} is empty; leave the line out")
        for known, value, what in ((ids, name, "id"), (texts, text, field)):
            if value in known:
                raise line_error(path, line.number, f"{name!r} has the {what} of line {known[value]}; leave one out")
            known[value] = line.number
        found.append(Text(name, text))
    return found


def _refuse_shared(prompts: Sequence[Text], search: Sequence[Text], path: Path | None) -> None:
    """A prompt out of a document that the search looks at would be no test."""
    known = {one.text: one.id for one in search}
    for one in prompts:
        if one.text in known:
            raise InputError(f"{path}: prompt {one.id!r} is document {known[one.text]!r} too; leave one out")


def halves(texts: Sequence[Text], salt: str = "") -> tuple[list[Text], list[Text]]:
    """Two parts of about equal size; where a text goes depends on its id and the salt alone."""
    parts: tuple[list[Text], list[Text]] = ([], [])
    for one in texts:
        parts[hashlib.sha256(f"{salt}{one.id}".encode()).digest()[0] % 2].append(one)
    return parts


def beginnings(texts: Sequence[Text], tokens: int, tokenizer: Tokenizer) -> list[Text]:
    """The first tokens of each text that has more, as text; no beginning twice."""
    read = encode_all(tokenizer, [one.text for one in texts])
    found: dict[str, Text] = {}
    for one, what in zip(texts, read, strict=True):
        if len(what.ids) > tokens:
            end = what.spans[tokens - 1][1] if what.spans else len(tokenizer.decode(what.ids[what.start : tokens]))
            found.setdefault(one.text[:end], Text(one.id, one.text[:end]))
    return [one for one in found.values() if one.text.strip()]


def token_ids(tokenizer: Tokenizer, text: str, most: int) -> list[int]:
    """The text's ids with the tokenizer's special ones in front, at most so many."""
    return encode(tokenizer, text).ids[:most]
