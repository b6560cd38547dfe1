"""How do documents become samples? Whatever a task asks on ordinary text, it asks on these windows.

A document is cut into windows of at most `sample_tokens` tokens, one behind the other, each with the special tokens
that the tokenizer puts in front of a text. The task gives every window its labels. Held-out windows are the same for
every prompt size and seed; in training every epoch after the first cuts at other places.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

import numpy as np

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError
from soft_prompts.data.ranked import growing
from soft_prompts.data.split import HELD_OUT, wording_of
from soft_prompts.data.texts.corpus import Corpus, open_corpus
from soft_prompts.data.texts.documents import Document
from soft_prompts.data.texts.held_out import Buffer, buffers, candidates
from soft_prompts.data.texts.shared import say_what_is_shared
from soft_prompts.models.tokenizer import Tokenizer, encode, need_spans
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import (
    UNSCORED,
    Complete,
    DataRequest,
    Example,
    HeldOut,
    Measures,
    Position,
    Task,
    TaskData,
)

BLOCK = 512  # windows shuffled among themselves, at least
A_DOCUMENT = 4  # held-out windows of one document, where there are documents enough
END_ROOM = 4  # a random place is at least so many tokens before the end of the text
LEAST_SCORED = 2  # labels of a sample


class Window(NamedTuple):
    """A piece of a document, before a task labels it."""

    input_ids: list[int]
    """At most sample_tokens; special tokens first, then text."""
    n_bytes: list[int]
    """UTF-8 bytes of the text that each token stands for, 0 for special tokens."""
    document: int
    """Identity of the document: Example.cluster."""
    insert_at: int
    """Where the prompt goes: in front of the text, or at a random place of it."""
    text_start: int = 0
    """Position of the first token of the text."""


Label = Callable[[Window], Example]
Score = Callable[[Sequence[Example], Items, Complete], Measures]


def nothing(examples: Sequence[Example], items: Items, complete: Complete) -> Measures:
    """No scores beside the loss."""
    return Measures({}, [])


def first_scored(task: Task, window: Window, score_first: bool) -> int:
    """Position of the first label that may count, for every prompt size alike: none before a random place, none that
    only a prompt precedes."""
    first = 0 if score_first else 1
    return max(first, window.insert_at + first if task.position == "random" else window.text_start)


def next_token_labels(task: Task, window: Window, score_first: bool) -> list[int]:
    """Every token that may count is to be predicted."""
    first = min(first_scored(task, window, score_first), len(window.input_ids))
    return [UNSCORED] * first + window.input_ids[first:]


@dataclass(frozen=True)
class Cutter:
    """Cuts documents into windows for one tokenizer."""

    tokenizer: Tokenizer
    sample_tokens: int
    random_place: bool
    seed: int = 0

    def __post_init__(self) -> None:
        need_spans(self.tokenizer)

    @property
    def special(self) -> list[int]:
        """The ids that stand in front of a text."""
        tokens = encode(self.tokenizer, "a")
        return tokens.ids[: tokens.start]

    def windows(self, document: Document, epoch: int = 0) -> list[Window]:
        """All of the document's tokens, each in one window; in the first epoch only the last one is short."""
        before = self.special
        room = max(1, self.sample_tokens - len(before))
        ids, n_bytes = self._tokens(document.text)
        draw = np.random.default_rng((self.seed, epoch, document.identity))
        first = int(draw.integers(1, room + 1)) if epoch else room
        cuts = sorted({0, *range(first, len(ids), room), len(ids)})  # an empty text has no window
        return [
            Window(
                input_ids=before + ids[start:end],
                n_bytes=[0] * len(before) + n_bytes[start:end],
                document=document.identity,
                insert_at=len(before) + self._place(draw, end - start),
                text_start=len(before),
            )
            for start, end in itertools.pairwise(cuts)
        ]

    def _place(self, draw: np.random.Generator, length: int) -> int:
        return int(draw.integers(0, length - END_ROOM)) if self.random_place and length > END_ROOM else 0

    def _tokens(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of the whole text and the bytes of each; a character of several tokens counts for the first of them."""
        ids, spans, _ = encode(self.tokenizer, text, special=False)
        if not ids:
            return [], []
        ends = np.array([end for _, end in spans], dtype=np.int64)
        ends[-1] = len(text)
        code = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        width = 1 + (code > 0x7F).astype(np.int64) + (code > 0x7FF) + (code > 0xFFFF)  # bytes of a character in UTF-8
        passed = np.concatenate([[0], np.cumsum(width)])[np.maximum.accumulate(ends)]
        return ids, np.diff(passed, prepend=0).tolist()


@dataclass(frozen=True)
class Place:
    """Position of a training stream: documents are shuffled in buffers, their windows in blocks of whole documents."""

    epoch: int = 0
    buffer: int = 0
    """Buffers of the epoch before this one."""
    source: Position | None = None
    """Where the buffer begins in the source; None: at its start."""
    document: int = 0
    """Documents of the shuffled buffer before the block."""
    offset: int = 0
    """Windows of the block that are used up."""
    faults: dict[str, int] = field(default_factory=dict)
    """Records left out before the buffer in the first epoch, by reason."""
    faults_with_buffer: dict[str, int] = field(default_factory=dict)


class Chosen(NamedTuple):
    """What is held out."""

    examples: dict[HeldOut, list[Example]]
    wordings: frozenset[int]
    """Of the documents, which train in no other white space or case either."""
    faults: dict[str, int]


@dataclass
class TextData(TaskData):
    """A task's documents, opened for one tokenizer."""

    request: DataRequest
    corpus: Corpus
    cutter: Cutter
    label: Label
    score: Score
    chosen: Chosen

    def __post_init__(self) -> None:
        self.name = self.request.name
        self.train, self.test = str(self.request.data), str(self.request.test_data or self.request.data)
        self.fingerprint = self.corpus.fingerprint()

    def held_out(self, split: HeldOut) -> list[Example]:
        return list(self.chosen.examples[split])

    def training(self, position: Position | None) -> Iterator[tuple[Example, Position]]:
        """Every document once an epoch, in an order of its own each time, again and again."""
        at = Place(**(position or {}))
        while True:
            found = False
            for buffer in buffers(self.corpus.train, at.source, self.request.max_bad):
                if at.epoch == 0:  # later epochs meet the same records again
                    at = replace(at, faults_with_buffer=dict(Counter(at.faults) + buffer.faults))
                for block, behind in self._blocks(buffer, at):
                    seed = (self.request.seed, at.epoch, at.buffer, at.document)
                    order = np.random.default_rng(seed).permutation(len(block))
                    for offset in range(at.offset, len(order)):
                        found = True
                        yield block[order[offset]], asdict(replace(at, offset=offset + 1))
                    at = replace(at, document=behind, offset=0)
                at = Place(at.epoch, at.buffer + 1, buffer.behind, 0, 0, at.faults_with_buffer, at.faults_with_buffer)
            if not found and position is None:
                raise InputError(f"{self.train} holds no text to train on beside what is held out; give more of it")
            at, position = Place(at.epoch + 1, 0, None, 0, 0, at.faults_with_buffer, at.faults_with_buffer), None

    def measures(self, examples: Sequence[Example], items: Items, complete: Complete) -> Measures:
        return self.score(examples, items, complete)

    def rejected(self, position: Position | None) -> dict[str, int]:
        in_training = (position or {}).get("faults_with_buffer", {})
        if in_training and self.corpus.test is None:
            return dict(in_training)  # one source, read from its start both times
        return dict(Counter(self.chosen.faults) + Counter(in_training))

    def _blocks(self, buffer: Buffer, at: Place) -> Iterator[tuple[list[Example], int]]:
        """Examples of whole documents, from a place of the buffer on, until there are enough for a block; and how many
        documents of the buffer it ends behind."""
        order = buffer.order((self.request.seed, at.epoch, at.buffer))
        examples: list[Example] = []
        for number in range(at.document, len(order)):
            document = buffer.documents[order[number]]
            trains = self.corpus.split_of(document, in_training=True) == "train"
            if trains and wording_of(document.text) not in self.chosen.wordings:
                examples += _usable(self.cutter.windows(document, at.epoch), self.label)
            if len(examples) >= BLOCK:
                yield examples, number + 1
                examples = []
        if examples:
            yield examples, len(order)


def open_text(task: Task, request: DataRequest, tokenizer: Tokenizer, label: Label, score: Score = nothing) -> TextData:
    """A text task's data; `label` turns a window into an example. Both callables have to be picklable.

    Raises InputError where a source is missing or unusable, or has nothing to hold out.
    """
    corpus = open_corpus(request.data, request.test_data)
    cutter = Cutter(tokenizer, request.sample_tokens, task.position == "random")
    chosen = _hold_out(corpus, request, cutter, label)
    return TextData(request, corpus, replace(cutter, seed=request.seed), label, score, chosen)


def text_fingerprint(request: DataRequest) -> str:
    """Content identity of a text task's data, found without a tokenizer."""
    return open_corpus(request.data, request.test_data).fingerprint()


def _usable(windows: Sequence[Window], label: Label) -> list[Example]:
    """Examples that ask for something: at least two labels, the first of the text not counted."""
    examples = [label(window) for window in windows]
    return [e for e in examples if sum(label != UNSCORED for label in e.labels[1:]) >= LEAST_SCORED]


def _hold_out(corpus: Corpus, request: DataRequest, cutter: Cutter, label: Label) -> Chosen:
    """Of each set the documents of the lowest hashes that are of use, and a few windows of each; else all there are."""
    wanted: dict[HeldOut, int] = {"validation": request.validation_samples, "test": request.test_samples}
    for more in growing():
        pool = candidates(corpus, {name: size + more for name, size in wanted.items()}, request.max_bad)
        found: dict[HeldOut, dict[int, list[Example]]] = {
            name: _enough(pool.documents[name], wanted[name], cutter, label) for name in HELD_OUT
        }
        if pool.are_all or all(_count(found[name]) >= size for name, size in wanted.items()):
            kept = {name: [one for one in pool.documents[name] if one.identity in found[name]] for name in HELD_OUT}
            say_what_is_shared(corpus, request.data, kept["test"], request.max_bad)
            wordings = frozenset(wording_of(one.text) for name in HELD_OUT for one in kept[name])
            return Chosen(_examples_of(request, found), wordings, pool.faults)
    raise AssertionError("a source has an end")


def _examples_of(
    request: DataRequest, found: Mapping[HeldOut, dict[int, list[Example]]]
) -> dict[HeldOut, list[Example]]:
    where = request.test_data or request.data
    if empty := [name for name in HELD_OUT if not found[name]]:
        lacks = f"{where} holds no {empty[0]} document of use; give more (a lone .txt is pieces of 2,000 characters"
        raise InputError(f"{lacks} or more), or --test-data")
    held_out: dict[HeldOut, list[Example]] = {}
    sizes = (request.validation_samples, request.test_samples)
    for name, wanted in zip(HELD_OUT, sizes, strict=True):
        held_out[name] = _spread(list(found[name].items()), wanted)
        if len(held_out[name]) < wanted:
            say(f"{where} has {len(held_out[name])} {name} samples; {wanted} were asked for")
    return held_out


def _enough(documents: Sequence[Document], wanted: int, cutter: Cutter, label: Label) -> dict[int, list[Example]]:
    """Examples of the first documents that have any, until there are enough."""
    found: dict[int, list[Example]] = {}
    for document in documents:
        if _count(found) >= wanted:
            break
        if examples := _usable(cutter.windows(document), label):
            found[document.identity] = examples
    return found


def _count(found: Mapping[int, Sequence[Example]]) -> int:
    return sum(min(len(examples), A_DOCUMENT) for examples in found.values())


def _spread(documents: Sequence[tuple[int, list[Example]]], count: int) -> list[Example]:
    """`count` of all examples, as evenly over documents as they allow, in the order of the documents."""
    orders = [np.random.default_rng(identity).permutation(len(examples)) for identity, examples in documents]
    ranks = sorted((rank, number) for number, order in enumerate(orders) for rank in range(len(order)))[:count]
    chosen = sorted((number, int(orders[number][rank])) for rank, number in ranks)
    return [documents[number][1][place] for number, place in chosen]
