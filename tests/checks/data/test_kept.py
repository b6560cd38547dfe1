"""Is a source read once by a process, as long as it stays the same?"""

import time
from pathlib import Path

import pytest

from soft_prompts.common.errors import InputError
from soft_prompts.data import completions, kept
from soft_prompts.data.completions import RowSource, split_rows
from soft_prompts.data.kept import Kept, content_of
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.tasks.task import DataRequest
from tests.benchmarks.random_games import movetext, pgn, random_line

LINES = "".join(f'{{"prompt": "ask {n} :", "completion": " {n}", "size": {n}}}\n' for n in range(80))


class Counted:
    """How often a function of a module is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> None:
        self.calls = 0
        self._function = getattr(module, name)
        monkeypatch.setattr(module, name, self)

    def __call__(self, *arguments: object) -> object:
        self.calls += 1
        return self._function(*arguments)


def settled(path: Path, content: str | bytes) -> Path:
    """A file that was written a while ago."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    time.sleep(2 * kept.TICK_NS / 10**9)
    return path


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path, made, box = settled(tmp_path / "a", "one"), list[str](), Kept(2)

    def read() -> str:
        made.append(path.read_text())
        return made[-1]

    assert [box.get("a", [path], read) for _ in range(3)] == ["one"] * 3
    assert made == ["one"]
    settled(path, "two")
    assert box.get("a", [path], read) == "two"
    path.write_text("now")  # within a tick of the clock it may change once more: it is not kept
    assert [box.get("a", [path], read) for _ in range(2)] == ["now"] * 2
    assert made == ["one", "two", "now", "now"]


def test_a_file_just_written_is_not_kept_however_long_it_takes_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock stands while nothing is read, and goes a minute on with each reading."""
    path, made, box = tmp_path / "a", list[str](), Kept(2)
    path.write_text("one")
    clock = [path.stat().st_ctime_ns]
    monkeypatch.setattr(kept.time, "time_ns", lambda: clock[0])

    def read() -> str:
        made.append(path.read_text())
        clock[0] += 60 * 10**9
        return made[-1]

    assert box.get("a", [path], read) == "one"
    assert box.get("a", [path], read) == "one"  # a minute later it is settled, and kept from then on
    assert box.get("a", [path], read) == "one"
    assert made == ["one", "one"]


def test_the_one_that_was_asked_for_longest_ago_goes_first() -> None:
    made, box = list[int](), Kept(2)
    for key in (1, 2, 1, 3, 1, 2):
        assert box.get(key, [], lambda key=key: made.append(key) or key) == key
    assert made == [1, 2, 3, 2]


def test_an_error_is_not_kept_and_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere cannot be read"):
        content_of([tmp_path / "nowhere"])
    assert content_of([settled(tmp_path / "nowhere", "x")])


def test_a_grid_of_completion_runs_reads_its_file_once(
    tmp_path: Path, one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = settled(tmp_path / "rows.jsonl", LINES)
    parses = Counted(monkeypatch, completions, "_raw_rows")
    hashes = Counted(monkeypatch, kept, "fingerprint_files")
    task = CompletionTask(condition_fields=("size",))
    for seed in range(8):
        request = DataRequest(str(data), None, 64, 4, 4, seed=seed)
        task.fingerprint(request)
        task.conditions_of(request)
        opened = task.open(request, one_frozen.tokenizer)
        assert len(opened.held_out("test")) == 4
    assert (parses.calls, hashes.calls) == (1, 1)
    settled(data, LINES.replace("ask", "say"))
    assert split_rows(RowSource(str(data)), None).rows["train"][0].prompt.startswith("say")
    assert parses.calls == 2


def test_a_grid_of_chess_runs_looks_for_its_held_out_games_once(
    tmp_path: Path, one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    games = b"".join(pgn(movetext(random_line(seed, 6).san)) for seed in range(120))
    data = settled(tmp_path / "games.pgn", games)
    scans = Counted(monkeypatch, __import__("soft_prompts.data.games.held_out", fromlist=["_scan"]), "_scan")
    for seed in range(8):
        request = DataRequest(str(data), None, 64, 2, 3, seed=seed)
        assert len(ChessTask(max_plies=4).open(request, one_frozen.tokenizer).held_out("test")) == 3
    assert scans.calls == 1
