"""How are the curves of very many results written? One after another; on the disk until all that is said of them is
known, so that nothing is printed by a command that fails, and no more than a task is in memory."""

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from soft_prompts.analysis.by_task import Tasks
from soft_prompts.analysis.contrasts import Families, Family
from soft_prompts.analysis.readings import Reading
from soft_prompts.common.errors import FULL, OutOfRoom
from soft_prompts.report.terminal.as_json import VERSION, as_json

AT_ONCE = 2**20  # characters
SIGNS = {"±": "+-", "·": "|"}
EMPTY = "[]\n}"  # the end of a document without a curve


def json_pieces(readings: Iterable[Reading], told: Tasks) -> Iterator[str]:
    """All that `compare --json` prints, as one document.

    Curves wait for the last one: p-values are adjusted for all tasks, and what stands first, warnings and problems, is
    `told` when no reading is left.
    """
    families = Families()
    with on_disk() as curves:
        with room_on_disk():
            for number, reading in enumerate(readings):
                families.add(number, reading)
                curves.write(json.dumps(as_json(reading), allow_nan=False) + "\n")
            curves.flush()
        found = families.holm()
        head = {"version": VERSION, "warnings": [*told.warnings], "problems": [*told.problems], "curves": []}
        yield _text(head).removesuffix(EMPTY)
        for number, line in enumerate(lines_of(curves)):
            values = json.loads(line)
            for one in values["contrasts"]:
                family = Family(values["model"], one["model"], values["prompt"], values["condition_mode"])
                one["adjusted"] = found.get(family, {}).get(str(number))
            yield (",\n    " if number else "[\n    ") + _text(values).replace("\n", "\n    ")
        yield "\n  ]\n}\n"


def _text(values: Any) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)


@contextmanager
def on_disk() -> Iterator[IO[str]]:
    """A file for text that is read when all of it stands, to be written within `room_on_disk`."""
    with room_on_disk():
        file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass", newline="")  # noqa: SIM115
    with file:
        yield file


@contextmanager
def room_on_disk() -> Iterator[None]:
    """Raises OutOfRoom where the disk of temporary files is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        where = tempfile.gettempdir()
        raise OutOfRoom(f"{where}: the disk is full; make room, or name another folder by TMPDIR") from error


def lines_of(file: IO[str]) -> Iterator[str]:
    """From the first one on."""
    file.seek(0)
    return iter(file)


def pieces_of(file: IO[str]) -> Iterator[str]:
    """All of it in turn."""
    file.seek(0)
    return iter(lambda: file.read(AT_ONCE), "")


def print_pieces(pieces: Callable[[], Iterable[str]]) -> None:
    """To stdout, in ASCII where it speaks nothing better: all of it, or none. `pieces` is asked twice."""
    encoding = sys.stdout.encoding or "utf-8"
    speaks = all(_encodes(piece, encoding) for piece in pieces())
    for piece in pieces():
        sys.stdout.write(piece if speaks else _plain(piece, encoding))
    sys.stdout.flush()


def _encodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _plain(text: str, encoding: str) -> str:
    for sign, plain in SIGNS.items():
        text = text.replace(sign, plain)
    return text.encode(encoding, "replace").decode(encoding)
