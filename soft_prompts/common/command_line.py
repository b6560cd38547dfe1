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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tyro

from soft_prompts.common.console import let_go, unheard
from soft_prompts.common.errors import FULL, Interrupted, OutOfRoom, UsageError
from soft_prompts.common.urls import refuse_urls

MOST_COLUMNS = 80
INTERNAL = 70  # exit code of an error that is nobody's input: as of sysexits.h
STREAMS = 3  # numbers 0, 1 and 2 are theirs
COMMAND = "SOFT_PROMPTS_COMMAND"  # among a process's variables, which those that it starts get too
BOX = re.compile(r"[╭╮╰╯─│┌┐└┘━┃]+|^\s*[+|]-*|-*[+|]\s*$|-{5,}")  # drawn in ASCII where stdout speaks nothing better
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
FLAG = re.compile(r"--?[a-zA-Z][\w-]*")


def parse(kind: Any, arguments: Sequence[str], program: str, description: str, **options: Any) -> Any:
    """tyro's reading of the arguments; raises UsageError with its message in one line, help still exits with 0."""
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
        raise ours or UsageError(one_line(caught.getvalue(), arguments, program)) from None
    refuse_urls(read)
    return read


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


def one_line(box: str, arguments: Sequence[str] = (), program: str = "") -> str:
    """What the box of an error says, in our own form: the flag, what was given, what is allowed."""
    lines = [" ".join(BOX.sub(" ", COLOUR.sub("", line)).split()) for line in box.splitlines()]
    text = " ".join(line for line in lines if line)
    asked = re.search(r"For full helptext, (?:run|see):? (.+?)(?: --help)?$", text)
    see = f"see {asked[1] if asked else program} --help"
    text = text.split(" For full helptext")[0]
    for pattern, form in FORMS:
        if found := re.search(pattern, text):
            return f"{form(found, arguments, text)}; {see}"
    return f"{text or 'these flags cannot be read'}; {see}"


def _unrecognised(found: re.Match[str], arguments: Sequence[str], text: str) -> str:
    words = re.split(r",? ", found[1].strip())
    flag = next((word for word in words if word.startswith("-")), None)
    near = re.search(r"(?:Perhaps you meant|Arguments similar to " + re.escape(flag or "") + r"): (--[\w-]+)", text)
    commands = re.search(r"Available subcommands: ([\w, -]+?)(?: Perhaps|$)", text)
    if commands:
        known = commands[1].split(", ")
        return f"{words[0]} is no command{_did_you_mean(words[0], known)}; give one of {', '.join(known)}"
    if flag is None:
        return f"{words[0]} is not expected here: a value follows its flag"
    if near and near[1] == flag:  # of other commands: to propose it would be to repeat what was typed
        homes = dict.fromkeys(home.split(" ", 1)[-1] for home in re.findall(r"\) in ([\w. -]+?) --help", text))
        return f"{flag} is no flag here" + (f": it belongs to {', '.join(homes)}" if homes else "")
    return f"{flag} is no flag" + (f" (did you mean {near[1]}?)" if near else "")


def _unreadable(found: re.Match[str], arguments: Sequence[str], text: str) -> str:
    flag = found[1]
    shapes = r"(\{.*?\}\|[A-Z]+|\[.*?\]\]|[A-Z]+\|\{.*?\}|[A-Z]+)"  # {None}|INT, [INT [INT ...]], INT|{off}, INT
    metavar = re.search(rf"Argument helptext: {re.escape(flag)} {shapes}", text)
    allowed = KINDS.get(metavar[1] if metavar else "", metavar[1] if metavar else "another value")
    return f"{flag} is {_given(flag, arguments)}; give {allowed}"


def _no_choice(found: re.Match[str], arguments: Sequence[str], text: str) -> str:
    value, flag, known = found[1], found[2], re.findall(r"'([^']*)'", found[3])
    return f"{flag} is {value}{_did_you_mean(value, known)}; give one of {', '.join(known)}"


def _missing(found: re.Match[str], arguments: Sequence[str], text: str) -> str:
    flags = re.findall(r"(?:^|\) )(--[\w-]+|[A-Z]{2,})(?= )", found[1])
    return f"{' and '.join(flags) or found[1]} {'are' if len(flags) > 1 else 'is'} missing"


# What tyro says, and how we say it: a pattern of its words, and the words that take their place.
FORMS: tuple[tuple[str, Callable[[re.Match[str], Sequence[str], str], str]], ...] = (
    (r"Unrecognized or misplaced options: (\S+)", _unrecognised),
    (r"Unrecognized options: (.+?)(?= Available subcommands| Perhaps you| Arguments similar|$)", _unrecognised),
    (r"invalid choice '(.*?)' for argument '(.*?)'\. Expected one of \((.*?)\)", _no_choice),
    (r"Error parsing (--[\w-]+): ", _unreadable),
    (r"Missing value for argument '(.*?)'", lambda found, *_: f"{found[1]} lacks a value after it"),
    (r"Missing from .*?: (.*)", _missing),
    (r"Expected one of \{(.*?)\}", lambda found, *_: f"a command is missing; give one of {found[1]}"),
)
KINDS = {
    "INT": "a whole number",
    "FLOAT": "a number",
    "[INT [INT ...]]": "whole numbers",
    "{None}|INT": "a whole number or None",
    "{None}|FLOAT": "a number or None",
    "INT|{auto,off}": "a whole number, auto or off",
}


def _given(flag: str, arguments: Sequence[str]) -> str:
    """The words that the user put behind a flag."""
    for place, argument in enumerate(arguments):
        name, equals, value = argument.replace("_", "-").partition("=")
        if name == flag and equals:
            return argument.partition("=")[2] or value
        if name == flag:
            behind = list(arguments[place + 1 :])
            ends = [index for index, word in enumerate(behind) if FLAG.fullmatch(word)]
            return " ".join(behind[: ends[0] if ends else None])
    return "unreadable"


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


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
