"""Which machine is this, how fast does it multiply matrices, and how much memory has a process needed?"""

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from soft_prompts.common.machine import cores

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
UNITS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16", "i8mm")  # of a CPU, for float32 and bf16
PACKAGES = ("torch", "transformers", "peft")
SIDE = {"cpu": 1024, "cuda": 8192}  # of the square matrices: large enough for the full rate
TRIALS = 10


def describe(device: str, threads: int) -> dict[str, Any]:
    """What a ratio depends on, for the JSON."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "units": sorted(_flags() & set(UNITS)),
        "cores": cores(),
        "threads": threads,
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        "load_before": round(os.getloadavg()[0], 1),
    }


@cache  # a GPU's contenders share a process
def matrix_rate(dtype: str, device: str) -> float:
    """Multiplications and additions a second of a square product, the best of a few: what a step could reach."""
    side = SIDE[device]
    left, right = (torch.randn(side, side, device=device).to(DTYPES[dtype]) for _ in range(2))  # ones draw less power
    clock = clock_of(device)
    seconds = [_seconds(lambda: left @ right, clock) for _ in range(1 + TRIALS)]  # the first sets things up
    return 2 * side**3 / min(seconds[1:])


def faster_dtypes(device: str) -> tuple[str, ...]:
    """float32, and bfloat16 where its matrix products are faster here."""
    rates = {dtype: matrix_rate(dtype, device) for dtype in DTYPES}
    return tuple(dtype for dtype, rate in rates.items() if dtype == "float32" or rate > rates["float32"])


def clock_of(device: str) -> Callable[[], float]:
    """Seconds of the processor on a CPU, which others may use too; on a GPU those until it has done its work."""
    return _finished if device == "cuda" else time.process_time


def _finished() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def _seconds(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    began = clock()
    work()
    return clock() - began


class Memory:
    """The most that was held since this was made, and what was held then, in MB."""

    def __init__(self, device: str) -> None:
        self.device = device
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated() / 2**20
        else:
            Path("/proc/self/clear_refs").write_text("5")  # the peak is what is held now (proc(5))
            self.before = _status_mb("VmRSS")

    def peak(self) -> float:
        return torch.cuda.max_memory_allocated() / 2**20 if self.device == "cuda" else _status_mb("VmHWM")


def _status_mb(field: str) -> float:
    return int(_field(Path("/proc/self/status").read_text().splitlines(), field).split()[0]) / 1024


def _processor() -> str:
    """Name, family and model: clouds hide the name."""
    if not (lines := _cpu_lines()):
        return platform.processor() or platform.machine()
    family, model = _field(lines, "cpu family"), _field(lines, "model\t")
    return f"{_field(lines, 'model name')}" + (f", family {family} model {model}" if family else "")


def _flags() -> set[str]:
    lines = _cpu_lines()
    return set((_field(lines, "flags") or _field(lines, "Features")).split())


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _field(lines: Iterable[str], name: str) -> str:
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
