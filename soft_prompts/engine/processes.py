"""How do the processes of a launch share work, and tell each other what only one of them can know?"""

import atexit
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from accelerate import PartialState
from accelerate.utils import gather_object, reduce
from torch import Tensor, distributed

from soft_prompts.common.errors import Interrupted
from soft_prompts.common.launch import place
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.task import Query

T = TypeVar("T")
SILENCE = timedelta(minutes=30)  # of a process that the others wait for in the middle of a run: it hangs
PATIENCE = timedelta(days=30)  # of processes that wait for what the first one waits for: the end of another run


def meet(cpu: bool) -> PartialState:
    """This process among those of the launch, which it leaves when it ends, or when another is silent for SILENCE.

    A group that is still there when Python goes down has threads that may hold a tensor, and such a thread takes
    the process with it (SIGABRT after all work is done): https://github.com/pytorch/pytorch/issues/190489.
    """
    with others_are_there():
        state = PartialState(cpu=cpu, timeout=SILENCE)
    if state.num_processes > 1:
        atexit.unregister(_leave)
        atexit.register(_leave)
    return state


def _leave() -> None:
    """Of groups on the CPU alone: NCCL waits for processes that do not leave, and a failing one leaves by itself."""
    if not distributed.is_initialized():
        return
    patient = _patient_group() if _patient_group.cache_info().currsize else None
    _patient_group.cache_clear()
    if distributed.get_backend() == "gloo":
        distributed.destroy_process_group()
    elif patient is not None:
        distributed.destroy_process_group(patient)


@contextmanager
def others_are_there() -> Iterator[None]:
    """A process of the launch that died or hangs becomes Interrupted in the others, with a line that says what to do.

    The launcher ends what is left, a process that hangs too.
    """
    try:
        yield
    except RuntimeError as error:
        number, processes = place()
        if processes == 1 or not _is_of_others(error):
            raise
        raise Interrupted(
            f"process {number} of {processes} hears nothing of the others: one of them died, or was silent "
            f"for {SILENCE.total_seconds() / 60:g} minutes; the same command goes on from the last state"
        ) from error


def _is_of_others(error: RuntimeError) -> bool:
    """NCCL has a class for it; gloo raises a plain RuntimeError, which names its file."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def told_by_first(find: Callable[[], T]) -> T:
    """What the first process finds, in all of them: the others may be on machines that do not have its disk.

    What it raises is raised everywhere, so that none is left waiting for the others, who wait as long as it takes.
    Raises Interrupted where one of them died.
    """
    state = PartialState()
    if state.num_processes == 1:
        return find()
    told = list[Any]([None, None])
    with others_are_there():
        group = _patient_group()
    if state.is_main_process:
        try:
            told[0] = find()
        except Exception as error:
            told[1] = error
    with others_are_there():
        distributed.broadcast_object_list(told, src=0, group=group)
    found, error = told
    if error is not None:
        raise error
    return found


@cache
def _patient_group() -> Any:
    """All processes, on the CPU; the usual group gives up on a peer after half an hour."""
    PartialState().wait_for_everyone()  # who died before is missed now: a new group would wait for PATIENCE
    return distributed.new_group(timeout=PATIENCE, backend="gloo")


class Part(NamedTuple):
    """Which samples of a batch a process takes: from the first on every so many."""

    first: int
    every: int
    counts: bool
    """Does it belong in a sum over all? Where each takes all samples, the first one's does."""

    def of(self, number: int) -> range:
        """Which of so many samples."""
        return range(self.first, number, self.every)


def part_of(frozen: FrozenModel) -> Part:
    """This process's part of the samples: its share, or all of them where each computes a part of every layer."""
    state = PartialState()
    if frozen.parallel == "tensor":
        return Part(0, 1, state.is_main_process)
    return Part(state.process_index, state.num_processes, True)


def summed(values: Tensor, part: Part) -> Tensor:
    """Over all processes; the same bits in each."""
    if PartialState().num_processes == 1:
        return values
    return torch.as_tensor(reduce(values if part.counts else torch.zeros_like(values), "sum"))


def batches_short(frozen: FrozenModel, samples: int, at_once: int) -> int:
    """How many batches fewer this process makes of so many samples than the one that makes most; none, where a process
    can get through the model without the others."""
    if not frozen.in_step:
        return 0
    part = part_of(frozen)
    return math.ceil(math.ceil(samples / part.every) / at_once) - math.ceil(len(part.of(samples)) / at_once)


@runtime_checkable
class CompletePart(Protocol):
    """Continuations of some of the queries, whose places among all say what is sampled for each."""

    def __call__(
        self, queries: Sequence[Query], most_new_tokens: int, /, *, temperature: float, places: Sequence[int]
    ) -> list[str]: ...


class SharedOut:
    """Continuations of which each process writes its share; the same texts as one process writes. In step, where no
    process knows when the texts of another end, each writes all."""

    def __init__(self, complete: CompletePart, in_step: bool = False) -> None:
        self._complete, self._in_step = complete, in_step

    def __call__(self, queries: Sequence[Query], most_new_tokens: int, /, *, temperature: float = 0.0) -> list[str]:
        """The continuations, in order."""
        state = PartialState()
        if self._in_step:
            return self._complete(queries, most_new_tokens, temperature=temperature, places=range(len(queries)))
        mine = range(state.process_index, len(queries), state.num_processes)
        part = [queries[place] for place in mine]
        texts = self._complete(part, most_new_tokens, temperature=temperature, places=mine)
        written = dict(gather_object(list(zip(mine, texts, strict=True))))
        return [written[place] for place in range(len(queries))]
