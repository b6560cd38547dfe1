"""How are results read that lie behind a URL? What changed since the last time is fetched to a folder in the cache, and
read there as any folder is."""

import os
from pathlib import Path

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.common.files import write_atomically
from soft_prompts.common.urls import on_disk, url_of
from soft_prompts.results.paths import RESERVED
from soft_prompts.results.store import Stamp, open_store

NO_RESULTS = ("snapshots", "runs")  # among what lies below an output folder


def results_on_disk(named: Path) -> Path:
    """The path itself, or what a URL's results were fetched to; only what changed since the last time is fetched.

    Raises UsageError where the URL cannot be used, InputError where the store does not answer.
    """
    if (url := url_of(named)) is None:
        return named
    if named.suffix == ".json":
        folder, only = on_disk(named.parent, "views"), {named.name, f"{named.stem}.items.safetensors"}
        store = open_store(url.rpartition("/")[0], writes=False)
    else:
        folder, only, store = on_disk(named, "views"), None, open_store(url, writes=False)
    try:
        there = {name: stamp for name, stamp in store.names().items() if _is_of_results(name, only)}
    except InputError as error:
        raise UsageError(str(error)) from error
    for path in folder.rglob("[!.]*.*") if only is None else ():
        if path.is_file() and path.relative_to(folder).as_posix() not in there:
            path.unlink(missing_ok=True)
    changed = [name for name, stamp in there.items() if not _is_same(folder / name, stamp)]
    for name, content in store.read_all(changed).items():
        write_atomically(folder / name, content)
        os.utime(folder / name, (there[name].modified, there[name].modified))
    return folder / named.name if only else folder


def _is_same(path: Path, stamp: Stamp) -> bool:
    """By size and time, as rsync has it."""
    try:
        found = path.stat()
    except OSError:
        return False
    return (found.st_size, round(found.st_mtime, 3)) == (stamp[0], round(stamp[1], 3)) and stamp[1] > 0


def _is_of_results(name: str, only: set[str] | None) -> bool:
    parts = name.split("/")
    if only is not None:
        return name in only
    is_file_of_one = name.endswith((".json", ".items.safetensors"))
    return is_file_of_one and parts[0] not in NO_RESULTS and not RESERVED & set(parts)
