"""How much of this machine may be used? Cores by the process's affinity, threads by OMP_NUM_THREADS where it is set."""

import os
import sys


def cores() -> int:
    """Cores that this process may run on; a container or `taskset` may give fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def threads_for(jobs: int) -> int:
    """Threads of each of so many processes side by side: their share of the cores, or what OMP_NUM_THREADS says."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(asked) if asked.isdecimal() and int(asked) > 0 else max(1, cores() // jobs)
