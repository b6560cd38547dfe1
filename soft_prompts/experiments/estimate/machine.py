"""How fast is this machine? Matrix products, memory and the time of a call, probed in less than a second."""

import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch

from soft_prompts.models.precision import DTYPES

SIDE = {"cpu": 512, "cuda": 8192}  # of the square matrices
STREAMED = {"cpu": 4_000_000, "cuda": 100_000_000}  # numbers that are added to others: more than caches hold
CALLS = 300  # of an addition of a few numbers, with a gradient
TRIALS = 12
OF_PRODUCTS = 0.75  # of the square's rate: what the shapes of models reach, tests/benchmarks/cost_estimate.py
OF_MEMORY = 0.8
AT_LEAST_CALL = 4e-6  # seconds


class Machine(NamedTuple):
    """What a device does in a second, and how long it takes to be asked."""

    device: str
    dtype: str
    products: float
    """Multiplications and additions a second of a large matrix product."""
    moved: float
    """Bytes a second, read and written."""
    call: float
    """Seconds of an operation on next to nothing."""

    def seconds(self, products: float, moved: float) -> float:
        """Of one operation."""
        return self.call + max(products / (OF_PRODUCTS * self.products), moved / (OF_MEMORY * self.moved))


@cache
def probe(device: str, dtype: str, threads: int) -> Machine:
    """Find out with so many threads; the best of a few trials, for others may use the machine too."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _probed(device, dtype)
    finally:
        torch.set_num_threads(before)


def _probed(device: str, dtype: str) -> Machine:
    side, kind = SIDE[device], DTYPES[dtype]
    left, right = (torch.ones(side, side, dtype=kind, device=device) for _ in range(2))
    long, few = torch.ones(STREAMED[device], device=device), torch.ones(8, device=device)
    product = _seconds(device, lambda: left @ right)
    streamed = _seconds(device, lambda: long + 1.0)
    called = _seconds(device, lambda: [few + 1.0 for _ in range(CALLS)]) / CALLS
    moved = 2 * long.numel() * long.element_size()
    return Machine(device, dtype, 2 * side**3 / product, moved / streamed, max(AT_LEAST_CALL, called))


def _seconds(device: str, work: Callable[[], object]) -> float:
    """The best of a few, after a first one that sets things up."""
    found = list[float]()
    for _ in range(1 + TRIALS):
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return min(found[1:])
