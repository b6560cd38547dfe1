"""Does what lies behind a URL hold what was put there, whole and once, and is what cannot be used said in a line?"""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from soft_prompts.common.cache import VARIABLE
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.common.urls import on_disk, url_behind, url_of
from soft_prompts.results import store as stores
from soft_prompts.results.store import Store, open_store
from tests.checks.made.hostile_store import register


@pytest.fixture(params=["memory", "file", "hostile"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(stores, "PAUSE", 0.0)
    register()
    root = {"memory": f"memory://{tmp_path.name}", "file": f"file://{tmp_path}", "hostile": f"hostile:/{tmp_path}"}
    return Store(f"{root[request.param]}/bucket")


def test_objects_are_put_read_listed_and_removed(store: Store) -> None:
    assert (store.read("a/b.json"), store.names(), store.names("a")) == (None, {}, {})
    store.put("a/b.json", b"one")
    store.put("a/b.json", b"two")
    store.put("c.json", b"three")
    assert list(store.names()) == ["a/b.json", "c.json"]
    assert list(store.names("a")) == list(store.names("a/b.json")) == ["a/b.json"]
    assert store.read_all(["a/b.json", "c.json", "gone"]) == {"a/b.json": b"two", "c.json": b"three"}
    store.remove(["a/b.json", "gone"])
    assert list(store.names()) == ["c.json"]


def test_of_several_that_create_one_is_told_so(store: Store) -> None:
    for trial in range(20):
        told: list[bool] = []
        started = threading.Barrier(4)

        def create(word: bytes, name: str = f"{trial}", told: Any = told, started: Any = started) -> None:
            started.wait()
            told.append(store.create(name, word))

        workers = [threading.Thread(target=create, args=(f"worker {number}".encode(),)) for number in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert sorted(told) == [False, False, False, True]
    assert store.create("0", store.read("0") or b"")  # whose content it is, is told so again


def test_a_store_without_creation_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", AbstractFileSystem.pipe_file)
    plain = Store("memory://plain")
    plain.try_out()
    assert "this store cannot refuse to create what is there" in " ".join(capsys.readouterr().err.split())
    assert (plain.exclusive, plain.create("x", b"1"), plain.create("x", b"2")) == (False, True, False)


def test_a_store_with_creation_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    good = Store("memory://good")
    good.try_out()
    assert (good.exclusive, good.names(), capsys.readouterr().err) == (True, {}, "")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nope://bucket/x", "nope is no protocol of fsspec; give s3://, gs:// or a folder"),
        ("gs://bucket/x", "needs a package that is not installed: pip install gcsfs"),
        ("sftp://me:secret@host/x", "a URL with a password in it would stand in every result"),
        ("file:///proc/x", "nothing can be written there, give another --output-dir"),
    ],
)
def test_what_cannot_be_used_is_said(url: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.setattr(stores, "PAUSE", 0.0)
    with pytest.raises(UsageError, match=words) as caught:
        open_store(url)
    assert "\n" not in str(caught.value)


def test_what_stays_silent_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any, **__: Any) -> None:
        raise TimeoutError("no answer\nfor long")

    monkeypatch.setattr(stores, "PAUSE", 0.0)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", silent)
    with pytest.raises(InputError, match="memory://silent: TimeoutError: no answer for long"):
        Store("memory://silent").read("x")


def test_no_permission_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refused)
    with pytest.raises(UsageError, match="memory://locked: no permission: Access Denied; nothing can be written there"):
        open_store("memory://locked")


def test_names_that_lead_out_are_passed_over() -> None:
    bad = Store("memory://bad")
    for name in ("../out.json", "a/../../out.json", ".hidden/x.json", "good.json"):
        MemoryFileSystem.store[f"/bad/{name}"] = MemoryFileSystem().open("/one", "wb")
    assert list(bad.names()) == ["good.json"]


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("s3://bucket/x/", "s3://bucket/x"),
        ("GS://Bucket", "gs://Bucket"),
        ("file:///tmp/x", "file:///tmp/x"),
        ("C:/x", None),
        ("/tmp/x", None),
        ("out", None),
    ],
)
def test_a_url_is_known_from_its_path(typed: str, url: str | None, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    path = Path(typed)
    assert url_of(path) == url
    copy = on_disk(path)
    assert url_behind(copy / "results" / "x.json") == (None if url is None else (url, copy))
    assert copy == (path if url is None else copy)


@pytest.mark.parametrize("typed", ["runs:", "memory://", "s3://", "zip://a.zip::s3://b/x", "simplecache::s3://b/x"])
def test_what_is_half_a_url_or_two_is_refused_before_anything_is_made(typed: str) -> None:
    with pytest.raises(UsageError, match=r"nothing behind it|one URL in another"):
        url_of(Path(typed))
    assert url_of(Path("/tmp/runs:/x")) is None


def test_nothing_is_loaded_before_a_url_is_given() -> None:
    code = "import soft_prompts.commands.main, soft_prompts.results.shared, sys; sys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "."}).returncode == 0
