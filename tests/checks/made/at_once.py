"""Readings that `compare` is given whole, in the place of those that it reads a task at a time."""

from collections.abc import Iterator

import pytest

from soft_prompts.analysis.by_task import ByTask, Tasks
from soft_prompts.analysis.readings import Reading, Readings
from soft_prompts.report.terminal import command


class AtOnce(Tasks):
    """All of what was read."""

    def __init__(self, every: Readings) -> None:
        self.every = every

    def __iter__(self) -> Iterator[Reading]:
        return iter(self.every.readings)

    @property
    def problems(self) -> tuple[str, ...]:
        return self.every.problems

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.every.warnings


def give(every: Readings, patched: pytest.MonkeyPatch) -> None:
    """From now on the command prints these, with nothing left out of them."""
    whole = ByTask(every.readings, every.problems, every.warnings, every.comparison.left_out)
    patched.setattr(command, "Tasks", lambda *_: AtOnce(every))
    patched.setattr(command, "collected", lambda *_: whole)
