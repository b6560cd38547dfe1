"""What is done when memory is short? The same work in smaller batches, down to one sample."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from soft_prompts.common.errors import OutOfRoom
from soft_prompts.engine.rows.recorded import give_up

T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has a class for it; the CPU's allocator raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def in_batches(
    places: Sequence[int], batch_size: int, work: Callable[[Sequence[int]], T], halves: bool = True
) -> Iterator[T]:
    """`work` on batches of the places, in order; where memory is out, half the batch size from there on.

    `work` must change nothing before it returns. Raises OutOfRoom where one sample does not fit; without `halves`,
    where processes have to keep step, what the first batch raises that does not fit.
    """
    start = 0
    while start < len(places):
        some = places[start : start + batch_size]
        try:
            done = work(some)
        except RuntimeError as error:
            if not is_out_of_memory(error) or not halves:
                raise
            if give_up():  # the same again, in the memory that recordings held
                continue
            if len(some) == 1:
                raise OutOfRoom("memory is out with one sample; give shorter samples or fewer --tokens") from error
            batch_size = math.ceil(len(some) / 2)
            continue
        yield done
        start += len(some)
