"""How large does a process grow that holds so much at once? More than that: freed memory has holes.

A heap as glibc keeps it for tensors, which want addresses that are multiples of 64: the smallest hole that fits is
taken, what is left of it stays a hole, holes beside each other become one, and the heap's end is never given back
(`common.machine.keep_freed_memory`). A request has to fit wherever its hole begins, so a hole that was left by a tensor
of one size does not do for the next tensor of that size. (malloc/malloc.c of glibc: _int_memalign, _int_malloc.)
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

ALIGNED = 64  # c10::gAlignment
UNIT = 16  # of sizes and places
HEADER = 8  # bytes of a block that are not its user's
LEAST = 32  # a smaller rest stays with its block


@dataclass
class Heap:
    """Where blocks lie; places are bytes from the heap's beginning."""

    end: int = UNIT
    """The most that was ever in use, for nothing is given back."""
    _sizes: list[tuple[int, int]] = field(default_factory=list)  # of holes: size and place, the smallest first
    _holes: dict[int, int] = field(default_factory=dict)  # place -> size
    _ends: dict[int, int] = field(default_factory=dict)  # end -> place
    _blocks: dict[int, int] = field(default_factory=dict)

    def take(self, size: int) -> int:
        """Place of a new block."""
        own = max(LEAST, _rounded(size + HEADER))
        place, found = self._hole(_rounded(own + ALIGNED + LEAST))
        begin = place + UNIT
        shift = -begin % ALIGNED
        shift += ALIGNED if 0 < shift < LEAST else 0
        if shift:
            self._add(place, shift)
        place, found = place + shift, found - shift
        if found - own >= LEAST:
            self._add(place + own, found - own)
            found = own
        self._blocks[place] = found
        return place

    def give_back(self, place: int) -> None:
        """The block becomes a hole."""
        self._add(place, self._blocks.pop(place))

    def _hole(self, size: int) -> tuple[int, int]:
        """The smallest hole that fits, or new ground behind the end; its rest stays a hole."""
        at = bisect_left(self._sizes, (size, 0))
        if at == len(self._sizes):
            last = self._ends.get(self.end)  # a hole at the end is the beginning of new ground
            place = self.end if last is None else last
            if last is not None:
                self._remove(last)
            self.end = place + size
            return place, size
        found, place = self._sizes[at]
        self._remove(place)
        if found - size >= LEAST:
            self._add(place + size, found - size)
            found = size
        return place, found

    def _add(self, place: int, size: int) -> None:
        """A new hole, one with those beside it."""
        if (behind := self._holes.get(place + size)) is not None:
            self._remove(place + size)
            size += behind
        if (before := self._ends.get(place)) is not None:
            size += self._holes[before]
            self._remove(before)
            place = before
        self._holes[place], self._ends[place + size] = size, place
        insort(self._sizes, (size, place))

    def _remove(self, place: int) -> None:
        size = self._holes.pop(place)
        del self._ends[place + size]
        del self._sizes[bisect_left(self._sizes, (size, place))]


def _rounded(size: int) -> int:
    return -(-size // UNIT) * UNIT
