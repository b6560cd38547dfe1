"""Types are checked at every call, and shapes where a signature names any.

jaxtyping's decorator holds the names of a signature's axes against one another, for which it binds each call and checks
its arguments twice: some fifty times what an empty call costs. Where no shape is named, beartype alone says the same.
"""

import dataclasses
from functools import partial
from inspect import isclass
from types import FunctionType
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import beartype

SHAPES = jaxtyping.jaxtyped  # checks types and shapes


def check_package(name: str) -> None:
    """Every function and dataclass of a package, from its import on."""
    jaxtyping.install_import_hook(name, "beartype.beartype")
    jaxtyping.jaxtyped = checked  # what the hook decorates with


def checked(subject: Any = None, *, typechecker: Any = None) -> Any:
    """A function, or a dataclass by its constructor, that raises where it is called with what it doesn't take."""
    if subject is None:
        return partial(checked, typechecker=typechecker)
    if isinstance(subject, FunctionType) and not names_shapes(subject):
        return beartype(subject)
    if isclass(subject) and dataclasses.is_dataclass(subject) and not names_shapes(subject.__init__):
        subject.__init__ = beartype(subject.__init__)
        return subject
    return SHAPES(subject, typechecker=typechecker)


def names_shapes(function: Any) -> bool:
    """Does a signature name a shape, or something that cannot be resolved yet?"""
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception:
        return True
    return any(map(_is_shaped, hints.values()))


def _is_shaped(hint: Any) -> bool:
    if isinstance(hint, list):  # of a Callable
        return any(map(_is_shaped, hint))
    return getattr(hint, "__module__", "").startswith("jaxtyping") or any(map(_is_shaped, get_args(hint)))
