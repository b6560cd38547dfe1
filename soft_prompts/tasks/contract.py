"""Does a class keep to its contract? A misspelt method is refused where the class is written: a default would stand in
for it, and nobody would see that it is never called."""

import inspect
from abc import ABCMeta
from typing import Any, ClassVar, get_origin

from soft_prompts.common.errors import near_match


class Contract(metaclass=ABCMeta):  # noqa: B024 - the contracts below have them
    """What a contract stands on. A class made with `extends=True` adds to it; every other class below keeps to it: its
    public names are the contract's, or annotated fields of its own. Private names are free."""

    _promised: ClassVar[dict[str, Any]] = {}
    """Public names of the contract, each with what stands for it; None for a value that has no default."""

    def __init_subclass__(cls, extends: bool = False) -> None:
        super().__init_subclass__()
        if extends:
            cls._promised = cls._promised | dict.fromkeys(inspect.get_annotations(cls)) | _public(cls)
            return
        fields = {name for name, kind in inspect.get_annotations(cls).items() if not _is_class_variable(kind)}
        for name, value in _public(cls).items():
            if name in cls._promised:
                _refuse_another_form(f"{cls.__name__}.{name}", value, cls._promised[name])
            elif name not in fields:
                known = sorted(name for name in cls._promised if not name.startswith("_"))
                raise TypeError(
                    f"{cls.__name__}.{name} is nothing that is ever asked for; {near_match(name, known)}known are "
                    f"{', '.join(known)}; begin a name of your own with _"
                )

    def __new__(cls, *_: object, **__: object):  # Self, which the checks of types at run time cannot read
        given = {name for base in cls.__mro__ for name in vars(base)}
        annotated = {name: kind for base in cls.__mro__ for name, kind in inspect.get_annotations(base).items()}
        values = [name for name, kind in annotated.items() if _is_class_variable(kind) and name not in given]
        if lacking := [*values, *cls.__abstractmethods__]:
            raise TypeError(f"{cls.__name__} lacks {', '.join(sorted(lacking))}; give it")
        return super().__new__(cls)


def _public(cls: type) -> dict[str, Any]:
    return {name: value for name, value in vars(cls).items() if not name.startswith("_")}


def _is_class_variable(kind: Any) -> bool:
    return get_origin(kind) is ClassVar or kind is ClassVar or str(kind).startswith("ClassVar")


def _refuse_another_form(name: str, given: Any, promised: Any) -> None:
    """A method where a method is called with the same arguments, a value where a value is read."""
    if not inspect.isfunction(promised):
        if inspect.isfunction(given):
            raise TypeError(f"{name} is a method, where a value is read; put @property above it")
        return
    wanted = inspect.signature(promised)
    try:
        inspect.signature(given).bind(*wanted.parameters)
    except TypeError:
        raise TypeError(f"{name} cannot be called as it will be; give it the form {name}{wanted}") from None
