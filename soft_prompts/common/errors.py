"""How can a run end badly, and which exit code says so?

Every error that a user can cause is one of these; its message is one line: what was given, what is allowed, what to do.
The command line prints that line and exits with `exit_code` (docs/architecture.md, "Exit codes").
"""

import errno
from difflib import get_close_matches

LONGEST = 200  # characters of what somebody else's error says
FULL = (errno.ENOSPC, errno.EDQUOT)  # what a system says of a disk without room


class UsageError(ValueError):
    """A flag or setting is wrong."""

    exit_code = 2


class InputError(ValueError):
    """Data or a model is missing or unusable."""

    exit_code = 3


class Interrupted(Exception):
    """Stopped by a signal after the last whole step was published, or left alone by another process of the launch; the
    same command resumes."""

    exit_code = 4


def goes_on(fresh: bool) -> str:
    """What to do after a stop; --fresh would forget what was done."""
    return f"the same command {'without --fresh ' if fresh else ''}goes on from there"


class OutOfRoom(Exception):
    """Disk or memory is full: nothing is lost, the same command resumes when there is room."""

    exit_code = 75


def first_line(error: object) -> str:
    """The first line that somebody else's error says something in, or its class; never one that breaks off at a colon.

    A line that ends in a colon is followed by what it announces.
    """
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    last = next((place for place, line in enumerate(lines) if not line.endswith(":")), len(lines) - 1)
    found = " ".join(lines[: last + 1])[:LONGEST].rstrip(" ,;:")
    return found or type(error).__name__


def near_match(name: str, known: list[str]) -> str:
    """`(did you mean 'x'?) ` for the closest known name, or nothing."""
    close = get_close_matches(name, known, n=1)
    return f"(did you mean '{close[0]}'?) " if close else ""
