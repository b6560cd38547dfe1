"""Which run do settings in a file ask for? What `--print-config` prints, read again."""

import types
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from soft_prompts.common.errors import UsageError, near_match
from soft_prompts.common.settings import refuse_other_type
from soft_prompts.config import RunConfig
from soft_prompts.tasks.registry import TASKS
from soft_prompts.tasks.task import Task

T = TypeVar("T")


def run_of(values: Mapping[str, Any]) -> RunConfig:
    """The run whose `as_json` these values are; raises UsageError for a name or a value that is none."""
    if "role" in values:
        raise UsageError(f"role is {values['role']!r}: what stands beside runs is made by evidence; leave it out")
    settings = {name: value for name, value in values.items() if name != "task"}
    return _made(RunConfig, settings, {"task": task_of(values["task"])})


def task_of(values: Mapping[str, Any]) -> Task:
    """The task by its name in the registry, with its own settings."""
    name = values["name"]
    if name not in TASKS:
        raise UsageError(f"task is {name!r}; {near_match(str(name), list(TASKS))}give one of {', '.join(TASKS)}")
    return _made(TASKS[name], {key: value for key, value in values.items() if key != "name"}, {})


def kinds(kind: type) -> dict[str, Any]:
    """The type of every setting, by name."""
    hints = get_type_hints(kind, include_extras=True)
    return {one.name: _plain(hints[one.name]) for one in fields(kind) if one.init}


def is_tuple(kind: Any) -> bool:
    """Does a setting take several values?"""
    return any(get_origin(choice) is tuple for choice in _choices(kind))


def may_be_none(kind: Any) -> bool:
    """Is no value among those of a setting?"""
    return type(None) in _choices(kind)


def _made(kind: type[T], values: Mapping[str, Any], given: Mapping[str, Any]) -> T:
    known = kinds(kind)
    for name in values:
        if name not in known or name in given:
            raise UsageError(f"{name} is no setting of {kind.__name__}; {near_match(str(name), list(known))}see --help")
    read = {name: _read(value, known[name]) for name, value in values.items()}
    for name, value in read.items():
        refuse_other_type(name, value, known[name])
    return kind(**given, **read)


def _read(value: Any, kind: Any) -> Any:
    """As Python has it: a list is a tuple, and 1e-05, which YAML takes for a text, a number."""
    choices = _choices(kind)
    if isinstance(value, list):
        inner = next((get_args(choice) for choice in choices if get_origin(choice) is tuple), ())
        return tuple(_read(item, _plain(inner[0]) if inner else Any) for item in value)
    if isinstance(value, str) and Path in choices and str not in choices:
        return Path(value)
    if isinstance(value, str) and float in choices and str not in choices:
        try:
            return float(value)
        except ValueError:  # said where settings are checked
            return value
    return value


def _choices(kind: Any) -> list[Any]:
    union = get_origin(kind) in (Union, types.UnionType)
    return [_plain(choice) for choice in get_args(kind)] if union else [kind]


def _plain(hint: Any) -> Any:
    return _plain(get_args(hint)[0]) if get_origin(hint) is Annotated else hint
