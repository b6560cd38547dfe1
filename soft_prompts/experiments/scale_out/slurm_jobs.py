"""How does a Slurm cluster make the pieces of a sweep? As jobs of submitit, a piece each. A job that is preempted or
runs out of time publishes its runs' last whole steps and starts the same piece again."""

import math
import os
import signal
import stat
import time
from collections.abc import Hashable, Iterable
from contextlib import redirect_stderr
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

from soft_prompts.common.errors import InputError, Interrupted, UsageError
from soft_prompts.common.files import writing_to
from soft_prompts.experiments.scale_out.hands import Ended
from soft_prompts.experiments.scale_out.work import Missed, Parcel, make

WAIT_SECONDS = 1.0
TIMEOUTS = 1000  # after which submitit gives a job up: it goes on from a state each time
FOLDER = "sweep-jobs"  # beside results/: what submitit keeps of its jobs, and their logs


class Job(NamedTuple):
    """What each piece takes, and for how long."""

    cpus: int = 1
    gpus: int = 0
    memory_gib: float | None = None
    minutes: int = 240
    partition: str | None = None


class Resumable:
    """A piece that knows how to be started again."""

    def __init__(self, parcel: Parcel) -> None:
        self.parcel = parcel

    def __call__(self) -> list[Missed]:
        """Make it; told to go, end the step, publish, and go back into the queue."""
        again, asked = signal.getsignal(signal.SIGUSR2), list[Any]()
        outside = signal.getsignal(signal.SIGTERM)  # a run listens to this signal, and ends a step in order

        def hear(number: int, frame: Any) -> None:
            asked.append((number, frame))
            if signal.getsignal(signal.SIGTERM) in (outside, signal.SIG_DFL) and callable(again):
                again(number, frame)  # no run is at a step
            else:
                os.kill(os.getpid(), signal.SIGTERM)

        if callable(again):
            signal.signal(signal.SIGUSR2, hear)
        try:
            return make(self.parcel)
        except Interrupted:
            if asked and callable(again):
                again(*asked[0])  # does not come back
            raise

    def checkpoint(self) -> Any:
        """The same again: what was made is found in the runs' own files."""
        return import_module("submitit").helpers.DelayedSubmission(Resumable(self.parcel))


class SlurmHands:
    """Jobs of a cluster; `cluster` is local in checks, where processes of this machine stand for it."""

    def __init__(self, output_dir: Path, job: Job, cluster: Literal["slurm", "local"] = "slurm") -> None:
        try:
            submitit: Any = import_module("submitit")
        except ImportError as error:
            raise UsageError("on is slurm, which needs submitit; pip install 'soft_prompts[slurm]'") from error
        folder = _of_ones_own(output_dir.absolute() / FOLDER)
        try:
            self.executor = submitit.AutoExecutor(folder, cluster=cluster, slurm_max_num_timeout=TIMEOUTS)
        except RuntimeError as error:
            raise InputError(f"no Slurm here ({' '.join(str(error).split())}); start from a login node") from error
        memory = {} if job.memory_gib is None else {"mem_gb": math.ceil(job.memory_gib)}
        partition = {} if job.partition is None else {"slurm_partition": job.partition}
        self.executor.update_parameters(
            name="soft-prompts",
            timeout_min=job.minutes,
            cpus_per_task=job.cpus,
            gpus_per_node=job.gpus,
            **memory,
            **partition,
        )
        self.jobs: dict[Hashable, Any] = {}

    def start(self, parcel: Parcel) -> Hashable:
        """Submit it; raises InputError with what sbatch says against it."""
        try:
            with redirect_stderr(StringIO()):  # where submitit repeats what it raises
                job = self.executor.submit(Resumable(parcel))
        except (RuntimeError, OSError) as error:
            said = " ".join(str(error).split())[:300]
            raise InputError(
                f"Slurm takes no job ({said}); mend the flags, and start the same command again"
            ) from error
        self.jobs[job.job_id] = job
        return job.job_id

    def ended(self) -> Iterable[Ended]:
        """Looks at every job."""
        done = [name for name, job in self.jobs.items() if job.done()]
        if not done:
            time.sleep(WAIT_SECONDS)
        return [_outcome(name, self.jobs.pop(name)) for name in done]

    def stop(self) -> None:
        """Cancel what is left; a run that is cut off has its last state."""
        for job in self.jobs.values():
            job.cancel(check=False)


def _of_ones_own(folder: Path) -> Path:
    """The folder, which nobody else may write: what lies there is unpickled, which can run code."""
    with writing_to(folder):
        folder.mkdir(0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InputError(f"{folder} is another's, or others may write there; give another --output-dir, or: chmod 700")
    return folder


def _outcome(name: Hashable, job: Any) -> Ended:
    try:
        return Ended(name, job.result())
    except Exception as error:  # what the job raised, or that it left nothing
        lines = [line for line in str(error).splitlines() if line.strip()]
        why = lines[-1][:300] if lines else type(error).__name__
        return Ended(name, died=f"job {name} ended without an answer ({why})")
