"""What is a document, and when are too many records of a source no documents?

Readers give records one by one, each with the place behind it, so that a run goes on from there without reading what
it has used.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from soft_prompts.common.errors import InputError
from soft_prompts.data.ranked import Bounds
from soft_prompts.data.split import hash_of

LOOKED_AT_LEAST = 200  # records looked into before a share of bad ones means anything
FIELDS = ("text", "raw_content")  # what holds the text of a row; the second is RedPajama-V2's name for it
BUFFER = Bounds(1_000_000, 1 << 26)  # documents of a file shuffled at once: 64 MB of text, read within seconds
Position = dict[str, Any]


class Document(NamedTuple):
    """One text."""

    text: str
    identity: int
    """63 bits; equal for equal texts."""


class Record(NamedTuple):
    """What stands at one place of a source."""

    document: Document | None
    position: Position
    """The place behind it: small, JSON."""
    fault: str = ""
    """Why there is no document, in words that are counted; empty for what is left out on purpose."""
    where: str = ""
    """The place of a fault, for people."""


@runtime_checkable
class Reader(Protocol):
    """A source of documents."""

    @property
    def name(self) -> str:
        """What the user called it."""
        ...

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files that are read, none for a source of another kind."""
        ...

    @property
    def scanned(self) -> Bounds:
        """How far the source is looked at for what is held out."""
        ...

    @property
    def buffer(self) -> Bounds:
        """How much of it is shuffled at once."""
        ...

    def fingerprint(self) -> str:
        """Content identity; raises InputError where there is no such source."""
        ...

    def records(self, position: Position | None) -> Iterator[Record]:
        """One pass in a fixed order, from the start or from such a position; raises InputError."""
        ...


class DocumentStream:
    """One pass over a source's sound documents, each with the position behind it; `faults` counts the others.

    Raises InputError where more records are bad than `max_bad` allows, or nothing at all was usable.
    """

    def __init__(self, reader: Reader, position: Position | None, max_bad: float) -> None:
        self.faults: Counter[str] = Counter()
        self._reader = reader
        self._from_start = position is None
        self._records = reader.records(position)
        self._max_bad = max_bad
        self._kept = 0
        self._first_fault = ""

    def __iter__(self) -> Iterator[tuple[Document, Position]]:
        for record in self._records:
            if record.document is not None:
                self._kept += 1
                yield record.document, record.position
            elif record.fault:
                self.faults[record.fault] += 1
                self._first_fault = self._first_fault or f"{record.where} ({record.fault})"
                self._weigh(chance=3.0)
        if self._from_start:  # a part of a source says nothing about the whole
            self._weigh(chance=0.0)
            if not self._kept:
                raise InputError(f"{self._reader.name} holds no text; give a file or folder with some")

    def close(self) -> None:
        """Nothing more is read."""
        self._records = iter(())

    def _weigh(self, chance: float) -> None:
        """Refuse more bad records than are allowed, and `chance` standard deviations beyond while reading."""
        bad = self.faults.total()
        looked = bad + self._kept
        allowed = self._max_bad * looked
        whole = chance == 0.0
        if bad > allowed + chance * allowed**0.5 and (whole or looked >= LOOKED_AT_LEAST):
            raise InputError(
                f"{self._reader.name}: {bad} of {looked} records are bad, first {self._first_fault}; "
                f"{self._max_bad:.2%} are allowed: mend the data, or raise --max-bad"
            )


def document_of(text: str) -> Document:
    """The text under the hash of its bytes."""
    return Document(text, hash_of(text))
