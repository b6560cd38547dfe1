"""Is this still the same file? A content identity that stays quick on files of any size."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

WHOLE = 100 * 2**20  # files up to 100 MB are read whole
BLOCK = 2**20
BLOCKS = 16  # read from a larger file, evenly spread, both ends included


def fingerprint_files(paths: Iterable[Path]) -> str:
    """16 hexadecimal digits over the contents of the files in the given order.

    A file above 100 MB counts by its size and sixteen blocks of 1 MB: a replaced or truncated file is noticed, a byte
    edited between the blocks is not.
    """
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with path.open("rb") as file:
            if size <= WHOLE:
                while chunk := file.read(BLOCK):
                    digest.update(chunk)
                continue
            for number in range(BLOCKS):
                file.seek(number * (size - BLOCK) // (BLOCKS - 1))
                digest.update(file.read(BLOCK))
    return digest.hexdigest()[:16]
