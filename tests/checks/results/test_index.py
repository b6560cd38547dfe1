"""Does the index of very many results say what reading them all says, whatever became of its file?"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.analysis.by_task import Tasks, collected_whole, read_by_task
from soft_prompts.analysis.readings import Asked, Readings, read_all
from soft_prompts.common.cache import VARIABLE
from soft_prompts.common.errors import UsageError
from soft_prompts.report import crowd
from soft_prompts.report.figures.plots import write_figure
from soft_prompts.report.page.command import ReportOptions, report_command
from soft_prompts.report.page.document import document, rendered
from soft_prompts.report.terminal.as_json import VERSION, as_json
from soft_prompts.report.terminal.command import CompareOptions, compare_command
from soft_prompts.results import index as indexed
from soft_prompts.results import kept
from soft_prompts.results.files import BrokenResult, find_results, read_result
from soft_prompts.results.index import Index, Task
from tests.checks.made.at_once import give
from tests.checks.made.stored_results import save_flat, save_skill

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
ASKED = Asked(None, 100, False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tasks, three models, and two files that are no results."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(indexed, "WORTH_KEEPING", 1)
    monkeypatch.setattr(kept, "SETTLED", 0)
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
    monkeypatch.setattr(indexed, "read_result", lambda path: (read.append(Path(path)), real(path))[1])
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


@pytest.mark.parametrize("what", ["junk", "a folder", "another table", "nowhere", "locked"])
def test_an_index_that_cannot_be_used_is_no_hindrance(
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
    elif what == "nowhere":
        monkeypatch.setattr(indexed, "_place_of", lambda _: Path("/proc/nowhere/x"))
        place = None
    else:
        Index([folder], place)
        held = sqlite3.connect(place, isolation_level=None)
        held.execute("begin exclusive")
    found = Index([folder], place)
    assert found.count() == len(find_results([folder]).results)
    assert found.tasks()[0] == Task("chess", "a", found.tasks()[0].data)
    if what in ("junk", "another table"):  # it was made anew
        read = counted(monkeypatch)
        Index([folder], place)
        assert read == []


AGAIN = """
import os, sys
from pathlib import Path
from soft_prompts.results import index, kept
index.ROWS_AT_ONCE = kept.ROWS_AT_ONCE = 2
kept.SETTLED = 0
for _ in range(4):
    found = index.Index([Path(sys.argv[1])], Path(sys.argv[2]))
    print(found.count(), len(found.tasks()), len(found.problems))
    for path in Path(sys.argv[1]).rglob("*.json"):
        os.utime(path)
"""


def test_commands_at_once_share_an_index(folder: Path, tmp_path: Path) -> None:
    """Each finds all, and none dies, while every row is written anew again and again."""
    command = [sys.executable, "-c", AGAIN, str(folder), str(tmp_path / "index.sqlite")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=120) for process in running]
    results = len(find_results([folder]).results)
    assert said == [(f"{results} 2 2\n" * 4, "")] * 3


@pytest.mark.parametrize("what", ["begin exclusive", "alter table files rename to a", "update files set said = 'x'"])
def test_an_index_that_fails_half_way_is_no_hindrance(
    what: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, place = find_results([folder]), tmp_path / "index.sqlite"
    Index([folder], place)
    os.utime(every.results[2][0])
    other, real = sqlite3.connect(place, isolation_level=None), indexed.read_result
    done = list[str]()

    def read(path: str | Path) -> Any:
        if what not in done:
            done.append(what)
            other.execute(what)
        return real(path)

    monkeypatch.setattr(indexed, "read_result", read)
    monkeypatch.setattr(kept, "PATIENCE", 0.1)
    found = Index([folder], place)
    assert (found.count(), found.problems) == (len(every.results), every.problems)
    other.close()


@pytest.fixture
def as_anybody() -> Iterator[Path]:
    """A folder that its user cannot write: root is another one for a while, whom permissions bind."""
    place = Path(tempfile.mkdtemp())
    (place / "results").mkdir()
    place.chmod(0o755)
    yield place
    os.seteuid(os.getuid())
    for folder in (place, place / "results"):
        folder.chmod(0o755)
    shutil.rmtree(place)


@pytest.mark.parametrize("was_there", [True, False])
def test_a_cache_that_is_read_only(
    was_there: bool, folder: Path, as_anybody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds is taken, and nothing else happens."""
    stored, place = as_anybody / "stored", as_anybody / "results" / "index.sqlite"
    shutil.copytree(folder, stored)
    for path in (stored, *stored.rglob("*")):
        path.chmod(0o755)
    if was_there:
        Index([stored], place)
        os.utime(next(stored.rglob("run-0000.json")))
    results = find_results([stored])
    for path in (*place.parent.iterdir(), place.parent):
        path.chmod(0o555)
    if os.getuid() == 0:
        os.seteuid(65534)
    read = counted(monkeypatch)
    found = Index([stored], place)
    assert (found.count(), found.problems) == (len(results.results), results.problems)
    assert len(read) == (1 if was_there else len(results.results) + 2)
    assert place.exists() == was_there


def test_few_files_leave_nothing_behind(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed, "WORTH_KEEPING", 1000)
    assert Index([folder]).count()
    assert not (tmp_path / "cache").exists()


def test_a_file_that_two_folders_name_counts_once(folder: Path) -> None:
    assert Index([folder, folder / "chess", folder]).count() == Index([folder]).count()


def rewritten(path: Path, old: bytes, new: bytes) -> None:
    """In place, with the size and the time of writing that it had."""
    was = path.stat()
    path.write_bytes(path.read_bytes().replace(old, new))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (was.st_size, was.st_mtime_ns)


def hardly_utf8(folder: Path) -> None:
    """A file's name in Latin-1, a broken one's too, and a model's with half of a pair."""
    one = folder / "chess" / "b" / "three" / "run-0000.json"
    for name in (one.name, "run-0000.items.safetensors"):
        os.rename(one.with_name(name), os.fsencode(one.parent) + b"/\xe9" + os.fsencode(name))
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.json")).write_text("{")
    for path in (folder / "chess" / "a" / "two").glob("*.json"):
        path.write_bytes(path.read_bytes().replace(b'"name": "two"', rb'"name": "tw\udcff"'))


def at_once(every: Readings) -> str:
    """What `compare --json` prints, written in one go."""
    told = {"version": VERSION, "warnings": list(every.warnings), "problems": list(every.problems)}
    curves = [as_json(reading) for reading in every.readings]
    return json.dumps(told | {"curves": curves}, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("which", ["made", "rewritten", "hardly UTF-8", "reference"])
def test_task_by_task_is_all_at_once(which: str, folder: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word what the command prints when everything is read at once."""
    paths = (REFERENCE / "completion", REFERENCE / "pathfinding-4x4") if which == "reference" else (folder,)
    Index(paths)
    if which == "rewritten":
        for path in (folder / "chess" / "a" / "one").glob("*.json"):
            rewritten(path, b'"variant": "a"', b'"variant": "b"')
        rewritten(folder / "chess" / "a" / "two" / "run-0000.json", b'"tokens": 0', b'"tokems": 0')
    elif which == "hardly UTF-8":
        hardly_utf8(folder)
        Index(paths)
    every, parts = read_all(paths, draws=100), read_by_task(paths, None, ASKED)
    assert [one.verdict for one in parts.readings] == [one.verdict for one in every.readings]
    assert [one.contrasts for one in parts.readings] == [one.contrasts for one in every.readings]
    assert (parts.problems, parts.warnings) == (every.problems, every.warnings)
    assert len(every.problems) == {"made": 2, "reference": 0}.get(which, 3)
    forms: list[dict[str, Any]] = [{}, {"brief": True}, {"long": True}, {"units": True}, {"json": True}]
    forms += [{"csv": "points"}, {"csv": "curves"}]
    for options in (CompareOptions(paths, draws=100, **form) for form in forms):
        compare_command(options)
        said = capfd.readouterr()
        with monkeypatch.context() as patched:
            give(every, patched)
            compare_command(options)
        assert capfd.readouterr() == said
        if options.json and which != "hardly UTF-8":  # what cannot be encoded is written as a question mark
            assert said.out == at_once(every)


@pytest.mark.parametrize("which", ["made", "reference"])
def test_a_page_and_a_figure_task_by_task_are_those_of_all_at_once(which: str, folder: Path, tmp_path: Path) -> None:
    """Byte for byte, and without the settings that most of a result's room is for."""
    paths = (REFERENCE / "pathfinding-4x4", REFERENCE / "repetition-1-token") if which == "reference" else (folder,)
    every, page, drawn = read_all(paths, draws=100), tmp_path / "page.html", tmp_path / "drawn.svg"
    report_command(ReportOptions(paths, page, draws=100))
    assert page.read_text("utf-8") == rendered(document(every, tmp_path))
    write_figure(every.readings, tmp_path / "at-once.svg")
    for form in ({}, {"long": True}, {"json": True}):
        compare_command(CompareOptions(paths, draws=100, plot=drawn, **form))
        assert drawn.read_bytes() == (tmp_path / "at-once.svg").read_bytes()
        drawn.unlink()
    shorter = collected_whole(Tasks(paths, None, ASKED, texts=True)).results
    assert {run.path for run in shorter} == {run.path for run in every.results}
    assert not any(run.result.config for run in shorter)
    texts = [sum(bool(run.result.generations) for run in some) for some in (shorter, every.results)]
    assert texts[0] < texts[1] or which == "made"


def test_more_curves_than_anybody_looks_at_are_refused_with_what_shows_some(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any is read, with the largest folder that is not too large."""
    monkeypatch.setattr(crowd, "MOST", 3)
    monkeypatch.setattr(Tasks, "parts", None)
    some = folder / "chess" / "b"
    instead = rf"5 curves are too many for a page, which has room for 3: `soft-prompts report {some} --out p.html "
    with pytest.raises(UsageError, match=instead + "--metric loss_per_move` has 3 of them"):
        report_command(ReportOptions((folder,), Path("p.html"), metric="loss_per_move"))
    with pytest.raises(
        UsageError, match=rf"for a figure, .*`soft-prompts compare {some} --long --plot x.png` has 3 of them"
    ):
        compare_command(CompareOptions((folder,), plot=Path("x.png"), long=True))
    monkeypatch.setattr(crowd, "MOST", 0)
    with pytest.raises(
        UsageError, match=f"has room for 0: give fewer, and `soft-prompts compare {folder} --csv curves`"
    ):
        report_command(ReportOptions((folder,), tmp_path / "page.html"))


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


def test_a_row_that_is_not_of_its_file_is_found_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system whose stamps do not tell."""
    monkeypatch.setattr(indexed, "stamp_of", lambda _: "same")
    before = read_by_task([folder], None, ASKED)
    moved, torn = sorted((folder / "chess" / "a" / "two").glob("run-*.json"))[:2]
    rewritten(moved, b'"variant": "a"', b'"variant": "b"')
    rewritten(torn, b'"metrics"', b'"matrics"')
    named = set(read_by_task([folder], None, ASKED).problems) - set(before.problems)
    assert {line.split(":")[0] for line in named} == {str(moved), str(torn)}
    found, every = read_by_task([folder], None, ASKED), read_all([folder], draws=100)
    assert [one.verdict for one in found.readings] == [one.verdict for one in every.readings]
    assert set(found.problems) == set(every.problems)


def test_what_is_no_result_is_said_even_where_it_was_one(folder: Path) -> None:
    for text in ('{"schema_version": 1}', "[]", '{"schema_version": 1, "prompt": 1}', "null"):
        (folder / "was.json").write_text(text)
        with pytest.raises(BrokenResult):
            read_result(folder / "was.json", checked=True)


def test_a_file_that_was_just_written_is_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of a file system may not have ticked between two versions."""
    monkeypatch.setattr(kept, "SETTLED", 3600 * 10**9)
    Index([folder])
    read = counted(monkeypatch)
    Index([folder])
    assert len(read) == len(find_results([folder]).results) + 2
