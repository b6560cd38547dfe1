"""How do the processes of a launch share work, and tell each other what only one of them can know?"""

import atexit
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Protocol, TypeVar, runtime_checkable

from accelerate import PartialState
from accelerate.utils import gather_object
from torch import distributed

from soft_prompts.tasks.task import Query

T = TypeVar("T")
PATIENCE = timedelta(days=30)  # of processes that wait for what the first one waits for: the end of another run


def meet(cpu: bool) -> PartialState:
    """This process among those of the launch, which it leaves when it ends.

    A group that is still there when Python goes down has threads that may hold a tensor, and such a thread takes
    the process with it (SIGABRT after all work is done): https://github.com/pytorch/pytorch/issues/190489.
    """
    state = PartialState(cpu=cpu)
    if state.num_processes > 1:
        atexit.unregister(_leave)
        atexit.register(_leave)
    return state


def _leave() -> None:
    _patient_group.cache_clear()
    if distributed.is_initialized():
        distributed.destroy_process_group()


def told_by_first(find: Callable[[], T]) -> T:
    """What the first process finds, in all of them: the others may be on machines that do not have its disk.

    What it raises is raised everywhere, so that none is left waiting for the others, who wait as long as it takes.
    """
    state = PartialState()
    if state.num_processes == 1:
        return find()
    group, told = _patient_group(), list[Any]([None, None])
    if state.is_main_process:
        try:
            told[0] = find()
        except Exception as error:
            told[1] = error
    distributed.broadcast_object_list(told, src=0, group=group)
    found, error = told
    if error is not None:
        raise error
    return found


@cache
def _patient_group() -> Any:
    """All processes, on the CPU; the usual group gives up on a peer after half an hour."""
    return distributed.new_group(timeout=PATIENCE, backend="gloo")


@runtime_checkable
class CompletePart(Protocol):
    """Continuations of some of the queries, whose places among all say what is sampled for each."""

    def __call__(
        self, queries: Sequence[Query], most_new_tokens: int, /, *, temperature: float, places: Sequence[int]
    ) -> list[str]: ...


class SharedOut:
    """Continuations of which each process writes its share; the same texts as one process writes."""

    def __init__(self, complete: CompletePart) -> None:
        self._complete = complete

    def __call__(self, queries: Sequence[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
        """The continuations, in order."""
        state = PartialState()
        mine = range(state.process_index, len(queries), state.num_processes)
        part = [queries[place] for place in mine]
        texts = self._complete(part, most_new_tokens, temperature=temperature, places=mine)
        written = dict(gather_object(list(zip(mine, texts, strict=True))))
        return [written[place] for place in range(len(queries))]
