"""Which sources has this process read already? Each is read once, as long as its files stay as they are.

A run asks for its data several times, and a grid runs one after another in one process. What was made of a source is
kept under the names, sizes and times of its files and the settings that it was made with.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import fingerprint_files

MOST = 12  # things kept; each is of bounded size (HELD_BYTES of text, or the rows of a file that fits into memory)
TICK_NS = 50 * 10**6  # a file may change again within one tick of its clock, unnoticed: 10 ms on the usual systems
Made = TypeVar("Made")


class Kept:
    """The last things made, each under a key; the one that was asked for longest ago goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, files: Iterable[Path], make: Callable[[], Made]) -> Made:
        """What `make` gives, made once for a key as long as the files stay the same; an error is never kept."""
        now = time.time_ns()  # before the stamps: what changes while it is read is not kept
        stamps = tuple(map(_stamp, files))
        whole = (key, stamps)
        if whole in self._made:
            self._made.move_to_end(whole)
            return self._made[whole]
        made = make()
        if all(stamp[-1] < now - TICK_NS for stamp in stamps):
            self._made[whole] = made
            while len(self._made) > self._most:
                self._made.popitem(last=False)
        return made


KEPT = Kept(MOST)  # of this process: what is in it changes no result, only the time that one takes


def content_of(files: Iterable[Path], whole: bool = False) -> str:
    """What the contents of the files are known by, of large ones a part or the whole; raises InputError where one
    cannot be read."""
    named = tuple(files)
    try:
        return KEPT.get(("fingerprint", whole), named, lambda: fingerprint_files(named, whole))
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read ({error.strerror}); check it and its permissions") from None


def _stamp(file: Path) -> tuple[str, int, int, int, int]:
    """Name, place, size and times, the latest last."""
    try:
        found = file.stat()
    except (OSError, ValueError):  # reading it says what is wrong
        return (str(file), 0, 0, 0, 0)
    latest = max(found.st_mtime_ns, found.st_ctime_ns)
    return (str(file.absolute()), found.st_ino, found.st_size, found.st_mtime_ns, latest)
