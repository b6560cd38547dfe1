"""Of two nodes that share nothing but a store: who is at a run, whose result counts, and does the other have it?

By default the store is a folder that answers badly. `STORE_URL=s3://bucket python -m pytest ...` asks a real one.
"""

import json
import multiprocessing
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.common.cache import VARIABLE
from soft_prompts.common.urls import on_disk
from soft_prompts.report.terminal.command import CompareOptions, compare_command
from soft_prompts.results import claims, shared, store
from soft_prompts.results.files import BrokenResult, find_results, items_path, write_result
from soft_prompts.results.shared import Shared, shared_of
from tests.checks.made.disturbances import count_fault
from tests.checks.made.hostile_store import register
from tests.checks.made.results import build_items, build_result

RUN = "chess/games/model/direct-4t-s0-1"
RACES = 20


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bad store."""
    register()
    monkeypatch.setattr(store, "PAUSE", 0.0)
    monkeypatch.setattr(shared, "POLL_SECONDS", 0.01)
    return Path(os.environ.get("STORE_URL", f"hostile:/{tmp_path}/bucket"), secrets.token_hex(4))


@pytest.fixture
def node(url: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Shared]:
    """What a node has of the store, each in a cache of its own."""

    def made(name: str) -> Shared:
        monkeypatch.setenv(VARIABLE, str(tmp_path / name))
        found = shared_of(on_disk(url) / "results" / f"{RUN}.json")
        assert found is not None
        return found

    return made


def places(one: Shared, run: str = RUN) -> tuple[Path, Path, Path]:
    result = one.copy / "results" / f"{run}.json"
    return result, items_path(result), one.copy / "snapshots" / run


def make(one: Shared, value: float, run: str = RUN) -> None:
    """A run's files on this node alone, all of which say the same number."""
    result, _, snapshot = places(one, run)
    write_result(result, build_result(value=value), build_items([value, value]))
    snapshot.mkdir(parents=True, exist_ok=True)
    for name in shared.PROMPT:
        (snapshot / name).write_text(str(value))


def files_of(one: Shared, run: str = RUN) -> list[Path]:
    result, items, snapshot = places(one, run)
    return [result, items, *(snapshot / name for name in shared.PROMPT)]


def content(one: Shared, run: str = RUN) -> list[bytes]:
    return [path.read_bytes() for path in files_of(one, run)]


def race(act: Callable[[int, int], object]) -> None:
    """Two processes call it with their number and that of the trial, each trial as much at once as can be."""
    together, children = multiprocessing.Barrier(2), []
    for number in range(2):
        if (child := os.fork()) == 0:
            code = 1
            try:
                for trial in range(RACES):
                    together.wait(60)
                    act(number, trial)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]


def test_what_is_published_is_fetched(node: Callable[[str], Shared]) -> None:
    first, second = node("a"), node("b")
    make(first, 1.0)
    first.publish_result(*places(first))
    second.fetch_run(*places(second))
    assert content(second) == content(first)
    first.publish_result(*places(first))  # again: it is its own
    assert not (first.copy / shared.SECOND).exists()
    second.forget(*places(second))
    first.fetch_run(*places(first))
    assert not any(path.exists() for path in places(first)[:2])


@pytest.mark.usefixtures("url")
def test_the_second_is_told_and_keeps_its_own(node: Callable[[str], Shared], capsys: Any) -> None:
    first, second = node("a"), node("b")
    make(first, 1.0)
    make(second, 2.0)
    own = content(second)
    first.publish_result(*places(first))
    second.publish_result(*places(second))
    said = " ".join(capsys.readouterr().err.split())
    assert "another node was first, and its result counts; ours is kept in" in said
    assert content(second) == content(first)
    kept = second.copy / shared.SECOND
    assert (kept / "results" / f"{RUN}.json").read_bytes() == own[0]
    assert (kept / "snapshots" / RUN / "prompt.json").read_bytes() == own[3]


def test_of_two_that_publish_at_once_one_counts(
    node: Callable[[str], Shared], record_property: Callable[[str, object], None]
) -> None:
    """A store that answers slowly, and with errors after it has done what it was told."""
    nodes, runs = [node(name) for name in "ab"], [f"{RUN}{trial}" for trial in range(RACES)]
    for number, one in enumerate(nodes):
        for run in runs:
            make(one, 1.0 + number, run)
    written = [[content(one, run) for one in nodes] for run in runs]
    race(lambda number, trial: node("ab"[number]).publish_result(*places(nodes[number], runs[trial])))
    outcomes = []
    for run, both in zip(runs, written, strict=True):
        lost = [(one.copy / shared.SECOND / "results" / f"{run}.json").is_file() for one in nodes]
        winner, there = (
            both[lost.index(False)],
            [nodes[0].store.read(nodes[0].name(path)) for path in files_of(nodes[0], run)],
        )
        outcomes.append(sum(lost) == 1 and there == winner and all(content(one, run) == winner for one in nodes))
    count_fault(record_property, "two nodes without a shared disk publish one run at once", outcomes)


@pytest.mark.parametrize("dead", [False, True])
def test_of_two_that_begin_a_run_one_gets_it(
    dead: bool, node: Callable[[str], Shared], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """One that nobody is at, or one whose worker died."""
    nodes, runs = [node(name) for name in "ab"], [f"snapshots/{trial}" for trial in range(RACES)]
    old = {"copy": "c", "holder": "process 1 on c", "renewed": time.time() - 2 * claims.EXPIRES}
    for run in runs if dead else ():
        nodes[0].store.put(f"{run}/claim-0.json", json.dumps(old).encode())

    def take(number: int, trial: int) -> None:
        if node("ab"[number]).claims.take(runs[trial]) is None:
            (tmp_path / f"{trial}-{number}").touch()

    race(take)
    what = "two nodes without a shared disk begin one run at once" + (", whose worker died" if dead else "")
    count_fault(record_property, what, [len(list(tmp_path.glob(f"{trial}-*"))) == 1 for trial in range(RACES)])


def test_a_claim_is_renewed_released_and_expires(node: Callable[[str], Shared], monkeypatch: Any) -> None:
    first, second, run = node("a"), node("b"), f"snapshots/{RUN}"
    monkeypatch.setattr(claims, "BEAT", 0.02)
    monkeypatch.setattr(claims, "EXPIRES", 1.0)
    assert first.claims.take(run) is None
    assert first.claims.take(run) is None  # of this very copy: a process of it that was killed
    time.sleep(1.2)
    assert second.claims.is_others(run)  # renewed
    assert str(os.getpid()) in (second.claims.take(run) or "")
    first.claims.held.clear()  # the worker is dead, and nobody renews it
    time.sleep(1.2)
    assert not second.claims.is_others(run)
    assert second.claims.take(run) is None
    assert list(second.store.names(run)) == [f"{run}/claim-1.json"]
    assert first.claims.take(run) is not None
    second.claims.release(run)
    assert first.claims.take(run) is None
    first.claims.release(run)
    assert second.store.names() == {}


def test_a_claim_that_goes_while_it_is_looked_at_lets_one_in(node: Callable[[str], Shared], monkeypatch: Any) -> None:
    """Between the second's list and its read the first stops and a third begins."""
    first, second, third, run = node("a"), node("b"), node("c"), f"snapshots/{RUN}"
    assert first.claims.take(run) is None
    read, between = second.store.read, [True]

    def interrupted(name: str) -> bytes | None:
        if between:
            between.clear()
            first.claims.release(run)
            assert third.claims.take(run) is None
        return read(name)

    monkeypatch.setattr(second.store, "read", interrupted)
    assert second.claims.take(run) is not None
    assert list(third.store.names(run)) == [f"{run}/{third.claims.held[run].rpartition('/')[2]}"]
    third.claims.release(run)


def test_of_two_claims_of_unlike_numbers_the_later_is_given_up(node: Callable[[str], Shared], monkeypatch: Any) -> None:
    """The second saw a dead claim that has long been followed and released; meanwhile the first has begun anew."""
    first, second, run = node("a"), node("b"), f"snapshots/{RUN}"
    assert first.claims.take(run) is None
    monkeypatch.setattr(second.claims, "_newest", lambda run: claims.Claim(4, "somebody", "dead", 0.0))
    assert second.claims.take(run) == "another node"
    assert list(first.store.names(run)) == [f"{run}/claim-0.json"]


def test_a_claim_that_is_being_written_is_read_again(node: Callable[[str], Shared], monkeypatch: Any) -> None:
    """On stores that do not put objects whole; one that stays unreadable holds nothing up."""
    first, second, run = node("a"), node("b"), f"snapshots/{RUN}"
    monkeypatch.setattr(claims, "READ_AGAIN", 0.01)
    assert first.claims.take(run) is None
    whole, answers = second.store.read(f"{run}/claim-0.json"), [b"", b'{"copy"']
    monkeypatch.setattr(second.store, "read", lambda name: answers.pop(0) if answers else whole)
    assert second.claims.is_others(run)
    monkeypatch.setattr(second.store, "read", lambda name: b"{")
    assert not second.claims.is_others(run)


def test_who_publishes_puts_back_what_another_put_meanwhile(node: Callable[[str], Shared], monkeypatch: Any) -> None:
    """The first fell silent between its items and its JSON, and the second took it for dead."""
    first, second = node("a"), node("b")
    for one, value in ((first, 1.0), (second, 2.0)):
        make(one, value)
    own = content(first)
    may = first._may_publish

    def silent(name: str, before: list[Path]) -> bool:
        answer = may(name, before)
        for path in before:
            second.store.put(first.name(path), (second.copy / first.name(path)).read_bytes())
        return answer

    monkeypatch.setattr(first, "_may_publish", silent)
    first.publish_result(*places(first))
    second.fetch_run(*places(second))
    assert content(second) == own


def test_states_replace_each_other_and_are_fetched_whole(node: Callable[[str], Shared]) -> None:
    first, second = node("a"), node("b")
    for step in (2, 4, 6):
        state = places(first)[2] / "state" / f"step-{step}"
        state.mkdir(parents=True)
        for name in ("state.safetensors", "state.json", shared.MANIFEST):
            (state / name).write_text(f"{name} {step}")
        first.publish_state(state)
    folder = places(second)[2] / "state"
    second.store.remove([f"{second.name(folder)}/step-6/{shared.MANIFEST}"])  # its writer was killed before it came
    second.fetch_run(*places(second))
    assert sorted(path.name for path in folder.iterdir()) == ["step-4"]
    assert (folder / "step-4" / "state.json").read_text() == "state.json 4"


def test_a_broken_result_is_named_by_its_url(node: Callable[[str], Shared], url: Path) -> None:
    one = node("a")
    one.store.put(f"results/{RUN}.json", b"{")
    with pytest.raises(BrokenResult, match=f"[a-z0-9]+://.*/results/{RUN}.json: broken or truncated JSON"):
        one.fetch_run(*places(one))


def test_results_behind_a_url_are_compared(
    save_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those in a folder; what is removed there is gone here."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    folder, url = tmp_path / "results", Path(f"file://{tmp_path}")
    paths = [save_run(build_items([2.0 - tokens / 8] * 4), tokens=tokens) for tokens in (0, 4)]
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "no-result.json").write_text("{}")
    assert compare_command(CompareOptions((folder,))) == 0
    here = capsys.readouterr()
    for place in (url, Path(f"file://{folder}")):
        assert compare_command(CompareOptions((place,))) == 0
        assert capsys.readouterr() == here
    assert len(find_results([Path(f"file://{paths[0]}")]).results) == 1
    for path in (items_path(paths[0]), paths[0]):
        path.unlink()
    assert len(find_results([Path(f"file://{folder}")]).results) == 1
    nowhere = f"file://{tmp_path}/nope"
    assert find_results([Path(nowhere)]).problems == [f"{nowhere}: no such file or folder"]
