"""Is a GGUF file the model that transformers unpacks of it, to the bit, and is it unpacked once?"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from soft_prompts.common.errors import InputError
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.models.frozen import find_context_length, load_frozen_model, load_tokenizer
from soft_prompts.models.loading.quiet import quiet
from soft_prompts.models.sources import gguf as unpacking
from soft_prompts.models.sources.gguf import unpacked

pytest.importorskip("gguf", reason="needs the extra gguf")
from tests.checks.made.gguf_files import save_gguf

TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, tiny_folders: dict[str, Path]) -> Path:
    return save_gguf(tmp_path_factory.mktemp("gguf") / "tiny.Q8_0.gguf", tiny_folders["llama"], TEMPLATE)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOFT_PROMPTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("kept", [0, 100, 3000, 0.7])
def test_a_file_that_is_cut_short_is_said_so(file: Path, tmp_path: Path, kept: float) -> None:
    whole = file.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: int(kept * len(whole) if 0 < kept < 1 else kept)])
    with pytest.raises(InputError, match=r"cut.gguf cannot be read as GGUF \(.*\); is it whole\?") as refused:
        load_frozen_model(str(tmp_path / "cut.gguf"))
    assert "\n" not in str(refused.value)


def test_a_cache_that_cannot_be_written_is_named(file: Path, cache: Path) -> None:
    cache.write_text("no folder")
    with pytest.raises(InputError, match=r"cannot be written: .*; name another folder in SOFT_PROMPTS_CACHE"):
        unpacked(file)


def test_it_is_what_transformers_unpacks_to_the_bit(file: Path) -> None:
    frozen = load_frozen_model(str(file))
    with quiet():
        plain = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    ours, theirs = frozen.model.state_dict(), plain.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    text = "e2e4 e7e5 of the and"
    assert frozen.tokenizer(text)["input_ids"] == tokenizer(text)["input_ids"]
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        assert torch.equal(frozen.model(input_ids=ids).logits, plain(input_ids=ids).logits)
    assert frozen.tokenizer.chat_template == TEMPLATE
    assert frozen.quantisation == "Q8_0"
    assert not hasattr(frozen.model.config, "quantization_config")


def test_it_is_near_the_model_that_was_quantised(file: Path, tiny_folders: dict[str, Path]) -> None:
    """The same model up to the rounding of eight bits: no row or head has changed its place."""
    here, whole = load_frozen_model(str(file)), load_frozen_model(str(tiny_folders["llama"]))
    other = whole.model.state_dict()
    for name, weights in here.model.state_dict().items():
        assert (weights - other[name]).abs().max() <= other[name].abs().max() / 127, name
    assert not torch.equal(here.embedding.weight, whole.embedding.weight)


def test_it_is_unpacked_once(file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = unpacked(file)
    monkeypatch.setattr(unpacking, "dequantised", lambda _: pytest.fail("it was unpacked again"))
    assert unpacked(file) == first
    copy = shutil.copy(file, cache / "copy.gguf")  # the contents are the key, not the name
    assert unpacked(Path(copy)) == first
    assert sorted(path.name for path in (cache / "unpacked").iterdir() if path.is_dir()) == [first.name]
    monkeypatch.setattr(unpacking.transformers, "__version__", "6.0")
    with pytest.raises(BaseException, match="it was unpacked again"):
        unpacked(file)


def test_a_folder_that_was_cut_short_is_unpacked_again(file: Path) -> None:
    whole = (unpacked(file) / "model.safetensors").read_bytes()
    (unpacked(file) / "unpacked.json").rename(unpacked(file).parent / "gone.json")
    folder = unpacking._folder_of(file)
    (folder / "model.safetensors").write_bytes(b"half")
    assert (unpacked(file) / "model.safetensors").read_bytes() == whole


def test_a_failure_leaves_nothing_behind(file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "dequantised", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        unpacked(file)
    assert [path for path in (cache / "unpacked").iterdir() if path.is_dir()] == []


def test_its_fingerprint_is_of_the_file(file: Path, tmp_path: Path) -> None:
    found = find_fingerprint(str(file))
    assert load_frozen_model(str(file)).fingerprint == found
    shutil.copy(file, tmp_path / "other.gguf")
    assert find_fingerprint(str(tmp_path / "other.gguf")) == found
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "other.gguf").write_bytes(changed)
    assert find_fingerprint(str(tmp_path / "other.gguf")) != found


def test_context_and_tokenizer_alone(file: Path) -> None:
    assert find_context_length(str(file)) == 256
    assert load_tokenizer(str(file)).chat_template == TEMPLATE
    facts = json.loads((unpacked(file) / "unpacked.json").read_text())
    assert facts["file"] == file.name
    assert facts["quantisation"] == "Q8_0"


def test_without_the_package_it_says_the_command(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise unpacking.PackageNotFoundError(name)

    monkeypatch.setattr(unpacking, "version", version)
    with pytest.raises(InputError, match=r"needs the package gguf; pip install 'soft_prompts\[gguf\]'"):
        load_frozen_model(str(file))


@pytest.mark.parametrize(("content", "said"), [(b"GGUF nothing", "cannot be"), (b"", "cannot be")])
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(InputError, match=said) as refused:
        load_frozen_model(str(tmp_path / "bad.gguf"))
    assert "\n" not in str(refused.value)
    assert "bad.gguf" in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file; give a GGUF file that is there"):
        load_frozen_model(str(tmp_path / "none.gguf"))
