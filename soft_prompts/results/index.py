"""Which results are where, when there are a hundred thousand? A file is read, and checked against the schema, when it
is new or has changed; else what was kept of it is taken.

Of a file it is known what its result is about, never what was found: whoever needs that reads the file.
"""

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from soft_prompts.common.cache import cache_folder
from soft_prompts.common.errors import InputError
from soft_prompts.results.files import json_files, read_result, said_of
from soft_prompts.results.kept import About, Kept, Said, stamp_of
from soft_prompts.results.schema import SCHEMA_VERSION, Result

LAYOUT = f"4-{SCHEMA_VERSION}"  # rows of another layout or schema are made anew
WORTH_KEEPING = 1000  # files: fewer are read in a second or two


class Task(NamedTuple):
    """What curves share that are held against each other."""

    experiment: str
    variant: str | None
    data: str


class Index:
    """Results among files and folders, task by task."""

    def __init__(self, paths: Sequence[Path], place: Path | None = None) -> None:
        """`place`: where rows are kept; default: of many files one a set of paths, in the cache folder."""
        self.problems: list[str] = []
        files = [str(path) for named in paths for path in json_files(named, self.problems)]
        if place is None and len(files) >= WORTH_KEEPING:
            place = _place_of(paths)
        self.place = place
        self._known: dict[str, tuple[str, About]] = {}  # stamp and row, by path in the order in which they are found
        self._tasks: dict[Task, list[str]] = defaultdict(list)
        self._roles: dict[str, list[str]] = defaultdict(list)
        self._counts: Counter[About] = Counter()
        self._look(files)

    def tasks(self) -> list[Task]:
        """In order of experiment, variant and data."""
        return sorted(self._tasks, key=lambda task: (task.experiment, task.variant or "", task.data))

    def paths(self, task: Task) -> list[Path]:
        """Results of a task, in the order in which they are found."""
        return [Path(path) for path in self._tasks.get(task, [])]

    def of_role(self, role: str, fingerprints: Iterable[str | None]) -> list[Path]:
        """Results with a role, of models with one of these fingerprints."""
        marks = set(fingerprints)
        return [Path(path) for path in self._roles.get(role, []) if self._known[path][1].fingerprint in marks]

    def runs(self, metric: str | None) -> Iterator[tuple[Path, tuple[str, str | None, str, str]]]:
        """Of each run with the metric its experiment, variant, data and model."""
        for path, (_, about) in self._known.items():
            if about.role == "run" and (metric is None or metric in about.metrics):
                yield Path(path), (about.experiment, about.variant, about.data, about.model)

    def read(self, path: Path) -> Result:
        """Without the schema where the file has not changed since it was checked.

        Raises InputError where it is no result any more, or one about something else.
        """
        stamp, about = self._known[str(path)]
        try:
            result = read_result(path, checked=stamp != "" and stamp == stamp_of(path))
            if _about(result) != about:
                raise InputError(f"{path}: changed while it was read; give the same command again")
        except InputError:
            with Kept(self.place) as kept:
                kept.forget(str(path))
            raise
        return result

    def count(self, beside: bool = False) -> int:
        """How many results there are, or how many of them are no runs."""
        return sum(count for about, count in self._counts.items() if not beside or about.role != "run")

    def models(self) -> list[str]:
        """Of runs."""
        return sorted({about.model for about in self._counts if about.role == "run"})

    def metrics(self) -> list[str]:
        """Names of all that runs measure."""
        return sorted({name for about in self._counts if about.role == "run" for name in about.metrics})

    def _look(self, files: Sequence[str]) -> None:
        """At every file; those that a folder names twice count once."""
        seen, same = set[str](), dict[About, About]()
        with Kept(self.place) as kept:
            for path in files:
                if (key := os.path.realpath(path)) in seen:
                    continue
                seen.add(key)
                stamp = stamp_of(path)
                if (said := kept.said(path, stamp)) is None:
                    said = _read(path)
                    kept.add(path, stamp, said)
                if isinstance(said, str):
                    self.problems.append(said)
                else:  # thousands of files share a row: it is held once
                    self._enter(path, stamp, same.setdefault(said, said))
        self.problems = list(dict.fromkeys(self.problems))

    def _enter(self, path: str, stamp: str, about: About) -> None:
        self._known[path] = stamp, about
        self._tasks[Task(about.experiment, about.variant, about.data)].append(path)
        self._roles[about.role].append(path)
        self._counts[about] += 1


def _read(path: str) -> Said:
    try:
        return _about(read_result(path))
    except InputError as error:
        return said_of(error)


def _about(result: Result) -> About:
    about = result.experiment, result.variant, result.data.name, result.model.name, result.role
    return About(*about, result.model.fingerprint, tuple(sorted(result.metrics)))


def _place_of(paths: Sequence[Path]) -> Path:
    named = json.dumps([os.getcwd(), *map(str, paths)])  # rows name files as they are named on the command line
    return cache_folder() / "results" / f"{hashlib.sha256(named.encode()).hexdigest()[:16]}-{LAYOUT}.sqlite"
