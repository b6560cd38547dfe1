"""How is work done side by side on one machine? In processes that share its cores, and that end with this one."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from signal import SIG_DFL, SIGTERM, getsignal
from typing import TypeVar

import torch

from soft_prompts.common.errors import Interrupted, goes_on
from soft_prompts.common.machine import threads_for
from soft_prompts.common.signals import stop_signals

T = TypeVar("T")


def side_by_side(work: Sequence[Callable[[], T]], jobs: int) -> list[T]:
    """What each returns, in their order; `jobs` of them at a time, each in a process of few threads that was started
    afresh (no fork of a process that has threads). One job: one after another, in this process.

    Raises what the first of them to fail raised, and Interrupted where this process was told to stop or one of them
    died; nothing more is begun then, and those at work are told to stop as by SIGTERM; told twice they end at once.
    """
    if jobs == 1:
        return [one() for one in work]
    if not work:
        return []
    threads = threads_for(jobs)
    pool = ProcessPoolExecutor(
        min(jobs, len(work)), get_context("spawn"), initializer=begin_worker, initargs=(threads,)
    )
    try:
        with stop_signals():
            return _all(pool, work, jobs)
    except BrokenProcessPool:
        raise Interrupted(f"a process died; {goes_on(fresh=False)}") from None
    except BaseException:
        for worker in active_children():
            worker.terminate()
        raise
    finally:
        try:
            pool.shutdown(cancel_futures=True)
        except KeyboardInterrupt:
            for worker in active_children():
                worker.kill()
            raise


def _all(pool: Executor, work: Sequence[Callable[[], T]], jobs: int) -> list[T]:
    """No more than `jobs` are given to the pool at a time: what lies in its queue would be begun whatever happens."""
    begun = dict[Future[T], int]()
    done, todo = dict[int, T](), iter(enumerate(work))
    while len(done) < len(work):
        while len(begun) < jobs and (one := next(todo, None)) is not None:
            begun[pool.submit(one[1])] = one[0]
        pool.submit(int)  # wakes the pool's thread, which does not see a process end that it has not seen begin
        for future in wait(begun, return_when=FIRST_COMPLETED).done:
            done[begun.pop(future)] = future.result()
    return [done[place] for place in range(len(work))]


def begin_worker(threads: int) -> None:
    """In a new process: it hears of Ctrl-C from its parent alone, ends with it, and has so many threads."""
    os.setpgrp()  # Ctrl-C goes to every process of a terminal; this one hears of it from its parent, once
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """End when nothing trains; each training that listens to SIGTERM hears one: a second would cut its step short."""
    if (parent := parent_process()) is None:
        return
    parent.join()
    told = None
    while (listener := getsignal(SIGTERM)) != SIG_DFL:  # the next plan may be in the queue: it listens anew
        if listener != told:
            os.kill(os.getpid(), SIGTERM)
            told = listener
        time.sleep(0.5)
    os._exit(1)
