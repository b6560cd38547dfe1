"""Can a prompt make a model say one thing again and again, whatever the text says?

A sample is a window of a document with the prompt at a random place of it. Behind the prompt the text goes on as it
was, but what is asked for is the string, from its first token on: the model has to count blind. Source: arXiv
2505.14943, repetition; departures: padding is never asked for, and what the model writes by itself is scored too.

A string of n different tokens costs about ln n nats a token as long as the prompt says only which tokens they are,
and 0 once it says their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.models.tokenizer import Tokenizer, encode, text_end
from soft_prompts.results.schema import Generation, Metric
from soft_prompts.stats import paired
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import UNSCORED, Complete, DataRequest, Example, Measures, Query, Task
from soft_prompts.tasks.texts.windows import TextData, Window, first_scored, open_text, text_fingerprint

NAMED = {"1-token": 1, "5-token": 5, "9-token": 9}  # real words, chosen for the model's tokenizer
# Common words, in an order that makes no sense, so that no model goes on from one to the next by itself.
WORDS = (
    *("name", "value", "file", "for", "return", "list", "time", "string", "error", "call", "type", "order", "number"),
    *("default", "test", "work", "object", "class", "line", "with", "text", "set", "data", "that", "index", "base"),
    *("key", "from", "path", "code", "read", "start", "not", "end", "module", "size", "when", "write", "new", "state"),
)
LETTERS = "abcdefgh"
CONTINUED = 64  # of 1,000 test items: those whose prompt is left to write by itself
NEW_TOKENS = 48
SHOWN = 6


@dataclass(frozen=True)
class RepetitionTask(Task):
    """The repetition experiment's own flags."""

    string: tuple[str, ...] = tuple(NAMED)
    """What to say again and again, one run each. 1-token, 5-token and 9-token are real words that are so many tokens of
    the model."""

    name: ClassVar[str] = "repetition"
    headline: ClassVar[str] = "test_loss"
    unit: ClassVar[str] = "token"
    outcome: ClassVar[str | None] = "repeated_share"
    position = "random"

    def __post_init__(self) -> None:
        if not self.string or "" in self.string:
            raise UsageError("string is empty; give at least one text after --string, of one character or more")

    @property
    def variant(self) -> str:
        return " | ".join(self.string)

    def each(self) -> "tuple[RepetitionTask, ...]":
        return tuple(replace(self, string=(string,)) for string in dict.fromkeys(self.string))

    def fingerprint(self, request: DataRequest) -> str:
        return text_fingerprint(request)

    def open(self, request: DataRequest, tokenizer: Tokenizer) -> "RepetitionData":
        """Read the held-out documents; raises UsageError or InputError for a string that this tokenizer cannot say."""
        if len(self.string) > 1:
            raise UsageError(f"string is {', '.join(self.string)}; one run has one: give a single text")
        string = wanted_string(tokenizer, next(iter(self.string)))
        ids = string_ids(tokenizer, string)
        if len(ids) >= request.sample_tokens - 2:
            raise UsageError(
                f"string is {len(ids)} tokens of this model, but a sample has {request.sample_tokens}; "
                "give a shorter --string, or more --sample-tokens"
            )
        label = partial(_example, self, request.score_first, tuple(ids))
        said = said_string(tokenizer, ids) or string
        score = partial(_measures, tokenizer, said, request.written_for(CONTINUED))
        data = open_text(self, request, tokenizer, label, score)
        opened = (data.request, data.corpus, data.cutter, data.label, data.score, data.chosen)
        return RepetitionData(*opened, string=ids)


@dataclass
class RepetitionData(TextData):
    """Windows whose labels are all known before the text is."""

    string: Sequence[int] = ()

    def exact_test_nats(self) -> NDArray[np.float64]:
        """Nothing: whoever knows the string and where it begins knows every label."""
        return np.zeros(len(self.held_out("test")))

    def is_determined(self) -> bool:
        return True

    def shots(self, count: int) -> list[int]:
        """The string so many times, up to where the labels begin with it again."""
        return list(self.string) * count


def wanted_string(tokenizer: Tokenizer, asked: str) -> str:
    """`asked` itself, or for one of `NAMED` words that are so many tokens, different ones if there are such; raises
    InputError where there are none. A model whose tokens are no words may get one letter as its 1-token string."""
    if asked not in NAMED:
        return asked
    wanted, second_best = NAMED[asked], ""
    for size in range(wanted, 0, -1):
        for start in range(len(WORDS) - size + 1):
            string = "".join(f" {word}" for word in WORDS[start : start + size])
            ids = string_ids(tokenizer, string)
            if len(ids) == len(set(ids)) == wanted:
                return string
            second_best = second_best or (string if len(ids) == wanted else "")
    if wanted == 1:
        second_best = next((letter for letter in LETTERS if len(string_ids(tokenizer, letter)) == 1), "")
    if second_best:
        return second_best
    raise InputError(f"no words that are {wanted} tokens of this model are known here; give a text with --string")


def string_ids(tokenizer: Tokenizer, string: str) -> list[int]:
    """Token ids of the string alone; raises UsageError where there are none."""
    ids = encode(tokenizer, string, special=False).ids
    if not ids:
        raise UsageError(f"string is {string!r}, which is no token of this model; give another --string")
    return ids


def said_string(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """What a second copy of the ids adds to the first: the string as the tokenizer reads it, which some fold, or begin
    with a space."""
    once, twice = (_text(tokenizer, list(ids) * times) for times in (1, 2))
    return twice[len(once) :]


def _text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _example(task: RepetitionTask, score_first: bool, string: Sequence[int], window: Window) -> Example:
    first = first_scored(task, window, score_first)
    labels = repeated_labels(len(window.input_ids), string, window.insert_at, first)
    units = sum(label != UNSCORED for label in labels)
    return Example(window.input_ids, labels, insert_at=window.insert_at, units=units, cluster=window.document)


def repeated_labels(length: int, string: Sequence[int], insert_at: int, first: int) -> list[int]:
    """The string's ids again and again from position `insert_at`, the string's first id there; scored from `first`."""
    return [UNSCORED if place < first else string[(place - insert_at) % len(string)] for place in range(length)]


def _measures(
    tokenizer: Tokenizer, string: str, most: int, examples: Sequence[Example], items: Items, complete: Complete
) -> Measures:
    """What the model writes behind text and prompt, with nothing to correct it."""
    some_text = [place for place, example in enumerate(examples) if example.insert_at > 0]  # there to go on from
    places = spread_over(some_text, most)
    chosen = [examples[place] for place in places]
    texts = [_text(tokenizer, e.input_ids[: e.insert_at]) for e in chosen]
    queries = [Query(text, e.conditions, text_end(tokenizer, text)) for text, e in zip(texts, chosen, strict=True)]
    written = complete(queries, NEW_TOKENS)
    shares = np.array([share_in_copies(text, string) for text in written])
    cluster = np.array([example.cluster for example in chosen], dtype=np.int64)
    estimate = paired.ratio(shares, np.ones(len(shares), dtype=np.int64), cluster)
    found = Metric(None, reason="no test item", unit="share of characters")
    if estimate is not None:
        found = Metric(estimate.value, estimate.stderr, estimate.clusters, "share of characters")
    shown = [
        Generation(prompt=query.text, condition=None, text=text, reference=string * 3)
        for query, text in zip(queries[:SHOWN], written, strict=False)
    ]
    outcome = np.full(len(examples), np.nan)
    outcome[places] = shares
    return Measures({"repeated_share": found}, shown, outcome)


def spread_over(places: Sequence[int], most: int) -> list[int]:
    """At most so many of the places, evenly: test items stand in the order of their documents, and an interval over few
    documents says nothing."""
    if len(places) <= most:
        return list(places)
    return [places[at * len(places) // most] for at in range(most)]


def share_in_copies(text: str, string: str) -> float:
    """Share of the text's characters that lie inside exact, non-overlapping copies of the string; 0 for no text.

    A copy that the end of the text cuts off counts as far as it goes.
    """
    inside = place = after_copy = 0
    while place < len(text):
        if text.startswith(string, place):
            inside, place = inside + len(string), place + len(string)
            after_copy = place
        elif inside and place == after_copy and string.startswith(text[place:]):
            return (inside + len(text) - place) / len(text)
        else:
            place += 1
    return inside / len(text) if text else 0.0
