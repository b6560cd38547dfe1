"""How many threads does a process take?"""

import os
import sys

import pytest

from soft_prompts.common.machine import cores, threads_for


@pytest.mark.parametrize(("asked", "expected"), [("3", 3), ("2,4", 2), ("0", 4), ("-1", 4), ("many", 4), ("", 4)])
def test_omp_num_threads_is_honoured(asked: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soft_prompts.common.machine.cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads_for(2) == expected


def test_more_jobs_than_cores_have_a_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soft_prompts.common.machine.cores", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [threads_for(jobs) for jobs in (1, 2, 5)] == [2, 1, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's affinity")
def test_cores_are_those_that_this_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)
