"""What does a person see while runs go on? A bar on a terminal, plain lines elsewhere; all of it on stderr, each line
once, whichever of a command's processes has it to say."""

import hashlib
import logging
import math
import multiprocessing
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from soft_prompts.common.launch import is_main_process

FIRST_ESTIMATE = 5  # steps until the time to go is worth saying
LINES = 5  # progress lines of a run without a terminal
SAID = "SOFT_PROMPTS_SAID"  # names the folder that holds a mark for each line that a command's processes have said


def say(text: str) -> None:
    """One line on stderr; of the processes of a launch the first one speaks."""
    if _first_to_say(text):
        print(text, file=sys.stderr, flush=True)


def say_at_once(text: str) -> None:
    """One line on stderr from within a signal's handler, where no lock and no buffer may stand in the way."""
    if is_main_process():
        os.write(2, f"{chr(10) * os.isatty(2)}{text}\n".encode())  # below the ^C and the bar


def duration(seconds: float) -> str:
    """For people: `40 s`, `6 minutes`, `3 hours`."""
    for least, length, name in ((5400, 3600, "hours"), (90, 60, "minutes")):
        if seconds >= least:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"


@contextmanager
def each_line_once() -> Iterator[None]:
    """Within, no line and no library's warning is said twice, here or in processes that are started from here, and
    nothing ends because nobody listens."""
    with unheard(), _marks(), _warnings_once(), _log_lines_once():
        yield


@contextmanager
def unheard() -> Iterator[None]:
    """Within, a stderr that takes no more, as where its reader has gone, is no error."""
    with redirect_stderr(_Forgiving(sys.stderr)):
        yield


def let_go(stream: Any) -> None:
    """What could not be written is not tried again when Python goes down, which would say so, and end with a code of
    its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Forgiving:
    """A stream; what it cannot write is lost, and all that follows."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """The letters that were given."""
        with self._losing():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As far as it goes."""
        with self._losing():
            self._stream.flush()

    @contextmanager
    def _losing(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            let_go(self._stream)


@contextmanager
def _marks() -> Iterator[None]:
    if SAID in os.environ:  # of a caller, or of the process that started this one
        yield
        return
    with tempfile.TemporaryDirectory(prefix="soft-prompts-said-", ignore_cleanup_errors=True) as folder:
        os.environ[SAID] = folder
        try:
            yield
        finally:
            del os.environ[SAID]


@contextmanager
def _warnings_once() -> Iterator[None]:
    """Python's own filter knows one process, and forgets when a library changes filters."""
    real = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if _first_to_say(f"{category.__name__}: {message}"):
            real(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = real


@contextmanager
def _log_lines_once() -> Iterator[None]:
    """Loggers of libraries that are imported later count too."""
    real = logging.Logger.callHandlers

    def call(self: logging.Logger, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING or _first_to_say(f"{record.name}: {record.getMessage()}"):
            real(self, record)

    logging.Logger.callHandlers = call
    try:
        yield
    finally:
        logging.Logger.callHandlers = real


def _first_to_say(text: str) -> bool:
    """Leave a mark, which one process alone can make; without a folder for marks every line is the first."""
    if not is_main_process():
        return False
    if SAID not in os.environ:
        return True
    mark = os.path.join(os.environ[SAID], hashlib.sha256(text.encode("utf-8", "replace")).hexdigest())
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    except OSError:  # no room for a mark: better said twice than not at all
        return True
    return True


class StepProgress:
    """Progress of one run's steps; a context manager. `grid` says where the run stands among others; without it the
    bar has the run's title."""

    def __init__(self, title: str, steps: int, quiet: bool = False, grid: Callable[[], str] | None = None) -> None:
        self.title, self.steps, self.quiet = title, steps, quiet
        self.name = grid or (lambda: title)
        console = Console(stderr=True)
        columns: Any = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
        )
        alone = multiprocessing.parent_process() is None  # runs side by side would draw over each other's bars
        drawn = console.is_terminal and alone and not quiet
        self.bar = Progress(*columns, console=console, transient=True) if drawn else None
        self.task = self.bar.add_task(self.name(), total=steps, loss="") if self.bar else None

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
            self.bar.update(self.task, completed=done, description=self.name(), loss=f"{loss:.4f} nats/token")
        elif done == self.steps or done % math.ceil(self.steps / LINES) == 0:
            say(f"{self.title}: step {done}/{self.steps}, loss {loss:.4f} nats/token")
