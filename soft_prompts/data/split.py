"""Which part of the data does an item belong to? Decided by its hash alone: every source, order and resume agrees."""

from typing import Literal

Split = Literal["train", "validation", "test"]
HeldOut = Literal["validation", "test"]
HELD_OUT: tuple[HeldOut, HeldOut] = ("validation", "test")


def split_of(item_hash: int) -> Split:
    """80 % train, 10 % validation, 10 % test: by the remainder of a well-mixed hash."""
    tenth = item_hash % 10
    if tenth < 8:
        return "train"
    return "validation" if tenth == 8 else "test"
