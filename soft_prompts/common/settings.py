"""Is a setting what its definition says? Type, choices and bounds stand where a setting is defined, and hold from
Python as from the command line."""

import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from soft_prompts.common.errors import UsageError, near_match

T = TypeVar("T")
BOUNDS = "bounds"  # key of a field's metadata
CHANGES = "changes"
TOLD_IF_SET = "told_if_set"
Changes = Literal["all", "prompts", "nothing"]
"""What a setting changes: the numbers of every run, of runs that train, or none: where a run happens and what it
leaves behind."""


@dataclass(frozen=True)
class Bounds:
    """Of a number, or of each number of a tuple."""

    least: int | float | None = None
    above: int | float | None = None
    most: int | float | None = None
    hint: str | None = None
    """What to give, where the bounds alone do not say it well."""

    def __str__(self) -> str:
        if self.hint is not None:
            return self.hint
        if self.most is not None:
            return f"a number between {self.least:g} and {self.most:g}"
        return f"a number above {self.above:g}" if self.above is not None else f"{self.least or 0:g} or more"

    def hold(self, value: int | float) -> bool:
        """Whether the value is finite and within."""
        above = (self.least is None or value >= self.least) and (self.above is None or value > self.above)
        return above and value < float("inf") and (self.most is None or value <= self.most)


def setting(default: T, changes: Changes, bounds: Bounds | None = None, told_if_set: bool = False) -> T:
    """A field of a dataclass of settings: its default, what it changes, and which numbers it takes. One that is told
    only if it is set came later: results from before lack it, and stay the results of the same settings."""
    told: dict[str, Any] = {TOLD_IF_SET: True} if told_if_set else {}
    return field(default=default, metadata={**marks(changes, bounds), **told})


def marks(changes: Changes, bounds: Bounds | None = None) -> Mapping[str, object]:
    """What a field says of itself; for `field(metadata=...)` where there is no default."""
    return {CHANGES: changes, BOUNDS: bounds}


def names_that_change(kind: type, *changes: Changes) -> frozenset[str]:
    """Names of the settings that change just that."""
    return frozenset(one.name for one in fields(kind) if one.metadata.get(CHANGES) in changes)


def untold(settings: Any) -> frozenset[str]:
    """Names of the settings that are told only if they are set, and are not."""
    return frozenset(
        one.name
        for one in fields(settings)
        if TOLD_IF_SET in one.metadata and getattr(settings, one.name) == one.default
    )


def check_settings(settings: Any) -> None:
    """Raise UsageError for the first setting that its definition does not allow; text where a path belongs becomes a
    path, and a whole number where any belongs the same number with a point, as the command line reads it."""
    for one in fields(settings):
        kind = _hints(type(settings))[one.name]
        value = _as(getattr(settings, one.name), kind)
        object.__setattr__(settings, one.name, value)  # frozen only after it is made
        refuse_other_type(one.name, value, kind)
        flag = one.name.replace("_", "-")
        bounds = one.metadata.get(BOUNDS)
        for number in value if isinstance(value, tuple) else (value,):
            if bounds is not None and isinstance(number, int | float) and not bounds.hold(number):
                raise UsageError(f"{flag} is {number}; give {bounds}")


def refuse_other_type(name: str, value: Any, kind: Any) -> None:
    """Raise UsageError for a value that a definition does not allow, before anything is made of it."""
    if not _is(value, _plain(kind)):
        raise UsageError(f"{name.replace('_', '-')} is {value!r}; {_allowed(value, kind)}")


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return {name: _plain(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}


def _plain(hint: Any) -> Any:
    """Without what the command line wants to know of it."""
    return _plain(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


def _as(value: Any, kind: Any) -> Any:
    """A value as its definition has it: equal settings are written alike, and so share a path."""
    choices = {_plain(part) for part in get_args(kind)} if get_origin(kind) in (Union, types.UnionType) else {kind}
    if type(value) is str and Path in choices and str not in choices:
        return Path(value)
    if type(value) is int and float in choices and int not in choices:
        return float(value)
    if get_origin(kind) is tuple and type(value) is tuple:
        items = [_plain(argument) for argument in get_args(kind)]
        each = items[:1] * len(value) if items[-1] is ... else items
        return tuple(map(_as, value, each)) if len(each) == len(value) else value
    return value


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of a type as it stands in a definition; a type that is none of these takes everything."""
    origin, arguments = get_origin(kind), [_plain(argument) for argument in get_args(kind)]
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if origin in (Union, types.UnionType):
        return any(_is(value, argument) for argument in arguments)
    if origin is tuple:
        items = arguments[:1] * len(value) if isinstance(value, tuple) and arguments[-1] is ... else arguments
        return isinstance(value, tuple) and len(value) == len(items) and all(map(_is, value, items))
    if kind in (int, float, bool, str):
        return type(value) is kind or (kind is float and type(value) is int)
    return not isinstance(kind, type) or isinstance(value, kind)


def _allowed(value: Any, kind: Any) -> str:
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        known = list(map(str, choices))
        return f"{near_match(str(value), known)}give one of {', '.join(known)}"
    return f"give {KINDS.get(kind) or _words(kind)}"


def _words(kind: Any) -> str:
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(KINDS.get(argument) or _words(_plain(argument)) for argument in get_args(kind))
    if get_origin(kind) is tuple:
        return f"a tuple, each of it {KINDS.get(get_args(kind)[0], 'as its flag takes it')}"
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    return f"a {getattr(kind, '__name__', str(kind))}"


KINDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    Path: "a path",
    type(None): "None",
}
