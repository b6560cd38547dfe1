"""Does a model's fingerprint know every file that the model is read from, and no other?"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from soft_prompts.common import files
from soft_prompts.common.errors import InputError
from soft_prompts.common.files import fingerprint_files
from soft_prompts.data.conditions import NO_CONDITIONS
from soft_prompts.models import fingerprint
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.sources.source import find_source
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.prompts.snapshot import Snapshot, refuse_other_model
from soft_prompts.zoo import EMBEDDED

READ = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "additional_chat_templates/tool.jinja",
    "adapter_config.json",
    "adapter_model.safetensors",
)
NOT_READ = ("README.md", "model.safetensors.index.json", "vocab.json", "runs/events.json", "own_code.py", "model.bin")


@pytest.fixture
def folder(tmp_path: Path, tiny_folders: dict[str, Path]) -> Path:
    """A model that has every file that is read, and some that are not."""
    made = shutil.copytree(tiny_folders["llama"], tmp_path / "model")
    for name in (*READ, *NOT_READ):
        (made / name).parent.mkdir(exist_ok=True)
        if not (made / name).exists():
            (made / name).write_text("{}")
    return made


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize("name", READ)
def test_every_file_that_is_read_counts(folder: Path, name: str) -> None:
    before = find_fingerprint(str(folder))
    edit(folder / name)
    edited = find_fingerprint(str(folder))
    assert edited != before
    if name != "config.json":  # without it there is no model
        (folder / name).unlink()
        assert find_fingerprint(str(folder)) not in (before, edited)


@pytest.mark.parametrize("name", NOT_READ)
def test_other_files_do_not(folder: Path, name: str) -> None:
    before = find_fingerprint(str(folder), trust_remote_code=True)  # a model without code of its own has none to trust
    edit(folder / name)
    assert find_fingerprint(str(folder), trust_remote_code=True) == before


def test_every_byte_of_large_weights_counts_and_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model.safetensors.index.json").unlink()
    small = find_fingerprint(str(folder))
    weights = folder / "model.safetensors"
    monkeypatch.setattr(files, "WHOLE", 1000)
    monkeypatch.setattr(files, "BLOCK", 4)
    monkeypatch.setattr(fingerprint, "WHOLE", 1000)
    sampled = find_fingerprint(str(folder), like="")
    reads = list[Path]()

    def read(paths: list[Path], whole: bool = False) -> str:
        reads.extend(paths)
        return fingerprint_files(paths, whole)

    monkeypatch.setattr(fingerprint, "fingerprint_files", read)
    assert [find_fingerprint(str(folder)) for _ in range(3)] == [small] * 3  # how a file is read does not show
    assert reads.count(weights) == 1
    content = bytearray(weights.read_bytes())
    content[len(content) // 2 + 1] ^= 1
    weights.write_bytes(content)
    assert find_fingerprint(str(folder)) != small
    assert find_fingerprint(str(folder), like="") == sampled  # as earlier versions had it


def test_contents_count_and_not_the_folders_name(folder: Path, tmp_path: Path) -> None:
    assert find_fingerprint(str(shutil.copytree(folder, tmp_path / "other"))) == find_fingerprint(str(folder))


def test_the_index_and_its_shards_count_where_there_is_no_whole_file(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    (folder / "stale.safetensors").write_text("of another model")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"weight": "one.safetensors"}}))
    prints = [find_fingerprint(str(folder))]
    for name in ("model.safetensors.index.json", "one.safetensors", "stale.safetensors"):
        edit(folder / name)
        prints.append(find_fingerprint(str(folder)))
    assert len(set(prints)) == 3
    assert prints[-1] == prints[-2]


def test_a_slow_tokenizers_vocabulary_counts_where_there_is_no_fast_one(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    before = find_fingerprint(str(folder))
    edit(folder / "vocab.json")
    assert find_fingerprint(str(folder)) != before


def test_a_models_own_code_counts_where_it_is_trusted(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "own_code.Own"}}))
    trusted, not_trusted = (find_fingerprint(str(folder), trust_remote_code=trust) for trust in (True, False))
    edit(folder / "own_code.py")
    assert find_fingerprint(str(folder), trust_remote_code=True) != trusted
    assert find_fingerprint(str(folder)) == not_trusted


def test_a_print_of_an_earlier_version_is_compared_with_one_of_its_kind(folder: Path) -> None:
    names = ("config.json", "model.safetensors", "tokenizer.json")
    (folder / "model.safetensors.index.json").unlink()
    stored = fingerprint_files(sorted(folder / name for name in names))
    assert find_fingerprint(str(folder), like=stored) == stored
    edit(folder / "generation_config.json")  # it knew nothing of this one
    assert find_fingerprint(str(folder), like=stored) == stored
    edit(folder / "model.safetensors")
    assert find_fingerprint(str(folder), like=stored) != stored
    assert find_fingerprint(str(folder), like="v2:0") == find_fingerprint(str(folder))


def test_a_file_that_is_no_json_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is unusable: it is no JSON"):
        find_fingerprint(str(folder))


@pytest.fixture
def adapted(tmp_path: Path, tiny_folders: dict[str, Path]) -> Callable[[int], Path]:
    """A whole model with an adapter beside its weights, as peft saves one."""

    def make(seed: int) -> Path:
        made = shutil.copytree(tiny_folders["llama"], tmp_path / f"adapted-{seed}")
        settings = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
        torch.manual_seed(seed)
        get_peft_model(AutoModelForCausalLM.from_pretrained(made), settings).save_pretrained(made)
        return made

    return make


def test_an_adapter_beside_the_weights_is_part_of_the_model(
    adapted: Callable[[int], Path], tiny_folders: dict[str, Path]
) -> None:
    ids = torch.arange(1, 9)[None]
    models = [load_frozen_model(str(path)) for path in (tiny_folders["llama"], adapted(1), adapted(2))]
    assert len({model.fingerprint for model in models}) == 3
    logits = [model.model(input_ids=ids).logits for model in models]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (logits[one] - logits[other]).abs().max() > 1e-3


def test_an_adapter_without_its_base_is_refused(adapted: Callable[[int], Path]) -> None:
    path = adapted(1)
    (path / "config.json").unlink()
    with pytest.raises(InputError, match=r"is an adapter of .*, which is no base .*; give the two as BASE\+"):
        load_frozen_model(str(path))


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(tmp_path: Path, tiny_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a hub model, somebody/tiny, in a cache of its own."""
    home = tmp_path / "models--somebody--tiny"
    shutil.copytree(tiny_folders["llama"], home / "snapshots" / COMMIT)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path))
    return home / "snapshots" / COMMIT


@pytest.mark.usefixtures("cached")
def test_the_commit_of_a_hub_model_is_known(tiny_folders: dict[str, Path]) -> None:
    frozen = load_frozen_model("somebody/tiny", offline=True)
    assert (frozen.commit, frozen.revision) == (COMMIT, COMMIT)
    assert frozen.fingerprint == find_fingerprint(str(tiny_folders["llama"]))
    assert load_frozen_model(str(tiny_folders["llama"])).commit is None


LEFT_OUT = [("model.safetensors",), ("tokenizer.json", "tokenizer_config.json")]


@pytest.mark.parametrize("names", LEFT_OUT, ids=lambda names: names[0])
@pytest.mark.parametrize("like", [None, "0123456789abcdef"])
def test_a_hub_model_of_which_a_part_is_here_has_no_print_of_the_part(
    cached: Path, names: tuple[str, ...], like: str | None
) -> None:
    for name in names:
        (cached / name).unlink()
    with pytest.raises(InputError, match=r"^model 'somebody/tiny' is not wholly on this machine, .*--offline$"):
        find_fingerprint("somebody/tiny", offline=True, like=like)


@pytest.mark.parametrize("names", LEFT_OUT, ids=lambda names: names[0])
def test_the_rest_is_fetched_where_the_hub_answers(
    cached: Path, tiny_folders: dict[str, Path], names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub of this check is a folder: each class fetches what it reads, asked as the real ones can be."""
    for name in names:
        (cached / name).unlink()
    monkeypatch.setattr(fingerprint, "is_local", lambda source, offline: False)
    fingerprint._fetch(find_source(str(tiny_folders["llama"])), offline=False, trust_remote_code=False)
    fetched = list[str]()

    def fetch(name: str, patterns: tuple[str, ...]) -> None:
        fetched.append(name)
        for path in (path for pattern in patterns for path in tiny_folders["llama"].glob(pattern)):
            shutil.copy(path, cached)

    for loader, patterns in (("AutoModelForCausalLM", ("*.safetensors",)), ("AutoTokenizer", ("tokenizer*",))):
        fake = type(loader, (), {"from_pretrained": lambda name, patterns=patterns, **_: fetch(name, patterns)})
        monkeypatch.setattr(fingerprint, loader, fake)
    whole = find_fingerprint(str(tiny_folders["llama"]))
    assert find_fingerprint("somebody/tiny") == find_fingerprint("somebody/tiny") == whole
    assert fetched == ["somebody/tiny"] * 2


def test_a_stored_print_of_an_earlier_version_still_fits_its_model(tiny_folders: dict[str, Path]) -> None:
    frozen = load_frozen_model(str(tiny_folders["llama"]))
    names = ("config.json", "model.safetensors", "tokenizer.json")
    stored = fingerprint_files([tiny_folders["llama"] / name for name in names])
    snapshot = Snapshot(
        prompt=DirectPrompt(PromptShape(2, frozen.hidden_size, 0)),
        kind="direct",
        shape=PromptShape(2, frozen.hidden_size, 0),
        conditions=NO_CONDITIONS,
        model=frozen.name,
        revision=None,
        fingerprint=stored,
        step=1,
    )
    refuse_other_model(snapshot, frozen)
    refuse_other_model(replace(snapshot, fingerprint=frozen.fingerprint), frozen)
    for other in ("0123456789abcdef", "v2:0123456789abcdef"):
        with pytest.raises(InputError, match=other):
            refuse_other_model(replace(snapshot, fingerprint=other), frozen)


def test_results_of_the_embedded_models_are_still_those_of_the_models() -> None:
    """Every committed reference result about an embedded model, whichever version wrote it."""
    found = 0
    for path in (Path(__file__).parents[3] / "results" / "reference").rglob("*.json"):
        model = json.loads(path.read_text()).get("model", {})
        if isinstance(model, dict) and model.get("name") in EMBEDDED and found < 40:
            assert find_fingerprint(model["name"], like=model["fingerprint"]) == model["fingerprint"], path
            found += 1
    assert found == 40
