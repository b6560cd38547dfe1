"""Which models are compared? A base, a target made from it, and controls made like the target without the change."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch

from soft_prompts.common.errors import UsageError
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.models.frozen import dtype_for, find_context_length, load_frozen_model
from soft_prompts.models.model import FrozenModel

RESIDENT = 6  # models in memory at once: base, target and four controls


class Loading(NamedTuple):
    """How models are loaded."""

    device: str = "cpu"
    dtype: str = "auto"
    offline: bool = False
    trust_remote_code: bool = False
    resident: int = RESIDENT


USUAL = Loading()


@dataclass(frozen=True)
class Family:
    """Names of models; the first control is the reference of all that is contrasted."""

    base: str
    target: str
    controls: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The first control: what the recipe alone does. Without one the base, which finds drift too."""
        return self.controls[0] if self.controls else self.base

    @property
    def spare(self) -> tuple[str, ...]:
        """Controls that no contrast has seen."""
        return self.controls[1:]

    @property
    def names(self) -> tuple[str, ...]:
        """Every model once."""
        return tuple(dict.fromkeys((self.base, self.target, *self.controls)))


class Models:
    """Opens models of a family when they are asked for, and keeps the last few. Families `beside` each other, which are
    loaded alike, have them open in common."""

    def __init__(self, family: Family, loading: Loading = USUAL, beside: "Models | None" = None) -> None:
        self.family, self.loading = family, loading
        self._open: dict[str, FrozenModel] = {} if beside is None else beside._open
        known = {} if beside is None else beside.prints
        self.prints = {
            name: known.get(name)
            or find_fingerprint(name, offline=loading.offline, trust_remote_code=loading.trust_remote_code)
            for name in family.names
        }
        self.dtype = dtype_for(family.base, loading.dtype, torch.device(loading.device))
        _refuse_strange(family, self.prints)

    def __getitem__(self, name: str) -> FrozenModel:
        frozen = self._open.pop(name, None) or self._load(name)
        self._open[name] = frozen  # the last is the newest
        while len(self._open) > self.loading.resident:
            self._open.pop(next(iter(self._open)))
        return frozen

    def refuse_base_among_controls(self) -> None:
        """The base has learnt nothing: it is no control, and a reference that finds drift; raises UsageError."""
        for name in self.family.controls:
            if self.prints[name] == self.prints[self.family.base]:
                raise UsageError(f"control {name} is the base itself; give a model made as the target was")

    @cached_property
    def room(self) -> tuple[int, str] | None:
        """Positions that every model has, and the one that has no more; None where none names its own."""
        how = self.loading
        known = [
            (length, name)
            for name in self.family.names
            if (length := find_context_length(name, None, how.offline, how.trust_remote_code)) is not None
        ]
        return min(known, default=None)

    def refuse_beyond(self, positions: int, said: str, instead: str) -> None:
        """Raises UsageError where a model has fewer positions."""
        if self.room is not None and positions > self.room[0]:
            raise UsageError(f"{said}; {self.room[1]} has {self.room[0]} positions; {instead}")

    @property
    def is_identical(self) -> bool:
        """Is the target the base itself, to the byte?"""
        return self.prints[self.family.base] == self.prints[self.family.target]

    def card(self, name: str) -> dict[str, str]:
        """Name and fingerprint."""
        return {"name": name, "fingerprint": self.prints[name]}

    def _load(self, name: str) -> FrozenModel:
        how = self.loading
        frozen = load_frozen_model(
            name, dtype=how.dtype, device=how.device, offline=how.offline, trust_remote_code=how.trust_remote_code
        )
        if self._open:
            refuse_other_tokenizer(next(iter(self._open.values())), frozen)
        return frozen


def refuse_other_tokenizer(first: FrozenModel, second: FrozenModel) -> None:
    """Raises UsageError where two models do not mean the same by an id."""
    one, other = (model.tokenizer.get_vocab() for model in (first, second))
    if one != other:
        differ = len(set(one.items()) ^ set(other.items()))
        raise UsageError(
            f"{first.name} and {second.name} have different tokenizers ({differ} entries); a comparison is of models "
            "with one tokenizer: give models made from one base"
        )


def _refuse_strange(family: Family, prints: dict[str, str]) -> None:
    """A control that is the target or another control says nothing of drift; raises UsageError."""
    known: dict[str, str] = {}
    for name in family.controls:
        if prints[name] == prints[family.target] and prints[name] != prints[family.base]:
            raise UsageError(f"control {name} is the target itself; give a model made without the change")
        if prints[name] in known:
            raise UsageError(f"controls {known[prints[name]]} and {name} are the same model; give other seeds")
        known[prints[name]] = name


def warnings_of(controls: Sequence[str]) -> tuple[str, ...]:
    """What few controls mean for a verdict."""
    if not controls:
        return ("no control: descriptive only, no verdict",)
    if len(controls) < 3:
        count = len(controls)
        return (f"{count} control{'s' if count > 1 else ''}: their spread is hardly known; 3 or more are wanted",)
    return ()
