"""What does a stretch of code ask of the machine? Every operation on tensors is seen as it passes.

Works on tensors without numbers (`sketch`): shapes are all that memory and time depend on.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from soft_prompts.experiments.estimate.machine import Machine

GROUPED = torch.ops.aten._grouped_mm  # of a mixture's experts


def _grouped_products(left: Tensor, right: Tensor, *_: Any, **__: Any) -> float:
    """Of [S K] rows by [G K N] experts, or of either's gradient: every row meets one expert."""
    groups = left.shape[0] if left.ndim == right.ndim == 3 else 1
    return 2.0 * groups * left.shape[-2] * left.shape[-1] * right.shape[-1]


ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # counted as on a GPU
KNOWN: dict[Any, Any] = {
    **flop_registry,
    GROUPED: _grouped_products,
    ATTENTION: flop_registry[torch.ops.aten._scaled_dot_product_flash_attention],
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: flop_registry[
        torch.ops.aten._scaled_dot_product_flash_attention_backward
    ],
}


class Operation(NamedTuple):
    """One call."""

    products: float
    """Multiplications and additions of matrix products and attention."""
    moved: float
    """Bytes read and written."""


class Work(NamedTuple):
    """What a stretch of code asks for."""

    peak_bytes: float = 0.0
    """Held at once at most, above what stood before."""
    seconds: float = 0.0
    products: float = 0.0

    def times(self, count: int | float) -> "Work":
        """So often, one after another."""
        return Work(self.peak_bytes * (count > 0), self.seconds * count, self.products * count)

    def __add__(self, other: "Work") -> "Work":  # pyright: ignore[reportIncompatibleMethodOverride]
        """One after the other."""
        return Work(
            max(self.peak_bytes, other.peak_bytes), self.seconds + other.seconds, self.products + other.products
        )


NO_WORK = Work()


class Counting(TorchDispatchMode):
    """Within, every operation is counted, and the storage of what it makes until nobody holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = list[Operation]()
        self.peak_bytes = 0
        self._held_bytes = 0
        self._storages = set[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default:
            return func(*args, **kwargs)
        if func is torch.ops.aten.index.Tensor:
            args = (args[0], _by_places(args[1]))
        is_refused = func._overloadpacket is GROUPED and isinstance(args[0], FakeTensor)
        out = _in_half(func, args, kwargs) if is_refused else func(*args, **kwargs)
        products = 0.0
        if (count := KNOWN.get(func._overloadpacket)) is not None:
            products = float(count(*args, **kwargs, out_val=out))
        moved = 0.0 if func.is_view else _bytes_of((args, kwargs)) + _bytes_of(out)
        self.operations.append(Operation(products, moved))
        there = {tensor.untyped_storage()._cdata for tensor in _tensors_in((args, kwargs))}
        for tensor in _tensors_in(out):
            if tensor.untyped_storage()._cdata not in there:  # else a view, or written in place
                self._hold(tensor)
        return out

    def work(self, machine: Machine) -> Work:
        """All of it, on this machine."""
        seconds = sum(machine.seconds(one.products, one.moved) for one in self.operations)
        return Work(float(self.peak_bytes), seconds, sum(one.products for one in self.operations))

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._storages:
            self._storages.add(key)
            self._held_bytes += size
            self.peak_bytes = max(self.peak_bytes, self._held_bytes)
            weakref.finalize(storage, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self._storages.discard(key)
        self._held_bytes -= size


def work_of(machine: Machine, does: Callable[[], object]) -> Work:
    """What a call asks for; what it returns is not let go before the end."""
    with Counting() as counted:
        kept = does()
    del kept
    return counted.work(machine)


def _in_half(func: Any, args: Sequence[Any], kwargs: Any) -> Any:
    """Without numbers torch lets experts be multiplied in bfloat16 alone; the shapes are those of any precision."""
    left, right, *others = args
    return func(left.bfloat16(), right.bfloat16(), *others, **kwargs).to(left.dtype)


def _by_places(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """A mask with numbers says how much it lets through; against tensors without numbers only places do."""
    found = list[Tensor | None]()
    for one in indices:
        plain = one is None or one.dtype != torch.bool or isinstance(one, FakeTensor)
        found += [one] if plain else one.nonzero(as_tuple=True)  # pyright: ignore[reportOptionalMemberAccess]
    return found


def _tensors_in(values: object) -> list[Tensor]:
    return [one for one in tree_iter(values) if isinstance(one, Tensor)]


def _bytes_of(values: object) -> float:
    return float(sum(one.numel() * one.element_size() for one in _tensors_in(values)))
