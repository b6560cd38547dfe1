"""How is a component read, added to or replaced, while the model is as frozen as before and after?

Each is a context manager: names, widths and positions are checked before the first hook is set, nothing is changed in
place, a gradient goes through, and the hooks are gone at the end however it comes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.module_map import Inside, Site
from soft_prompts.engine.activations.places import Places

Change = Callable[[int, Tensor], Tensor]
"""Number of the model's call, the component's value [B S W] -> the value that it has instead."""


@contextmanager
def capture(inside: Inside, names: Sequence[str], at: Int[Tensor, "B K"] | None = None) -> Iterator[dict[str, Tensor]]:
    """Values of components, as the last forward within gives them: [B S W], or [B K W] at positions `at` of each row.

    They have a gradient where the forward has one.
    """
    held: dict[str, Tensor] = {}

    def keep(name: str, call: int, value: Tensor) -> Tensor:
        held[name] = value if at is None else value.gather(1, at[..., None].expand(-1, -1, value.shape[2]))
        return value

    with _changed(inside, {name: partial(keep, name) for name in names}):
        yield held


@contextmanager
def add(inside: Inside, vectors: Mapping[str, Tensor], places: Places) -> Iterator[None]:
    """Within, a vector is added to each named component at the places: [W], or [B S W] with a row for each position."""
    _refuse_wrong(inside, vectors, places)

    def added(vector: Tensor, call: int, value: Tensor) -> Tensor:
        here = _here(places, call, value)
        return value + here.to(value.dtype) * vector.to(value)

    with _changed(inside, {name: partial(added, vector) for name, vector in vectors.items()}):
        yield


@contextmanager
def patch(inside: Inside, values: Mapping[str, Tensor], places: Places) -> Iterator[None]:
    """Within, each named component has the given value at the places: [W], [B 1 W] or [B S W]."""
    _refuse_wrong(inside, values, places)

    def patched(given: Tensor, call: int, value: Tensor) -> Tensor:
        return torch.where(_here(places, call, value), given.to(value), value)

    with _changed(inside, {name: partial(patched, given) for name, given in values.items()}):
        yield


def _refuse_wrong(inside: Inside, values: Mapping[str, Tensor], places: Places) -> None:
    """Raises UsageError for a component that is none, another width, what is no number, or no position."""
    for name, value in values.items():
        width = inside.site(name).width
        if value.shape[-1] != width:
            raise UsageError(
                f"{name}: the vector has {value.shape[-1]} dimensions; {inside.frozen.name} has {width} there"
            )
        if not bool(torch.isfinite(value).all()):
            raise UsageError(f"{name}: the vector is not finite; make it again")
    places.refuse_wrong()


def _here(places: Places, call: int, value: Tensor) -> Tensor:
    """[B S 1] is the position one of the places?"""
    found = places.of_call(call, value.shape[0], value.shape[1])
    if found.shape != value.shape[:2]:
        raise UsageError(f"positions are {list(found.shape)}; the model reads {list(value.shape[:2])}")
    return found[..., None].to(value.device)


@contextmanager
def _changed(inside: Inside, changes: Mapping[str, Change]) -> Iterator[None]:
    """Hooks on the components' modules, one after another in the order of the names."""
    sites = {name: inside.site(name) for name in changes}  # every name is looked at before the first hook
    with ExitStack() as hooks:
        for name, change in changes.items():
            site, hook = sites[name], _Hook(sites[name], change)
            if site.is_input:
                handle = site.module.register_forward_pre_hook(hook.before, with_kwargs=True)
            else:
                handle = site.module.register_forward_hook(hook.after)
            hooks.callback(handle.remove)
        yield


class _Hook:
    """One component's change, at what enters its module or at what leaves it."""

    def __init__(self, site: Site, change: Change) -> None:
        self.site, self.change, self.calls = site, change, 0

    def before(self, module: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        """The module's arguments, the first of them changed."""
        if given:
            return (self._changed(given[0]), *given[1:]), named
        first = next(iter(named))
        return given, named | {first: self._changed(named[first])}

    def after(self, module: torch.nn.Module, given: tuple[Any, ...], output: Any) -> Any:
        """What the module gives out: a tensor, or a tuple that begins with it."""
        if isinstance(output, tuple):
            return (self._changed(output[0]), *output[1:])
        return self._changed(output)

    def _changed(self, value: Tensor) -> Tensor:
        call, self.calls = self.calls, self.calls + 1
        part = self.site.part
        if part == slice(0, value.shape[-1]):
            return self.change(call, value)
        before = value[..., part]
        mine = self.change(call, before)
        if mine is before and not value.requires_grad:  # only read; a gradient needs the part on the way
            return value
        return torch.cat([value[..., : part.start], mine, value[..., part.stop :]], dim=-1)
