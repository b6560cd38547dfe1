"""How is a file written so that it is there whole or not at all, and is it still the same file?"""

import fcntl
import glob
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from soft_prompts.common.errors import FULL, InputError, OutOfRoom


@contextmanager
def writing_to(place: Path, instead: str = "give another --output-dir") -> Iterator[None]:
    """What can go wrong with a disk, in a line that says what to do, `instead`: OutOfRoom where it is full, else
    InputError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if getattr(error, "errno", None) in FULL or "No space left" in str(error):
            raise OutOfRoom(f"the disk of {place} is full; make room and start the same command again") from error
        raise InputError(f"{place} cannot be written: {error}; {instead}") from error


def unreadable(path: Path, error: OSError) -> InputError:
    """What to say of a file that is there, and that the system does not give."""
    return InputError(f"{path}: cannot be read: {error.strerror or error}; check it and its permissions")


def sync(path: Path) -> None:
    """Ask the system to bring a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


WHOLE = 100 * 2**20  # files up to 100 MB are always read whole


BLOCK = 2**20


BLOCKS = 16  # read from a larger file, evenly spread, both ends included


def fingerprint_files(paths: Iterable[Path], whole: bool = False) -> str:
    """16 hexadecimal digits over the contents of the files in the given order.

    Unless it is asked for whole, a file above 100 MB counts by its size and sixteen blocks of 1 MB: a replaced or
    truncated file is noticed, a byte edited between the blocks is not.
    """
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with path.open("rb") as file:
            if whole or size <= WHOLE:
                hashlib.file_digest(file, lambda: digest)
                continue
            for number in range(BLOCKS):
                file.seek(number * (size - BLOCK) // (BLOCKS - 1))
                digest.update(file.read(BLOCK))
    return digest.hexdigest()[:16]


KINDS = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64"}  # of tensors in numpy
HASH = "blake2b"  # of the tensors, in the header of their safetensors file


def hash_header(tensors: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """For the header of the safetensors file that the tensors are written to: a hash of all that it will hold, their
    names, dtypes, shapes and values."""
    digest = hashlib.blake2b(digest_size=16)
    for name, values in sorted(tensors.items()):
        digest.update(json.dumps([name, values.dtype.name, values.shape]).encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return {HASH: digest.hexdigest()}


def load_hashed(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file; raises ValueError where it has a hash and they are others than were written,
    or where one is of a type that numpy does not have.

    OSError or SafetensorError where it cannot be read at all.
    """
    with safe_open(path, "np") as file:
        tensors = {name: _tensor(file, name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        said = _said_of_hash(file.metadata())
    if said and HASH not in said:
        raise ValueError("its header is not one that this package writes, or it is damaged")
    if said and said != hash_header(tensors):
        raise ValueError("damaged: some of its bits have changed since it was written")
    return tensors


def _tensor(file: Any, name: str) -> NDArray[Any]:
    if (kind := file.get_slice(name).get_dtype()) not in KINDS:
        raise ValueError(f"{name} is {kind}, which another program wrote; convert it to F32 there")
    return file.get_tensor(name)


def is_hashed(path: Path) -> bool:
    """Can damage be told from the file alone? Not in one that an earlier version wrote, or another program."""
    with safe_open(path, "np") as file:
        return bool(_said_of_hash(file.metadata()))


def _said_of_hash(header: Mapping[str, str] | None) -> dict[str, str]:
    """What else than a hash stands there was one, before a bit changed; `format` is what other programs write."""
    return {name: text for name, text in (header or {}).items() if name != "format"}


def write_atomically(path: Path, payload: bytes) -> None:
    """The file is there whole, with its old or its new content, whenever the power goes.

    Raises as `write_pieces` does.
    """
    write_pieces(path, [payload])


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """As `write_atomically`, of a file that need not be in memory.

    Raises InputError where the target is a symbolic link or cannot be written, OutOfRoom where the disk is full.
    """
    refuse_link(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        with open(temporary, "x+b") as file:
            with suppress(OSError):  # some network file systems have no locks: then nobody sweeps there either
                fcntl.flock(file, fcntl.LOCK_EX)  # its writer lives
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _fsync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if error.errno in FULL:
            raise OutOfRoom(f"{path}: the disk is full; make room and start the same command again") from error
        raise InputError(f"{path}: cannot be written: {error.strerror or error}; give another place") from error


def _sweep(path: Path) -> None:
    """Remove what writers of the file have left that live no more."""
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError), open(stale, "r+b") as file:  # gone, locked by its writer, or somebody else's
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            stale.unlink(missing_ok=True)


def create_atomically(path: Path, payload: bytes) -> None:
    """As `write_atomically`, but raises FileExistsError where something is there: of several that try, one is first."""
    whole = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_atomically(whole, payload)
    try:
        os.link(whole, path)
    finally:
        whole.unlink(missing_ok=True)


def refuse_unwritable(folder: Path) -> None:
    """Raises InputError where a folder cannot be made or written to; makes nothing."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise InputError(f"{folder} cannot be written: {there} is no folder; give another --output-dir")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot be written: nothing may be made in {there}; give another --output-dir")


def refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise InputError(f"{path} is a symbolic link; results are never written through one: remove it")


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
