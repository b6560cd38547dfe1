"""What can be done with the objects behind a URL? Few things, by fsspec, and each so that a store which answers slowly,
twice or with an error now and then neither loses an object nor doubles one.

An object is put whole. fsspec is loaded where a URL is used, never before.
"""

import multiprocessing
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError, OutOfRoom, UsageError
from soft_prompts.common.files import create_atomically, write_atomically
from soft_prompts.common.launch import is_main_process

T = TypeVar("T")
TRIES = 5
PAUSE = 0.5  # seconds before the second try, and twice as long before each that follows: 7.5 in all
AT_ONCE = 200  # objects that are asked for together
MODIFIED = ("LastModified", "mtime", "updated", "last_modified", "created")  # what file systems call it
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
}


class Stamp(NamedTuple):
    """What says that an object is still the same."""

    size: int
    modified: float
    """Seconds; 0 where the store does not say."""


class Store:
    """Objects below a URL, by names like `results/NAME/x.json`. What goes wrong is an InputError in one line."""

    def __init__(self, url: str) -> None:
        """Raises UsageError for a protocol that is unknown or whose package is missing; asks the store nothing."""
        self.url, self.files = url, _file_system(url)
        self.base = str(self.files._strip_protocol(url)).rstrip("/")
        self.exclusive = True

    def read(self, name: str) -> bytes | None:
        """An object's content; None where there is none."""
        try:
            return self._asked(name, lambda: self.files.cat_file(self._path(name)))
        except FileNotFoundError:
            return None

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Contents by name, many at once; what is gone is left out."""
        wanted, found = list(names), dict[str, bytes]()
        for first in range(0, len(wanted), AT_ONCE):
            paths = {self._path(name): name for name in wanted[first : first + AT_ONCE]}
            got = self._asked("", lambda paths=paths: self.files.cat([*paths], on_error="return"))
            for path, name in paths.items():
                content = got.get(path)
                content = content if isinstance(content, bytes) else self.read(name)
                found |= {} if content is None else {name: content}
        return found

    def names(self, folder: str = "") -> dict[str, Stamp]:
        """Every object below a folder, hidden ones left out."""
        self.files.invalidate_cache()  # another node may just have put one
        try:
            found: Mapping[str, Any] = self._asked(folder, lambda: self.files.find(self._path(folder), detail=True))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        cut = len(self.base) + 1
        return {path[cut:]: _stamp(info) for path, info in sorted(found.items()) if _is_plain(path[cut:])}

    def put(self, name: str, payload: bytes) -> None:
        """The object is there with its old or its new content, never with a part."""
        self._written(name, lambda: self._put(self._path(name), payload))

    def create(self, name: str, payload: bytes) -> bool:
        """Put an object where there is none: of several that try, one is told True.

        It is told so, too, where its first try was answered with an error and had been done all the same.
        """
        try:
            self._written(name, lambda: self._create(self._path(name), payload))
        except FileExistsError:
            return self.read(name) == payload
        return True

    def remove(self, names: Iterable[str]) -> None:
        """What is gone already is no error."""
        for name in names:
            try:
                self._asked(name, lambda name=name: self.files.rm_file(self._path(name)))
            except FileNotFoundError:
                continue

    def try_out(self) -> None:
        """Write an object and remove it, before any work is done: raises UsageError where that cannot be. Finds out,
        and says, whether the store refuses to create what is there."""
        name = f".soft_prompts/{secrets.token_hex(8)}"
        self.exclusive = _has_own_create(self.files)
        try:
            self.create(name, b"tried out\n")
            self.exclusive = self.exclusive and not self.create(name, b"tried out again\n")
            self.remove([name])
        except InputError as error:
            why = self._why(error.__cause__ or error)
            raise UsageError(f"{why}; nothing can be written there, give another --output-dir") from error
        if not self.exclusive and is_main_process() and multiprocessing.parent_process() is None:  # once
            say(
                f"{self.url}: this store cannot refuse to create what is there; two nodes that begin a run at the "
                "same moment may both make it, to equal numbers on like machines, and the later one's is kept"
            )

    def _path(self, name: str) -> str:
        return f"{self.base}/{name}" if name else self.base

    def _put(self, path: str, payload: bytes) -> None:
        if _is_local(self.files):
            write_atomically(Path(path), payload)
        else:
            self.files.pipe_file(path, payload)

    def _create(self, path: str, payload: bytes) -> None:
        """Raises FileExistsError."""
        if _is_local(self.files):
            create_atomically(Path(path), payload)
        elif self.exclusive:
            self.files.pipe_file(path, payload, mode="create")
        elif self.files.exists(path):
            raise FileExistsError(path)
        else:
            self.files.pipe_file(path, payload)

    def _written(self, name: str, write: Callable[[], None]) -> None:
        try:
            self._asked(name, write)
        except FileNotFoundError as error:  # the bucket
            raise InputError(self._why(error)) from error

    def _asked(self, name: str, ask: Callable[[], T]) -> T:
        """With patience; what an object's being there or not says is for the caller."""
        for number in range(TRIES):
            try:
                return ask()
            except (FileNotFoundError, FileExistsError, NotADirectoryError, OutOfRoom):
                raise
            except Exception as error:  # each file system has errors of its own
                if number == TRIES - 1 or isinstance(error, PermissionError):
                    raise InputError(
                        f"{self._why(error)} ({name or 'listing'}); give the same command again"
                    ) from error
            time.sleep(PAUSE * 2**number)
        raise AssertionError("unreachable")

    def _why(self, error: BaseException) -> str:
        kind = "no permission" if isinstance(error, PermissionError) else type(error).__name__
        return f"{self.url}: {kind}: {' '.join(str(error).split())[:200]}"


@cache
def _opened(url: str, process: int, writes: bool) -> Store:
    store = Store(url)
    if writes:
        store.try_out()
    return store


def open_store(url: str, writes: bool = True) -> Store:
    """The store of a URL, once a process: connections do not outlive a fork. Raises UsageError."""
    return _opened(url, os.getpid(), writes)


def _file_system(url: str) -> Any:
    from fsspec.core import url_to_fs  # only who gives a URL waits for it

    protocol = url.partition("://")[0]
    if "@" in (host := url.partition("://")[2].partition("/")[0]) and ":" in host.partition("@")[0]:
        raise UsageError("a URL with a password in it would stand in every result; leave it out, and set it outside")
    try:
        return url_to_fs(url, use_listings_cache=False)[0]
    except ImportError as error:
        package = PACKAGES.get(protocol)
        what = f"pip install {package}" if package else " ".join(str(error).split())
        raise UsageError(f"{url}: {protocol} needs a package that is not installed: {what}") from error
    except ValueError as error:
        raise UsageError(f"{url}: {protocol} is no protocol of fsspec; give s3://, gs:// or a folder") from error
    except Exception as error:
        raise UsageError(f"{url} cannot be opened: {type(error).__name__}: {error}") from error


def _is_local(files: Any) -> bool:
    return type(files).__name__ == "LocalFileSystem"


def _has_own_create(files: Any) -> bool:
    """What fsspec gives to every file system looks first and writes then, which is no refusal."""
    from fsspec.spec import AbstractFileSystem

    inherited = getattr(files.pipe_file, "__func__", None) is AbstractFileSystem.pipe_file
    return _is_local(files) or not inherited


def _is_plain(name: str) -> bool:
    """A name that stays in the copy's folder, whoever put the object there."""
    parts = PurePosixPath(name).parts
    return bool(parts) and "\\" not in name and "\0" not in name and not any(part.startswith(".") for part in parts)


def _stamp(info: Mapping[str, Any]) -> Stamp:
    when = next((info[key] for key in MODIFIED if info.get(key) is not None), 0.0)
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    return Stamp(info.get("size") or 0, when.timestamp() if isinstance(when, datetime) else float(when))
