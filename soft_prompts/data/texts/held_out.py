"""Which documents validate and test, and in which order do the others train?

Held out are the documents of the lowest hashes, see `data.ranked`. Training documents are shuffled in buffers: a source
that fits into one is shuffled whole, and so a sorted file trains on all that it holds from the first step on.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from soft_prompts.data.kept import KEPT
from soft_prompts.data.ranked import Bounds, Lowest
from soft_prompts.data.split import HELD_OUT, HeldOut, wording_of
from soft_prompts.data.texts.corpus import Corpus
from soft_prompts.data.texts.documents import Document, DocumentStream, Position, Reader


class Candidates(NamedTuple):
    """Documents that could be held out."""

    documents: dict[HeldOut, list[Document]]
    """In the order of their hashes, none of another's wording."""
    are_all: bool
    """Whether there are no others."""
    faults: dict[str, int]


def candidates(corpus: Corpus, most: Mapping[HeldOut, int], max_bad: float) -> Candidates:
    """So many documents of each set, or all that there are; raises InputError where the source is unusable."""
    reader = corpus.held_out_reader
    key = ("candidates", reader, corpus.test is None, tuple(most.items()), max_bad)
    return KEPT.get(key, reader.sources, lambda: _candidates(corpus, most, max_bad))


def _candidates(corpus: Corpus, most: Mapping[HeldOut, int], max_bad: float) -> Candidates:
    lowest: dict[HeldOut, Lowest[Document]] = {name: Lowest(most[name]) for name in HELD_OUT}
    stream = DocumentStream(corpus.held_out_reader, None, max_bad)
    for document in _within(stream, corpus.held_out_reader.scanned):
        split = corpus.split_of(document, in_training=False)
        if split != "train" and lowest[split].takes(document.identity):
            lowest[split].add(document.identity, document)
    documents: dict[HeldOut, list[Document]] = {name: [] for name in HELD_OUT}
    seen = set[int]()
    for name in reversed(HELD_OUT):  # what tests does not validate too
        for _, document in lowest[name].in_order():
            if (wording := wording_of(document.text)) not in seen:
                seen.add(wording)
                documents[name].append(document)
    return Candidates(documents, not any(one.passed for one in lowest.values()), dict(stream.faults))


def _within(stream: DocumentStream, bounds: Bounds) -> Iterator[Document]:
    size = 0
    for number, (document, _) in enumerate(stream, start=1):
        yield document
        size += len(document.text)
        if number >= bounds.records or size >= bounds.text_bytes:
            return


@dataclass(frozen=True)
class Buffer:
    """Documents that are shuffled among themselves."""

    documents: tuple[Document, ...]
    behind: Position | None
    """Where the next one begins in the source; None behind the last."""
    faults: Counter[str]
    """Records left out on the way through it, by reason."""

    def order(self, seed: tuple[int, int, int]) -> list[int]:
        """Places of the documents in an order that (seed, epoch, number of the buffer) alone decide."""
        return np.random.default_rng(seed).permutation(len(self.documents)).tolist()


def buffers(reader: Reader, start: Position | None, max_bad: float) -> Iterator[Buffer]:
    """The documents of a source from a place on that begins a buffer; the first buffer of files is kept."""
    if start is None and reader.sources:
        key = ("buffer", reader, max_bad)
        first = KEPT.get(key, reader.sources, lambda: next(_read_buffers(reader, None, max_bad)))
        yield first
        if (start := first.behind) is None:
            return
    yield from _read_buffers(reader, start, max_bad)


def _read_buffers(reader: Reader, start: Position | None, max_bad: float) -> Iterator[Buffer]:
    stream = DocumentStream(reader, start, max_bad)
    documents, size, behind = list[Document](), 0, start
    counted, faults = Counter[str](), Counter[str]()  # before the buffer, and before the end of its last document
    for document, after in stream:
        full = len(documents) >= reader.buffer.records or size + len(document.text) > reader.buffer.text_bytes
        if full and documents:
            yield Buffer(tuple(documents), behind, faults - counted)
            documents, size, counted = [], 0, faults
        documents.append(document)
        size += len(document.text)
        behind = after
        faults = faults if faults == stream.faults else Counter(stream.faults)
    yield Buffer(tuple(documents), None, Counter(stream.faults) - counted)
