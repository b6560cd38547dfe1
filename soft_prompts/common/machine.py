"""How much of this machine may be used? Cores by affinity, threads by OMP_NUM_THREADS where it is set, memory."""

import ctypes
import math
import os
import sys
from pathlib import Path


def cores() -> int:
    """Cores that this process may run on; a container or `taskset` may give fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def threads_for(jobs: int) -> int:
    """Threads of each of so many processes side by side: their share of the cores, or what OMP_NUM_THREADS says."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(asked) if asked.isdecimal() and int(asked) > 0 else max(1, cores() // jobs)


def keep_freed_memory() -> None:
    """Let this process use its memory again and again instead of giving it back after every step.

    glibc hands blocks of 32 MB and more back to the system when they are freed, and the system clears every page of
    the next one, at every step again. Elsewhere nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(-4, 0)  # M_MMAP_MAX: no block is a mapping of its own
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: the heap's end stays


def whole_memory() -> float:
    """Bytes that this process may use at most: the machine's, or what its container may have."""
    return min(_meminfo("MemTotal"), _cgroup("memory.max"))


def free_memory() -> float:
    """Bytes that can be had now without driving others out."""
    used = _cgroup("memory.current")
    inside = _cgroup("memory.max") - (used if math.isfinite(used) else 0)
    return max(0.0, min(_meminfo("MemAvailable"), inside))


def resident_memory() -> float:
    """Bytes of this process."""
    if sys.platform != "linux":
        return 0.0
    return int(Path("/proc/self/statm").read_text().split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))


def _meminfo(name: str) -> float:
    """A line of /proc/meminfo; elsewhere the whole memory as far as the system says it."""
    path = Path("/proc/meminfo")
    if not path.is_file():
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    lines = dict(line.split(":") for line in path.read_text().splitlines())
    return int(lines[name].split()[0]) * 1024.0


def _cgroup(name: str) -> float:
    path = Path("/sys/fs/cgroup") / name
    text = path.read_text().strip() if path.is_file() else ""
    return float(text) if text.isdecimal() else math.inf
