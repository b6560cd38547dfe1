"""How many curves can anybody look at? Of more, the command that shows a good part of them is named."""

import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from soft_prompts.analysis.by_task import Tasks
from soft_prompts.common.errors import UsageError
from soft_prompts.common.urls import as_typed

MOST = 500  # curves: a page of some 25 MB, and a figure that is just legible


def refuse_crowd(tasks: Tasks, paths: Sequence[Path], command: str, options: Any, where: str) -> None:
    """Raises UsageError where there are more curves than MOST in the paths, before any is read; what may be done
    instead is named with the flags of the `command`, as its `options` hold them."""
    by_folder: dict[Path, set[object]] = defaultdict(set)
    subjects = tasks.subjects()
    if (count := len(set(subjects.values()))) <= MOST:
        return
    for path, subject in subjects.items():
        for folder in path.parents:
            by_folder[folder].add(subject)
    fitting = [(len(found), -len(folder.parts), folder) for folder, found in by_folder.items() if len(found) <= MOST]
    most, _, folder = max(fitting, default=(0, 0, Path()))
    named = shlex.join(map(as_typed, paths))
    words = ["soft-prompts", command, as_typed(folder), *_flags(options)]
    instead = f"`{shlex.join(words)}` has {most} of them" if most else "give fewer"
    raise UsageError(
        f"{count} curves are too many for {where}, which has room for {MOST}: {instead}, "
        f"and `soft-prompts compare {named} --csv curves` prints a line for each"
    )


def _flags(options: Any) -> list[str]:
    """As they were typed, but for those that say what is so anyway, and the paths."""
    words = []
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name == "paths" or value == field.default:
            continue
        values = [] if value is True else value if isinstance(value, tuple) else [value]
        words += [f"--{field.name.replace('_', '-')}", *map(str, values)]
    return words
