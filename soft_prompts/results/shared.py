"""What goes between a store and the working copy of it on this disk? All code reads and writes the copy, as any folder;
a run's files are fetched before it looks for them, and published when they stand.

A result's JSON is created last, and the first one that is stays: who comes second is told, and keeps its own apart. A
state is put file by file, its manifest last. What was fetched is verified by whoever reads it, as everything is.
"""

import os
import shutil
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from soft_prompts.common.console import say
from soft_prompts.common.files import write_atomically, writing_to
from soft_prompts.common.urls import url_behind
from soft_prompts.results.claims import Claims
from soft_prompts.results.files import FACTS, BrokenResult, read_result
from soft_prompts.results.store import Store, open_store

PROMPT = ("prompt.safetensors", FACTS)
MANIFEST = "manifest.json"
KEPT = 2  # states, as on a disk
SECOND = "second"  # folder of results that another node was faster with
PATIENCE = 60.0  # seconds for somebody who is publishing the same run's result; their few objects take a few
POLL_SECONDS = 1.0


class Shared:
    """A store and its working copy. Files are named by their place in the copy; a run by its snapshot's folder."""

    def __init__(self, store: Store, copy: Path) -> None:
        self.store, self.copy, self.claims = store, copy, Claims(store, copy)

    def name(self, path: Path) -> str:
        """Of an object."""
        return path.relative_to(self.copy).as_posix()

    def fetch_run(self, result: Path, items: Path, snapshot: Path) -> None:
        """The result with its prompt, or else states that are not here; call it with the run claimed.

        The store is right: a result that stands here alone was never published, and is made again from its state.
        """
        content, there = self.store.read(self.name(result)), self.store.names(self.name(snapshot))
        for path in (items, *(snapshot / name for name in PROMPT)):
            self._mirror(path, content is not None)
        if content is None:
            result.unlink(missing_ok=True)
            self._fetch_states(snapshot / "state", there)
            return
        write_atomically(result, content)
        try:
            read_result(result)
        except BrokenResult as error:  # it is there that it has to be mended
            raise BrokenResult(str(error).replace(str(result), f"{self.store.url}/{self.name(result)}")) from error

    def fetch_results(self, results: Iterable[tuple[Path, Path]]) -> None:
        """Results and their items that are not here yet, to see what is there; nothing is replaced."""
        missing = {self.name(path): path for pair in results if not pair[0].is_file() for path in reversed(pair)}
        folders = {name.split("/")[1] for name in missing}
        there = {name for folder in folders for name in self.store.names(f"results/{folder}")}
        found = self.store.read_all(name for name in missing if name in there)
        for name in sorted(found, key=lambda name: name.endswith(".json")):  # the JSON last, as it is written
            write_atomically(missing[name], found[name])

    def publish_result(self, result: Path, items: Path, snapshot: Path) -> None:
        """All that belongs to a result that stands here."""
        name, content = self.name(result), result.read_bytes()
        before = [path for path in (items, *(snapshot / one for one in PROMPT)) if path.is_file()]
        if (self._may_publish(name, before) and self.store.create(name, content)) or self.store.read(name) == content:
            for path in before:  # another may have taken us for dead meanwhile, and put its own
                if self.store.read(self.name(path)) != path.read_bytes():
                    self.store.put(self.name(path), path.read_bytes())
            return
        kept = self.copy / SECOND
        for path in (*before, result):
            if path.is_file():
                with writing_to(kept):
                    (kept / self.name(path)).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(path, kept / self.name(path))
        say(f"{self.store.url}/{name}: another node was first, and its result counts; ours is kept in {kept}")
        self.fetch_run(result, items, snapshot)

    def publish_state(self, state: Path) -> None:
        """A state `step-N` that stands here, in place of one that stands there; older ones go when it is whole."""
        for path in sorted(state.iterdir(), key=lambda path: path.name == MANIFEST):
            self.store.put(self.name(path), path.read_bytes())
        there = _states(self.store.names(self.name(state.parent)))
        for _, names in sorted(there.items(), reverse=True)[KEPT:]:
            self.store.remove(sorted(names, key=lambda name: not name.endswith(MANIFEST)))  # first what makes it whole

    def forget(self, *paths: Path) -> None:
        """Objects, and all objects below folders; claims stay."""
        for path in paths:
            name, is_file = self.name(path), path.suffix in (".json", ".safetensors")
            below = [name] if is_file else self.store.names(name)
            self.store.remove(one for one in below if "/claim-" not in one)

    def _may_publish(self, name: str, before: list[Path]) -> bool:
        """Is there no result yet, and does what belongs to ours stand there now? Who creates the first of its files
        publishes; where somebody else did, and their result does not come, they died in between."""
        if self.store.read(name) is not None:
            return False
        for place, path in enumerate(before):
            own, content = self.name(path), path.read_bytes()
            if place == 0 and not self.store.create(own, content):
                until = time.monotonic() + PATIENCE
                while time.monotonic() < until:
                    if self.store.read(name) is not None:
                        return False
                    time.sleep(POLL_SECONDS)
            self.store.put(own, content)
        return True

    def _mirror(self, path: Path, is_wanted: bool) -> None:
        content = self.store.read(self.name(path)) if is_wanted else None
        if content is None:
            path.unlink(missing_ok=True)
        elif not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)

    def _fetch_states(self, folder: Path, there: Iterable[str]) -> None:
        """Each whole one that is not here, to its place at once; whether it is sound its reader looks."""
        for step, names in _states(there).items():
            place, whole = folder / f"step-{step}", folder / f".tmp-fetched-{step}"
            manifest = self.store.read(f"{self.name(place)}/{MANIFEST}")
            if manifest is None or (place.is_dir() and _content(place / MANIFEST) == manifest):
                continue
            found = self.store.read_all(names)
            with writing_to(folder):
                for name, content in found.items():
                    write_atomically(whole / name.rpartition("/")[2], content)
                shutil.rmtree(place, ignore_errors=True)
                whole.rename(place)


def shared_of(path: Path) -> Shared | None:
    """What the path is shared by, if it lies in a working copy. Raises UsageError where the store cannot be used."""
    behind = url_behind(path)
    return None if behind is None else _shared(*behind, os.getpid())


@cache
def _shared(url: str, copy: Path, process: int) -> Shared:
    return Shared(open_store(url), copy)


def _states(names: Iterable[str]) -> dict[int, list[str]]:
    """Names of objects by the step of their state."""
    found: dict[int, list[str]] = {}
    for name in names:
        folder = name.split("/")[-2]
        if folder.startswith("step-") and folder.removeprefix("step-").isdigit():
            found.setdefault(int(folder.removeprefix("step-")), []).append(name)
    return found


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
