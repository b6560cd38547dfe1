"""Does the index of very many results say what reading them all says, whatever became of its file?"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.analysis.by_task import read_by_task
from soft_prompts.analysis.readings import Asked, read_all
from soft_prompts.common.cache import VARIABLE
from soft_prompts.common.errors import UsageError
from soft_prompts.report.terminal.command import CompareOptions, compare_command
from soft_prompts.results import index as indexed
from soft_prompts.results.files import find_results
from soft_prompts.results.index import Index, Task
from tests.checks.made.stored_results import save_flat, save_skill

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
ASKED = Asked(None, 100, False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tasks, three models, and two files that are no results."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(indexed, "WORTH_KEEPING", 1)
    outcomes = {0: [(2.0, 0.0)], 1: [(2.0, 0.9), (2.0, 0.95), (2.0, 1.0)]}
    for variant in ("a", "b"):
        for model in ("one", "two"):
            save_skill(tmp_path / "results", outcomes, model=model, variant=variant)
    save_flat(tmp_path / "results", {0: 2.0, 4: 1.5}, model="three", variant="b")
    (tmp_path / "results" / "broken.json").write_text("{")
    (tmp_path / "results" / "foreign.json").write_text('{"a": 1}')
    return tmp_path / "results"


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that an index reads from now on."""
    read, real = list[Path](), indexed.read_result
    monkeypatch.setattr(indexed, "read_result", lambda path: (read.append(path), real(path))[1])
    return read


def test_what_is_read_once_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, found = counted(monkeypatch), find_results([folder])
    first = Index([folder])
    assert len(read) == len(found.results) + 2
    assert first.problems == found.problems
    assert (first.count(), first.models()) == (len(found.results), ["one", "three", "two"])
    assert [(task.variant, len(first.paths(task))) for task in first.tasks()] == [
        (variant, sum(result.variant == variant for _, result in found.results)) for variant in ("a", "b")
    ]
    every = [path for task in first.tasks() for path in first.paths(task)]
    assert sorted(every) == sorted(path for path, _ in found.results)
    read.clear()
    again = Index([folder])
    assert read == []
    assert again.problems == found.problems
    changed = every[0]
    changed.write_text("{}")
    every[1].unlink()
    assert len(Index([folder]).problems) == 3
    assert read == [changed]
    assert every[1] not in Index([folder]).paths(first.tasks()[0])
    os.utime(every[2])
    Index([folder])
    assert read == [changed, every[2]]


@pytest.mark.parametrize("what", ["junk", "a folder", "another table", "read-only", "locked"])
def test_an_index_that_cannot_be_used_is_made_in_memory(
    what: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "index.sqlite"
    held: Any = None
    if what == "junk":
        place.write_bytes(os.urandom(5000))
    elif what == "a folder":
        place.mkdir()
    elif what == "another table":
        sqlite3.connect(place).execute("create table files (a)").connection.commit()
    elif what == "read-only":
        monkeypatch.setattr(indexed, "_place_of", lambda _: Path("/proc/nowhere/x"))
        place = None
    else:
        Index([folder], place)
        held = sqlite3.connect(place, isolation_level=None)
        held.execute("begin exclusive")
    found = Index([folder], place)
    assert found.count() == len(find_results([folder]).results)
    assert found.tasks()[0] == Task("chess", "a", found.tasks()[0].data)


def test_few_files_leave_nothing_behind(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed, "WORTH_KEEPING", 1000)
    assert Index([folder]).count()
    assert not (tmp_path / "cache").exists()


def test_a_file_that_two_folders_name_counts_once(folder: Path) -> None:
    assert Index([folder, folder / "chess", folder]).count() == Index([folder]).count()


@pytest.mark.parametrize("which", ["made", "reference"])
def test_task_by_task_is_all_at_once(which: str, folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word what the command prints when everything is read at once."""
    paths = (folder,) if which == "made" else (REFERENCE / "completion", REFERENCE / "pathfinding-4x4")
    every, parts = read_all(paths, draws=100), read_by_task(paths, None, ASKED)
    assert [one.verdict for one in parts.readings] == [one.verdict for one in every.readings]
    assert [one.contrasts for one in parts.readings] == [one.contrasts for one in every.readings]
    assert (parts.problems, parts.warnings) == (every.problems, every.warnings)
    for options in (CompareOptions(paths, draws=100), CompareOptions(paths, draws=100, brief=True)):
        compare_command(options)
        said = capsys.readouterr()
        with monkeypatch.context() as patched:
            patched.setattr("soft_prompts.report.terminal.command._read", lambda _: every)
            compare_command(options)
        assert capsys.readouterr() == said


def test_a_metric_or_model_that_no_result_has(folder: Path) -> None:
    with pytest.raises(UsageError, match="did you mean loss_per_move"):
        read_by_task([folder], "loss_per_mve", ASKED)
    with pytest.raises(UsageError, match="give one of one, three, two"):
        read_by_task([folder], None, ASKED._replace(reference="four"))


def test_a_file_that_changes_in_the_middle_is_named(
    folder: Path, save_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Index.paths

    def paths(self: Index, task: Task) -> list[Path]:
        found = real(self, task)
        found[0].write_text("torn")
        return found

    monkeypatch.setattr(Index, "paths", paths)
    problems = read_by_task([folder], None, ASKED).problems
    assert len(problems) == 4  # one a task
