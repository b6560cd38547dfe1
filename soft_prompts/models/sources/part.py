"""Which folder, file or hub repository is one part of a model: its base, an adapter, a tokenizer?"""

import re
from dataclasses import dataclass
from pathlib import Path

from soft_prompts.common.errors import InputError
from soft_prompts.zoo import EMBEDDED
from soft_prompts.zoo.installed import INSTALLABLE, installed_file

EMBEDDED_NAMES = ", ".join(EMBEDDED)
HUB = re.compile(r"(?P<id>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[^@:]+))?(?::(?P<subfolder>[^@:]+))?")
WAYS = f"an embedded name ({EMBEDDED_NAMES}), a folder, a GGUF file, a card or a hub id"


@dataclass(frozen=True)
class Part:
    """A part as it was named, and where it is; nothing is fetched or unpacked yet."""

    named: str
    place: str
    """A folder, a GGUF file or a hub id."""
    revision: str | None = None
    subfolder: str = ""
    """Of a hub repository."""

    @property
    def gguf(self) -> Path | None:
        """The file, where it is one."""
        return Path(self.place) if is_gguf(self.place) else None

    @property
    def is_local(self) -> bool:
        """Is it on this machine, and no hub is asked for it?"""
        return self.gguf is not None or Path(self.place).is_dir()


def is_gguf(place: str) -> bool:
    """Does the name end as a GGUF file's?"""
    return place.lower().endswith(".gguf")


def find_part(name: str, revision: str | None = None) -> Part:
    """What a name without adapters stands for; raises InputError where it can stand for nothing."""
    if name in EMBEDDED:
        return Part(name, str(EMBEDDED[name]), revision)
    if name in INSTALLABLE:
        return Part(name, str(installed_file(name)))
    if Path(name).is_dir():
        return Part(name, name, revision)
    folder, _, inside = name.rpartition(":")
    if folder and Path(folder).is_dir():
        return _subfolder(name, Path(folder), inside)
    if is_gguf(name):
        return _gguf(name)
    return _hub(name, revision)


def _subfolder(name: str, folder: Path, inside: str) -> Part:
    if not (folder / inside).is_dir():
        raise InputError(f"model {name!r}: {folder} has no folder {inside!r}; give one that it has")
    return Part(name, str(folder / inside))


def _gguf(name: str) -> Part:
    if not Path(name).is_file():
        raise InputError(f"model {name!r} is no file; give a GGUF file that is there")
    return Part(name, str(Path(name).absolute()))


def _hub(name: str, revision: str | None) -> Part:
    found = None if name.startswith((".", "/", "~")) else HUB.fullmatch(name)
    if found is None:
        raise InputError(f"model {name!r} is no folder; give {WAYS}")
    pinned = found["revision"]
    if pinned and revision and pinned != revision:
        raise InputError(f"model {name!r} names the revision {pinned}, --revision {revision}; give one of them")
    return Part(name, found["id"], pinned or revision, found["subfolder"] or "")
