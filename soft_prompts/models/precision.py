"""In which precision does a frozen model run? As asked, or in the one whose matrix products this machine makes faster.

Some CPUs have units for bfloat16 and are twice as fast in it; on others it is many times slower. No list of them would
hold, so a probe of a fraction of a second decides.
"""

import time
from functools import cache

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FASTEST = "fastest"
SIDE = 512  # of the square matrices
TRIALS = 8


def dtype_name(asked: str, device: torch.device) -> str:
    """The precision in use: auto is bfloat16 on a GPU, else float32; fastest asks the machine."""
    if asked == FASTEST and device.type == "cpu":
        return faster_on_cpu()
    return ("bfloat16" if device.type == "cuda" else "float32") if asked in ("auto", FASTEST) else asked


@cache
def faster_on_cpu() -> str:
    """The precision of the faster matrix product."""
    return min(DTYPES, key=lambda name: _seconds(DTYPES[name]))


def _seconds(dtype: torch.dtype) -> float:
    """The best of a few products: others may use the machine too."""
    left, right = (torch.ones(SIDE, SIDE, dtype=dtype) for _ in range(2))
    torch.mm(left, right)  # the first one sets things up
    found = list[float]()
    for _ in range(TRIALS):
        began = time.perf_counter()
        torch.mm(left, right)
        found.append(time.perf_counter() - began)
    return min(found)
