"""How does a command speak to a person? Flags from dataclasses, every error one line on stderr, and an exit code that
scripts can use."""

import contextlib
import io
import os
import re
import select
import shlex
import shutil
import sys
import textwrap
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import tyro

from soft_prompts.common.console import let_go, unheard
from soft_prompts.common.errors import FULL, Interrupted, OutOfRoom, UsageError
from soft_prompts.common.urls import refuse_urls
from soft_prompts.common.wrong_flags import COLOUR, ELSEWHERE, given_twice, one_line

MOST_COLUMNS = 80
INTERNAL = 70  # exit code of an error that is nobody's input: as of sysexits.h
STREAMS = 3  # numbers 0, 1 and 2 are theirs
HOME = re.compile(r"~[\w.-]*(/.*)?", re.DOTALL)  # how a path in a home folder begins, one's own or another's
COMMAND = "SOFT_PROMPTS_COMMAND"  # among a process's variables, which those that it starts get too


def parse(kind: Any, arguments: Sequence[str], program: str, description: str, **options: Any) -> Any:
    """tyro's reading of the arguments; raises UsageError with its message in one line, help still exits with 0."""
    if (twice := given_twice(arguments)) is not None:  # tyro keeps the last, and forgets the others' values
        raise UsageError(f"{twice} is given twice; give it once, with all its values behind it")
    arguments = [_at_home(word) for word in arguments]
    caught, page = io.StringIO(), _Page()
    try:
        with contextlib.redirect_stderr(caught), contextlib.redirect_stdout(page), _columns(_help_columns()):
            read = tyro.cli(kind, args=list(arguments), prog=program, description=description, **options)
    except SystemExit as stop:
        if not stop.code:
            text = page.getvalue()
            sys.stdout.write(_wrapped(text) if {"-h", "--help"} & set(arguments) else text)
            raise
        ours = _usage_error_behind(stop)
        raise ours or UsageError(_wrong(kind, arguments, program, caught.getvalue())) from None
    refuse_urls(read)
    return read


def _at_home(word: str) -> str:
    """`--out=~/x` with the home folder in it, as a shell writes it into `--out ~/x` and not behind a sign."""
    flag, sign, value = word.partition("=")
    return f"{flag}={os.path.expanduser(value)}" if sign and HOME.fullmatch(value) and flag.startswith("--") else word


def _wrong(kind: Any, arguments: Sequence[str], program: str, box: str) -> str:
    """In one line. Of a subcommand it is what its own flags say: tyro proposes those of all."""
    given = arguments[0] if arguments else ""
    own = _subcommands(kind).get(given)
    if own is None:
        return one_line(box, arguments, program)
    program = f"{program} {given}"
    line = one_line(box, arguments, program)
    if ELSEWHERE in line:
        return line
    caught = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(caught), _columns(_help_columns()):
        tyro.cli(own, args=list(arguments[1:]), prog=program)
    return one_line(caught.getvalue() or box, arguments, program)


def _subcommands(kind: Any) -> dict[str, Any]:
    """Name -> what is read of its flags, of a union of them."""
    marked = [(part, getattr(part, "__metadata__", ())) for part in get_args(kind)]
    return {mark.name: get_args(part)[0] for part, marks in marked for mark in marks if hasattr(mark, "name")}


class _Page(io.StringIO):
    """Keeps what is printed, and is stdout itself for who asks what that can show: colours, boxes."""

    def __init__(self) -> None:
        super().__init__()
        self._stream = sys.stdout

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()


def _help_columns() -> int:
    return min(shutil.get_terminal_size().columns, MOST_COLUMNS)


@contextlib.contextmanager
def _columns(columns: int) -> Iterator[None]:
    """tyro draws its boxes as wide as the terminal, which this variable tells it."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(columns)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        os.environ |= {} if before is None else {"COLUMNS": before}


def _wrapped(page: str) -> str:
    """tyro wraps what is in boxes, and leaves usage and description to the terminal."""
    columns = _help_columns()
    lines = [line if len(COLOUR.sub("", line)) <= columns else _folded(line, columns) for line in page.splitlines()]
    return "\n".join([*lines, ""])


def _folded(line: str, columns: int) -> str:
    if line.startswith("usage"):
        return textwrap.fill(line.replace(",", ", "), columns, subsequent_indent="  ", break_on_hyphens=False)
    return textwrap.fill(line, columns, break_on_hyphens=False)


def started_as() -> str:
    """How this program was started, as it is typed: `python -m tests.chess_test`, or `python mine.py`."""
    spec = sys.modules["__main__"].__spec__
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else f"python {sys.argv[0]}"


@contextlib.contextmanager
def made_by(program: str, arguments: Sequence[str]) -> Iterator[None]:
    """Within, `command_line` says what was typed, here and in every process that is started from here."""
    os.environ[COMMAND] = " ".join([program, *map(shlex.quote, arguments)])
    try:
        yield
    finally:
        os.environ.pop(COMMAND, None)


def command_line() -> str | None:
    """The command that this process works for, quoted for a shell; None under Python alone."""
    return os.environ.get(COMMAND)


def _usage_error_behind(stop: BaseException) -> UsageError | None:
    """Our own error, if that is why tyro stopped: it frames what a dataclass raises and forgets the class.

    A setting is named as a flag is typed: `steps is 0` becomes `--steps is 0`.
    """
    cause: BaseException | None = stop
    while cause is not None and not isinstance(cause, UsageError):
        cause = cause.__cause__ or cause.__context__
    return cause and UsageError(re.sub(r"^(?=[a-z][a-z-]* (is|holds) )", "--", str(cause)))


@dataclass
class Ending:
    """How a command ended."""

    exit_code: int = 0


@contextlib.contextmanager
def guarded(debug: bool = False) -> Iterator[Ending]:
    """Around a command: an error that has an exit code of its own becomes that code and a line on
    stderr (docs/architecture.md, "Exit codes"). All that was printed has been written when it ends; a reader that
    wanted no more, as `head`, is no error."""
    _refuse_closed_stdout()
    with unheard():
        yield from _guarded(debug)


def _guarded(debug: bool) -> Iterator[Ending]:
    ending = Ending()
    try:
        try:
            yield ending
        except SystemExit:  # after help
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from there", file=sys.stderr)
        ending.exit_code = Interrupted.exit_code
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _is_unread():
            ending.exit_code = 0
        else:
            ending.exit_code = _say_error(_out_of_room(error), debug)
    try:
        sys.stdout.flush()
    except OSError:
        let_go(sys.stdout)


def _refuse_closed_stdout() -> None:
    """At once, not when the work is done. A closed stream is none for Python, and its number goes to the next file that
    is opened, which would get what others write to the stream."""
    while (place := os.open(os.devnull, os.O_RDWR)) < STREAMS:
        os.set_inheritable(place, True)
    os.close(place)
    if sys.stderr is None:  # else what is said there would be printed
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:
        print("error: stdout is closed; lead it to a file, to a pipe or to /dev/null", file=sys.stderr)
        raise SystemExit(UsageError.exit_code)


def _is_unread() -> bool:
    """Has the reader of stdout gone? Else a pipe to another process broke."""
    asked = select.poll()
    asked.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in asked.poll(0))


def _out_of_room(error: Exception) -> Exception:
    """Whoever writes a file says which one it is: a full disk without a name is that behind stdout."""
    if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
        return OutOfRoom("the disk that this is written to is full; make room")
    return error


def _say_error(error: Exception, debug: bool) -> int:
    """The line on stderr, with the traceback where it is asked for; returns the exit code."""
    if debug:
        traceback.print_exc()
        print(getattr(error, "details", ""), file=sys.stderr, end="")
    code = getattr(error, "exit_code", None)
    if code is None and not debug:
        where = traceback.extract_tb(error.__traceback__)[-1]
        print(f"error: {type(error).__name__}: {_flat(error)} ({where.name}; --debug shows more)", file=sys.stderr)
        return INTERNAL
    print(f"error: {_flat(error)}", file=sys.stderr)
    return INTERNAL if code is None else code


def _flat(error: BaseException) -> str:
    return " ".join(str(error).split())


def value_of_flag(words: Sequence[str], flag: str) -> str | None:
    """What a flag of the command says; None where it is not there."""
    for place, word in enumerate(words):
        name, _, value = word.partition("=")
        if name.replace("_", "-") == flag:
            return value or (words[place + 1] if place + 1 < len(words) else None)
    return None


def without_flag(words: Sequence[str], flag: str) -> list[str]:
    """The command without a flag and its values."""
    return [word for word, is_taken in _marked(words, flag) if not is_taken]


def flag_with_values(words: Sequence[str], flag: str) -> list[str]:
    """A flag of the command and its values."""
    parts = [part for word, is_taken in _marked(words, flag) if is_taken for part in word.split("=", 1)]
    return [flag, *parts[1:]]


def _marked(words: Sequence[str], flag: str) -> list[tuple[str, bool]]:
    """Each word, and whether it is the flag or a value of it."""
    marked, is_taken = list[tuple[str, bool]](), False
    for word in words:
        if word.startswith("--"):
            is_taken = word.partition("=")[0].replace("_", "-") == flag
        marked.append((word, is_taken))
    return marked
