"""Which part of the data does an item belong to? Decided by its hash alone: every source, order and resume agrees."""

from hashlib import blake2b
from typing import Literal
from unicodedata import normalize

Split = Literal["train", "validation", "test"]
HeldOut = Literal["validation", "test"]
HELD_OUT: tuple[HeldOut, HeldOut] = ("validation", "test")


def split_of(item_hash: int) -> Split:
    """80 % train, 10 % validation, 10 % test: by the remainder of a well-mixed hash."""
    tenth = item_hash % 10
    if tenth < 8:
        return "train"
    return "validation" if tenth == 8 else "test"


def hash_of(text: str) -> int:
    """63 bits; equal for equal texts."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1


def wording_of(text: str) -> int:
    """63 bits; equal for texts that differ in white space, case or the Unicode form of their characters alone."""
    return hash_of(worded(text))


def worded(text: str) -> str:
    """The text in small letters with single spaces, in NFC: equal for equal wording."""
    return normalize("NFC", " ".join(text.split()).casefold())
