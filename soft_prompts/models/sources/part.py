"""Which folder, file or hub repository is one part of a model: its base, an adapter, a tokenizer?"""

import re
from dataclasses import dataclass
from pathlib import Path

from soft_prompts.common.errors import InputError
from soft_prompts.zoo import EMBEDDED
from soft_prompts.zoo.installed import INSTALLABLE, installed_file

EMBEDDED_NAMES = ", ".join(EMBEDDED)
COMMIT = re.compile(r"[0-9a-f]{40}")
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
    """What a name without adapters stands for; raises InputError where it can stand for nothing, or is on this machine
    and yet a revision is asked for."""
    here = _here(name)
    if here is not None and revision is not None:
        raise InputError(
            f"model {name!r} is on this machine, where it has no revision {revision!r}; leave it out, or give a hub id"
        )
    return here or _hub(name, revision)


def _here(name: str) -> Part | None:
    """What is on this machine: embedded, installed, a folder, a folder's subfolder, a GGUF file."""
    if name in EMBEDDED:
        return Part(name, str(EMBEDDED[name]))
    if name in INSTALLABLE:
        return Part(name, str(installed_file(name)))
    if name and Path(name).is_dir():
        return Part(name, name)
    folder, _, inside = name.rpartition(":")
    if folder and Path(folder).is_dir():
        return _subfolder(name, Path(folder), inside)
    return _gguf(name) if is_gguf(name) else None


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
    return Part(
        name, found["id"], one_revision(f"model {name!r}", found["revision"], revision), found["subfolder"] or ""
    )


def one_revision(what: str, named: str | None, asked: str | None) -> str | None:
    """The revision that a name or card pins, or that is asked for; raises InputError where these are two.

    A commit takes the place of the name that stood for it: prompts are kept with the commit that they were trained on.
    """
    if asked and COMMIT.fullmatch(asked):
        return asked
    if named and asked and named != asked:
        raise InputError(f"{what} names the revision {named}, --revision {asked}; give one of them")
    return named or asked
