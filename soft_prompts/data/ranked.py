"""Which items of a source are held out? Those whose hashes are lowest, over the whole source or a stated part of it.

A file may be sorted by what its items are about: its first items would say little of the rest. Hashes know nothing of
an order, so that the same items are held out however the records are arranged. Of a very large source a first part is
looked at, whose bounds stand beside the reader.
"""

import heapq
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

RULE = "by-rank"  # part of the identity of data whose items it chooses: results of another rule are not continued
SPARE = 64  # items kept at first beyond those asked for: some turn out to be of no use
Item = TypeVar("Item")


class Bounds(NamedTuple):
    """How far a source is looked at."""

    records: int
    text_bytes: int


WHOLE = Bounds(1_000_000, 10**9)  # of files: every source of usual size whole


class Lowest(Generic[Item]):
    """The `most` different items of the lowest hashes, of any number that are shown."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[int, int]] = []  # (-hash, when it came)
        self._items: dict[int, Item] = {}
        self.passed = 0
        """Different items that were shown and are not among them, or were once."""

    def takes(self, item_hash: int) -> bool:
        """Whether an item of this hash would be kept."""
        if item_hash in self._items:
            return False
        if len(self._items) < self._most:
            return True
        self.passed += 1
        return item_hash < -self._heap[0][0]

    def add(self, item_hash: int, item: Item) -> None:
        """Keep an item that `takes` said yes to."""
        heapq.heappush(self._heap, (-item_hash, len(self._items)))
        self._items[item_hash] = item
        if len(self._items) > self._most:
            del self._items[-heapq.heappop(self._heap)[0]]

    def in_order(self) -> Iterator[tuple[int, Item]]:
        """Hashes and items from the lowest hash on."""
        return iter(sorted(self._items.items(), key=lambda pair: pair[0]))


def growing() -> Iterator[int]:
    """How many items to keep beyond those wanted; if these do not do, twice as many, and again."""
    most = SPARE
    while True:
        yield most
        most *= 2
