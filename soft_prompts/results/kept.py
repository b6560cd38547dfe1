"""What was known of a file the last time? Rows in sqlite, by the path of a file and the stamp that it had.

It is a cache: what cannot be read, written or locked in time is left alone for the rest of a command, what is damaged
is made anew, and no error leaves this module. Commands that run at once share it: each statement stands alone, and
rows are written in one short transaction.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROWS_AT_ONCE = 500
PATIENCE = 2.0  # seconds for another command's transaction
SETTLED = 2 * 10**9  # ns; a file may be written twice within one tick of its file system's clock
TABLE = "create table if not exists files (path blob primary key, stamp text, said blob) without rowid"
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)  # the last: not our table


class About(NamedTuple):
    """What a result is about, never what it found."""

    experiment: str
    variant: str | None
    data: str
    model: str
    role: str
    fingerprint: str | None
    metrics: tuple[str, ...]


Said = About | str
"""Of a result, or the line that says why a file is none."""


class Kept:
    """Rows on the disk; at no place there are none."""

    def __init__(self, place: Path | None) -> None:
        self.place = place
        self.rows: sqlite3.Connection | None = None
        self.news: list[tuple[bytes, str, bytes]] = []
        with self._whatever_happens():
            self._open()

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        self._close()

    def said(self, path: str, stamp: str) -> Said | None:
        """What was added for the file when it had this very stamp."""
        said = None
        with self._whatever_happens():
            if self.rows is not None and stamp:
                asked = "select said from files where path = ? and stamp = ?"
                row = self.rows.execute(asked, (os.fsencode(path), stamp)).fetchone()
                said = None if row is None else _parsed(row[0])
        return said

    def add(self, path: str, stamp: str, said: Said) -> None:
        """To be written with others; without a stamp nobody could tell whether it still holds."""
        if self.rows is not None and stamp:
            self.news.append((os.fsencode(path), stamp, json.dumps(said).encode()))
        if len(self.news) >= ROWS_AT_ONCE:
            self._write()

    def forget(self, path: str) -> None:
        """The row was wrong."""
        with self._whatever_happens():
            if self.rows is not None:
                self.rows.execute("delete from files where path = ?", (os.fsencode(path),))

    def _write(self) -> None:
        with self._whatever_happens():
            if self.rows is not None and self.news:
                with self.rows:  # commits, or rolls back what was broken off
                    self.rows.execute("begin immediate")
                    self.rows.executemany("insert or replace into files values (?, ?, ?)", self.news)
        self.news.clear()

    def _open(self) -> None:
        if self.place is None:
            return
        self.place.parent.mkdir(parents=True, exist_ok=True)
        self.rows = sqlite3.connect(self.place, timeout=PATIENCE, isolation_level=None)
        self.rows.execute(TABLE)
        self.rows.execute("select path, stamp, said from files limit 1").fetchone()

    def _close(self) -> None:
        if self.rows is not None:
            self.rows.close()
        self.rows = None

    @contextmanager
    def _whatever_happens(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, ValueError, TypeError, LookupError) as error:
            self._close()
            if self.place is not None and _is_damage(error):
                with suppress(OSError, sqlite3.Error):
                    self.place.unlink()
                    self.place.with_name(f"{self.place.name}-journal").unlink(missing_ok=True)
                    self._open()


def stamp_of(path: str | os.PathLike[str]) -> str:
    """It changes whenever the file does; empty where that is not certain: the file is not there, or too new."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < SETTLED:
        return ""
    return f"{found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino} {found.st_size}"


def _parsed(said: bytes | str) -> Said:
    """Raises ValueError, TypeError or LookupError for what was not written here."""
    value = json.loads(said)
    return value if isinstance(value, str) else About._make((*value[:-1], tuple(value[-1])))


def _is_damage(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED
    return not isinstance(error, OSError)
