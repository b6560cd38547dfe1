"""Is a changed file noticed, small or large?"""

import hashlib
from pathlib import Path

import pytest

from soft_prompts.common import files as fingerprint
from soft_prompts.common.files import fingerprint_files


def test_small_files_count_whole_and_in_order(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"a" * 1000)
    other.write_bytes(b"b")
    before = fingerprint_files([one, other])
    assert len(before) == 16
    assert fingerprint_files([one, other]) == before
    assert fingerprint_files([other, one]) != before
    one.write_bytes(b"a" * 500 + b"c" + b"a" * 499)
    assert fingerprint_files([one, other]) != before
    one.write_bytes(b"a" * 1000 + b"b")
    other.write_bytes(b"")
    assert fingerprint_files([one, other]) != before  # bytes moved from one file to the next


def test_large_files_count_by_size_and_sixteen_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "WHOLE", 100)
    monkeypatch.setattr(fingerprint, "BLOCK", 4)
    path = tmp_path / "large"
    content = bytearray(range(256)) * 4
    path.write_bytes(content)
    before = fingerprint_files([path])
    for place in (0, 3, len(content) - 1, (len(content) - 4) // 15):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert fingerprint_files([path]) != before, place
    path.write_bytes(content[:-1])
    assert fingerprint_files([path]) != before


def test_a_large_file_that_is_asked_for_whole_counts_as_a_small_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    content = bytearray(range(256)) * 40
    path.write_bytes(content)
    small = fingerprint_files([path])
    assert small == hashlib.sha256(len(content).to_bytes(8, "little") + content).hexdigest()[:16]
    monkeypatch.setattr(fingerprint, "WHOLE", 100)
    monkeypatch.setattr(fingerprint, "BLOCK", 4)
    assert fingerprint_files([path], whole=True) == small != fingerprint_files([path])
    content[5000] ^= 1
    path.write_bytes(content)
    assert fingerprint_files([path], whole=True) != small
