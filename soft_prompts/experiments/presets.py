"""Which preset does a command line start from, where an experiment is no grid?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from soft_prompts.common.command_line import parse, started_as
from soft_prompts.common.errors import UsageError, near_match

OptionsT = TypeVar("OptionsT", bound=Any)


def options_of(
    presets: Mapping[str, OptionsT], arguments: Sequence[str], program: str | None, question: str
) -> OptionsT:
    """Flags on top of the preset that they name; raises UsageError in one line."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    name = words[words.index("--preset") + 1] if "--preset" in words[:-1] else "default"
    if name not in presets:
        known = list(presets)
        raise UsageError(f"--preset is {name!r}; {near_match(name, known)}give {', '.join(known)}")
    default = replace(presets[name], preset=name)
    return parse(type(default), arguments, program or started_as(), question, default=default)
