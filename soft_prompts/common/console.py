"""What does a person see while a run goes on? A bar on a terminal, plain lines elsewhere; all of it on stderr."""

import multiprocessing
import os
import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

FIRST_ESTIMATE = 5  # steps until the time to go is worth saying
LINES = 5  # progress lines of a run without a terminal


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def say_once(text: str) -> None:
    """The same, from the first of the processes that a launcher started."""
    if os.environ.get("RANK", "0") == "0":
        say(text)


class StepProgress:
    """Progress of one run's steps; a context manager."""

    def __init__(self, title: str, steps: int, quiet: bool = False) -> None:
        self.title, self.steps, self.quiet = title, steps, quiet
        console = Console(stderr=True)
        columns = (
            TextColumn(title),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
        )
        alone = multiprocessing.parent_process() is None  # runs side by side would draw over each other's bars
        drawn = console.is_terminal and alone and not quiet
        self.bar = Progress(*columns, console=console, transient=True) if drawn else None
        self.task = self.bar.add_task("", total=steps, loss="") if self.bar else None

    def __enter__(self) -> Callable[[int, float, float], None]:
        """Call it after each step with steps done, the loss in nats per token, and the mean seconds a step."""
        if self.bar:
            self.bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def _show(self, done: int, loss: float, seconds: float) -> None:
        if self.quiet:
            return
        if done == FIRST_ESTIMATE and self.steps > 2 * FIRST_ESTIMATE:
            say(f"{self.title}: about {seconds * self.steps:.0f} s for {self.steps} steps")
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=done, loss=f"{loss:.4f} nats/token")
        elif done % max(1, self.steps // LINES) == 0:
            say(f"{self.title}: step {done}/{self.steps}, loss {loss:.4f} nats/token")
