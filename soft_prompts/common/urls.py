"""Which paths are URLs, and where on this machine lies the copy of one?

`--output-dir s3://bucket/x` is a path like any other: pathlib makes one slash of two, `url_of` puts the second back.
All code works in a folder on this disk; what lies there of a URL is a copy (soft_prompts/results/shared.py).
"""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

from soft_prompts.common.cache import cache_folder
from soft_prompts.common.errors import UsageError

URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/+(.*)", re.DOTALL)  # two letters or more: C:/ is a disk
EMPTY = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:")  # `s3://` and `runs:` alike, as pathlib makes them
ON_A_DISK = ("file", "local")  # their paths begin with a slash of their own
LONGEST = 250  # bytes of a file's name on common systems, a little less
Use = Literal["stores", "views"]
"""A working copy, which what is made is published from, or what was fetched to be read alone."""


def url_of(path: Path | str) -> str | None:
    """`s3://bucket/x` for the path that pathlib makes of it; None for a path on a disk. UsageError for a protocol with
    nothing behind it, and for one URL in another."""
    if EMPTY.fullmatch(str(path)):
        raise UsageError(f"{path} is a URL with nothing behind it; name a bucket, or give a folder's whole path")
    if "::" in str(path) and URL.match(str(path).rpartition("::")[2]):
        raise UsageError(f"{path} is one URL in another; give one alone")
    if (found := URL.fullmatch(str(path))) is None:
        return None
    protocol, rest = found[1].lower(), found[2].rstrip("/")
    return f"{protocol}:///{rest}" if protocol in ON_A_DISK else f"{protocol}://{rest}"


def as_typed(path: Path) -> str:
    """A path for people, and for files that people read: a URL with both its slashes."""
    return url_of(path) or str(path)


def on_disk(path: Path, use: Use = "stores") -> Path:
    """The path itself, or the folder in the cache that holds the copy of a URL; UsageError for a URL that is too long
    for one."""
    if (url := url_of(path)) is None:
        return path
    name = quote(url, safe="")
    if len(name) > LONGEST:
        raise UsageError(f"{url[:80]}... is too long for a URL of results; give one of fewer letters")
    return _copies(use) / name


def url_behind(path: Path) -> tuple[str, Path] | None:
    """The URL whose working copy a path lies in, and the copy's folder; None for any other path."""
    copies = _copies("stores")
    if not path.is_relative_to(copies) or path == copies:
        return None
    name = path.relative_to(copies).parts[0]
    return unquote(name), copies / name


def refuse_urls(options: Any) -> None:
    """Raise UsageError for a URL where a path on a disk is wanted; settings that take one are in `takes_urls`."""
    takes = getattr(options, "takes_urls", ())
    for one in fields(options) if is_dataclass(options) else ():
        value = getattr(options, one.name)
        for item in value if isinstance(value, tuple) else (value,):
            if is_dataclass(item):
                refuse_urls(item)
            elif isinstance(item, Path) and one.name not in takes and (url := url_of(item)) is not None:
                raise UsageError(
                    f"--{one.name.replace('_', '-')} is {url}, and takes no URL; give a path on a disk "
                    "(URLs are for --output-dir of experiments and sweeps, and for what compare and report read)"
                )


def _copies(use: Use) -> Path:
    return cache_folder().absolute() / use
