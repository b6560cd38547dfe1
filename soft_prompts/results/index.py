"""Which results are where, when there are a hundred thousand? A row a file in sqlite: a file is read, and checked
against the schema, when it is new or has changed; else its row is taken.

The index is a cache, in the cache folder of this package: where it cannot be written or is damaged, one in memory takes
its place. A row says what a result is about, never what it found: whoever needs that reads the file.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.common.cache import cache_folder
from soft_prompts.common.errors import InputError
from soft_prompts.results.files import json_files, read_result
from soft_prompts.results.schema import SCHEMA_VERSION, Result

LAYOUT = f"2-{SCHEMA_VERSION}"  # rows of another layout or schema are made anew
ROWS_AT_ONCE = 500
WORTH_KEEPING = 1000  # files: fewer are read in a second or two
TABLE = """
create table if not exists files (
    path text primary key, stamp integer, size integer, problem text, experiment text, variant text, data text,
    model text, role text, fingerprint text, metrics text
) without rowid
"""
FOUND = "create temp table found (place integer primary key, path text unique)"


class Task(NamedTuple):
    """What curves share that are held against each other."""

    experiment: str
    variant: str | None
    data: str


class Index:
    """Results among files and folders, task by task."""

    def __init__(self, paths: Sequence[Path], place: Path | None = None) -> None:
        """`place`: of the index; default: of many files one a set of paths, in the cache folder."""
        self.problems: list[str] = []
        files = [path for named in paths for path in json_files(named, self.problems)]
        if place is None and len(files) >= WORTH_KEEPING:
            place = _place_of(paths)
        self.rows = _opened(place)
        self._look(files)

    def tasks(self) -> list[Task]:
        """In order of experiment, variant and data."""
        asked = "select distinct experiment, variant, data from found join files using (path) where problem is null"
        return [Task(*row) for row in self.rows.execute(f"{asked} order by experiment, ifnull(variant, ''), data")]

    def paths(self, task: Task) -> list[Path]:
        """Results of a task, in the order in which they are found."""
        asked = "experiment = ? and variant is ? and data = ? and problem is null order by place"
        return self._paths(asked, tuple(task))

    def of_role(self, role: str, fingerprints: Iterable[str | None]) -> list[Path]:
        """Results with a role, of models with one of these fingerprints."""
        marks = set(fingerprints)
        asked = "select path, fingerprint from found join files using (path) where role = ? and problem is null"
        return [Path(path) for path, mark in self.rows.execute(f"{asked} order by place", (role,)) if mark in marks]

    def is_as_read(self, path: Path) -> bool:
        """Has the file not changed since it was checked?"""
        known = self.rows.execute("select stamp, size from files where path = ?", (str(path),)).fetchone()
        return known is not None and known[0] != 0 and known == _stamp(path)

    def count(self, beside: bool = False) -> int:
        """How many results there are, or how many of them are no runs."""
        where = "and role != 'run'" if beside else ""
        asked = f"select count(*) from found join files using (path) where problem is null {where}"
        return self.rows.execute(asked).fetchone()[0]

    def models(self) -> list[str]:
        """Of runs."""
        asked = "select distinct model from found join files using (path) where problem is null and role = 'run'"
        return [model for (model,) in self.rows.execute(f"{asked} order by model")]

    def metrics(self) -> list[str]:
        """Names of all that runs measure."""
        asked = "select distinct metrics from found join files using (path) where problem is null and role = 'run'"
        return sorted({name for (names,) in self.rows.execute(asked) for name in json.loads(names)})

    def _paths(self, where: str, values: tuple[Any, ...]) -> list[Path]:
        asked = f"select path from found join files using (path) where {where}"
        return [Path(path) for (path,) in self.rows.execute(asked, values)]

    def _look(self, files: Sequence[Path]) -> None:
        """At every file; those that a folder names twice count once."""
        self.rows.execute(FOUND)
        news, seen = list[tuple[Any, ...]](), set[str]()
        for path in files:
            if (key := os.path.realpath(path)) in seen:
                continue
            seen.add(key)
            self.rows.execute("insert into found (path) values (?)", (str(path),))
            if (row := self._new_row(path)) is not None:
                news.append(row)
            if len(news) >= ROWS_AT_ONCE:
                self._keep(news)
        self._keep(news)
        asked = "select problem from found join files using (path) where problem is not null order by place"
        self.problems = list(dict.fromkeys([*self.problems, *(line for (line,) in self.rows.execute(asked))]))

    def _new_row(self, path: Path) -> tuple[Any, ...] | None:
        """Of a file that has none, or has changed since."""
        stamp, size = _stamp(path)
        known = self.rows.execute("select stamp, size from files where path = ?", (str(path),)).fetchone()
        if stamp and known == (stamp, size):
            return None
        try:
            return (str(path), stamp, size, None, *_facts(read_result(path)))
        except InputError as error:
            return (str(path), stamp, size, str(error), *[None] * 7)

    def _keep(self, news: list[tuple[Any, ...]]) -> None:
        self.rows.executemany(f"insert or replace into files values ({', '.join('?' * 11)})", news)
        with suppress(sqlite3.OperationalError):  # another command writes: its rows are as good
            self.rows.commit()
        news.clear()


def _facts(result: Result) -> tuple[Any, ...]:
    about = result.experiment, result.variant, result.data.name, result.model.name, result.role
    return *about, result.model.fingerprint, json.dumps(sorted(result.metrics))


def _stamp(path: Path) -> tuple[int, int]:
    """When the file was written, and its size; zeros where nobody knows."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _place_of(paths: Sequence[Path]) -> Path:
    named = json.dumps([os.getcwd(), *map(str, paths)])  # rows name files as they are named on the command line
    return cache_folder() / "results" / f"{hashlib.sha256(named.encode()).hexdigest()[:16]}-{LAYOUT}.sqlite"


def _opened(place: Path | None) -> sqlite3.Connection:
    """The index on the disk, or one in memory where that cannot be or is not asked for."""
    with suppress(OSError, sqlite3.Error):
        if place is None:
            raise FileNotFoundError
        place.parent.mkdir(parents=True, exist_ok=True)
        rows = sqlite3.connect(place, timeout=1.0)
        try:
            rows.execute("pragma temp_store = memory")
            rows.execute(TABLE)
            rows.execute("select count(path), max(metrics) from files").fetchone()
            rows.execute("begin immediate")  # can it be written?
            rows.rollback()
            return rows
        except sqlite3.Error:
            rows.close()
    rows = sqlite3.connect(":memory:")
    rows.execute(TABLE)
    return rows
