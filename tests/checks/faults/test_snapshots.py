"""Is a trained prompt from a stranger harmless? Broken ones are named, and nothing in them is ever run."""

import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from soft_prompts.commands import main as cli
from soft_prompts.common.errors import InputError
from soft_prompts.data.conditions import ELO_PAIR
from soft_prompts.models import frozen
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.prompts.snapshot import Snapshot, load_snapshot, save_snapshot
from soft_prompts.results.files import find_results, read_items
from soft_prompts.training.checkpoint import newest

Record = Callable[[str, object], None]
JUNK: list[Any] = [None, -1, 2**40, 1e308, float("nan"), "x", "", [], {}, [1], True, "../..", {"a": 1}, 0.5, [[]], "\0"]


@pytest.fixture(scope="module")
def whole(one_frozen: FrozenModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot as a run leaves it."""
    shape = PromptShape(2, one_frozen.hidden_size, 2, 1, 8, 4)
    prompt = build_prompt("resnet", shape, one_frozen.vocabulary, "vocabulary", 0)
    folder = tmp_path_factory.mktemp("snapshot")
    snapshot = Snapshot(prompt, "resnet", shape, ELO_PAIR, one_frozen.name, None, one_frozen.fingerprint, 8)
    save_snapshot(folder, snapshot)
    return folder


def test_what_was_saved_is_loaded(whole: Path) -> None:
    snapshot = load_snapshot(whole)
    assert (snapshot.kind, snapshot.step, snapshot.conditions) == ("resnet", 8, ELO_PAIR)
    assert all(not parameter.requires_grad for parameter in snapshot.prompt.parameters())
    tensors = load_file(whole / "prompt.safetensors")
    assert all(torch.equal(tensors[name], value) for name, value in snapshot.prompt.state_dict().items())
    assert [path.name for path in sorted(whole.iterdir())] == ["prompt.json", "prompt.safetensors"]


@pytest.mark.parametrize(
    ("kept", "flags", "wanted"),
    [("bfloat16", (), "bfloat16"), ("bfloat16", ("--dtype", "float32"), "float32"), (None, (), "auto")],
)
def test_it_writes_in_the_precision_that_the_prompt_was_trained_in(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str | None, flags: tuple[str, ...], wanted: str
) -> None:
    """Snapshots of earlier versions do not know it."""
    folder, asked = shutil.copytree(whole, tmp_path / "snapshot"), []
    facts = json.loads((folder / "prompt.json").read_text())
    del facts["dtype"]
    (folder / "prompt.json").write_text(json.dumps(facts | ({} if kept is None else {"dtype": kept})))

    def load(*_: object, dtype: str, **__: object) -> None:
        asked.append(dtype)
        raise InputError("enough")

    monkeypatch.setattr(frozen, "load_frozen_model", load)
    elos = ("--condition", "white_elo=1500", "black_elo=1500")
    with pytest.raises(SystemExit, match="3"):
        cli.main(["generate", str(folder), "--text", "e2e4", *elos, *flags])
    assert asked == [wanted]
    (folder / "prompt.json").write_text(json.dumps(facts | {"dtype": "float8"}))
    with pytest.raises(InputError, match="dtype is 'float8', wanted auto, float32 or bfloat16"):
        load_snapshot(folder)


def spoil_tensors(folder: Path, rng: random.Random) -> str:
    """A fault in a tensor; returns a word that the message must hold."""
    tensors = load_file(folder / "prompt.safetensors")
    name = rng.choice(sorted(tensors))
    fault = rng.randrange(6)
    if fault == 0:
        tensors[name] = torch.zeros([size + 1 for size in tensors[name].shape])
    elif fault == 1:
        tensors[name].view(-1)[rng.randrange(tensors[name].numel())] = rng.choice([float("nan"), float("inf")])
    elif fault == 2:
        del tensors[name]
    elif fault == 3:
        tensors[name] = tensors[name].to(rng.choice([torch.float64, torch.float16, torch.int64]))
    elif fault == 4:
        name = rng.choice(["extra", "__class__", "output.weight.more", "a/b"])
        tensors[name] = torch.zeros(1)
    else:
        tensors[name] = tensors[name][..., None]
    save_file(tensors, folder / "prompt.safetensors")
    return name


def spoil_facts(folder: Path, rng: random.Random) -> str:
    """A fault in a field of prompt.json."""
    facts = json.loads((folder / "prompt.json").read_text())
    name = rng.choice(["format", "kind", "shape", "conditions", "model", "revision", "fingerprint", "step"])
    if rng.random() < 0.3:
        del facts[name]
    elif name == "shape" and rng.random() < 0.7:
        facts["shape"][rng.choice([*facts["shape"], "depth"])] = rng.choice(JUNK)
    else:
        right = {"revision": (None, "x", "", "../..", "\0"), "model": ("x", "../..", "\0")}
        right["fingerprint"] = right["model"]
        facts[name] = rng.choice([value for value in JUNK if value not in right.get(name, ())])
    (folder / "prompt.json").write_text(json.dumps(facts))
    return name


def spoil_bytes(folder: Path, rng: random.Random) -> str:
    """A file that is torn, empty, absent, a folder, or other bytes."""
    file = folder / rng.choice(["prompt.json", "prompt.safetensors"])
    content = file.read_bytes()
    file.unlink()
    fault = rng.randrange(5)
    if fault == 0:
        file.write_bytes(content[: rng.randrange(len(content) - 1)])
    elif fault == 1:
        file.write_bytes(rng.randbytes(200))
    elif fault == 2:
        file.mkdir()
    elif fault == 3:
        file.write_bytes(rng.choice([b"null", b"[]", b"7", b"[" * 100_000, b'{"format": NaN}', b"\xff\xfe{}"]))
    return file.name.split(".")[0]


@pytest.mark.parametrize("trials", [60, pytest.param(500, marks=pytest.mark.faults)])
def test_spoilt_snapshots_are_named(whole: Path, tmp_path: Path, record_property: Record, trials: int) -> None:
    rng = random.Random(trials)
    passed, missed = 0, []
    for number in range(trials):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        word = rng.choice([spoil_tensors, spoil_facts, spoil_bytes])(folder, rng)
        try:
            load_snapshot(folder)
            missed.append(f"{word} passed: {(folder / 'prompt.json').read_text()}")
        except InputError as error:
            good = word in str(error) and str(folder) in str(error) and "\n" not in str(error)
            passed += good
            missed += [] if good else [f"{word}: {error}"]
    record_property("fault", {"fault": "snapshot: shapes, NaN, keys, bytes", "trials": trials, "passed": passed})
    assert not missed, "\n".join(missed[:5])


def flipped(content: bytes, bit: int) -> bytes:
    return content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :]


def bits_of(content: bytes) -> list[int]:
    """Of every byte of a safetensors header one, and of every tensor the first, the last and some between."""
    rng, length = random.Random(0), int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    bits = [8 * byte + rng.randrange(8) for byte in range(8 + length)]
    for name in header.keys() - {"__metadata__"}:
        start, end = (8 * (8 + length + offset) for offset in header[name]["data_offsets"])
        bits += [start, end - 1, *(rng.randrange(start, end) for _ in range(20))]
    return bits


def test_no_bit_of_a_snapshot_changes_unseen(whole: Path, tmp_path: Path, record_property: Record) -> None:
    """The least bit of a number makes another number that is as finite."""
    folder = shutil.copytree(whole, tmp_path / "snapshot")
    file = folder / "prompt.safetensors"
    content, passed, said = file.read_bytes(), 0, ""
    bits = bits_of(content)
    for bit in bits:
        file.write_bytes(flipped(content, bit))
        said = said_by(lambda: load_snapshot(folder))
        assert str(folder) in said, bit
        assert "\n" not in said
        passed += 1
    assert "damaged: some of its bits have changed since it was written; remove the folder and its result" in said
    record_property("fault", {"fault": "snapshot: one bit flipped", "trials": len(bits), "passed": passed})
    file.write_bytes(content)
    assert load_snapshot(folder).step == 8


def test_a_snapshot_of_an_earlier_version_has_no_hash_and_is_read(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "snapshot")
    for header in (None, {"format": "pt"}):  # as save_pretrained of others writes it
        save_file(load_file(whole / "prompt.safetensors"), folder / "prompt.safetensors", header)
        assert load_snapshot(folder).kind == "resnet"


@pytest.mark.parametrize(
    ("dtype", "says"),
    [
        (torch.bfloat16, "is BF16, which another program wrote; convert it to F32 there"),
        (torch.float8_e4m3fn, "is F8_E4M3, which another program wrote"),
        (torch.float16, "holds other values than finite float32"),
    ],
)
def test_a_snapshot_in_another_precision_is_named(whole: Path, tmp_path: Path, dtype: torch.dtype, says: str) -> None:
    folder = shutil.copytree(whole, tmp_path / "snapshot")
    tensors = {name: value.to(dtype) for name, value in load_file(whole / "prompt.safetensors").items()}
    save_file(tensors, folder / "prompt.safetensors")
    assert says in said_by(lambda: load_snapshot(folder))


class Malicious:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


PICKLES = ("pytorch_model.bin", "prompt.pt", "prompt.bin", "adapter_model.bin", "training_args.bin", "optimizer.pt")


def test_no_pickle_is_ever_opened(
    whole: Path, tiny_folders: dict[str, Path], tmp_path: Path, record_property: Record, capsys: pytest.CaptureFixture
) -> None:
    """Under every name that somebody loads, and under the names that we load ourselves."""
    marker = tmp_path / "executed"
    poison = pickle.dumps(Malicious(marker))
    trials = 0
    for name in (*PICKLES, "prompt.safetensors", "prompt.json"):
        folder = tmp_path / f"snapshot-{name}"
        shutil.copytree(whole, folder)
        (folder / name).write_bytes(poison)
        if name not in PICKLES:
            with pytest.raises(InputError):
                load_snapshot(folder)
        with pytest.raises(SystemExit):
            cli.main(["generate", str(folder), "--text", "e2e4", "--offline"])
        trials += 1
    for name in (*PICKLES, "model.safetensors", "config.json", "tokenizer.json", "pytorch_model.bin.index.json"):
        folder = tmp_path / f"model-{name}"
        shutil.copytree(tiny_folders["llama"], folder)
        if name == "pytorch_model.bin":
            (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(poison)
        if name in PICKLES and name != "pytorch_model.bin":
            load_frozen_model(str(folder))
        elif name != "pytorch_model.bin.index.json":
            with pytest.raises(InputError):
                load_frozen_model(str(folder))
        trials += 1
    state = tmp_path / "state" / "step-2"
    state.mkdir(parents=True)
    for name in ("state.safetensors", "state.json", "manifest.json"):
        (state / name).write_bytes(poison)
    assert newest(state.parent)[0] is None
    result = tmp_path / "results" / "run.json"
    result.parent.mkdir()
    result.write_bytes(poison)
    result.with_name("run.items.safetensors").write_bytes(poison)
    assert len(find_results([result.parent]).problems) == 1
    with pytest.raises(InputError):
        read_items(result)
    assert not marker.exists()
    assert "Traceback" not in capsys.readouterr().err
    pickle.loads(poison)
    assert marker.exists()  # it would have shown
    record_property("fault", {"fault": "malicious pickle", "trials": trials + 3, "passed": trials + 3})


def said_by(load: Callable[[], object]) -> str:
    """The message of an InputError, or nothing where it loads."""
    try:
        load()
    except InputError as error:
        return str(error)
    return ""


def test_a_file_never_grants_itself_trust(
    tiny_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """auto_map to code beside it, and trust_remote_code: true in every file that is read: no marker appears."""
    marker, folder = tmp_path / "executed", tmp_path / "model"
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    shutil.copytree(tiny_folders["llama"], folder)
    (folder / "evil.py").write_text(
        f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast\n"
        "class EvilConfig(LlamaConfig):\n    model_type = 'evil'\n"
        "class EvilModel(LlamaForCausalLM):\n    config_class = EvilConfig\n"
        "class EvilTokenizer(PreTrainedTokenizerFast):\n    pass\n"
    )
    real = {name: json.loads((folder / name).read_text()) for name in ("config.json", "tokenizer_config.json")}
    maps = {"AutoConfig": "evil.EvilConfig", "AutoModelForCausalLM": "evil.EvilModel"}
    maps |= {"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]}
    passed = 0
    for model_type in ("evil", "llama"):
        for name in real:
            changes = {"auto_map": maps, "trust_remote_code": True}
            changes |= {"model_type": model_type} if name == "config.json" else {"tokenizer_class": "EvilTokenizer"}
            (folder / name).write_text(json.dumps(real[name] | changes))
            refused = said_by(lambda: load_frozen_model(str(folder)))
            assert "\n" not in refused
            assert model_type == "llama" or "--trust-remote-code" in refused
            assert not marker.exists()
            passed += 1
    (folder / "config.json").write_text(json.dumps(real["config.json"] | {"auto_map": maps, "model_type": "evil"}))
    load_frozen_model(str(folder), trust_remote_code=True)
    assert marker.exists()  # only the flag lets it run
    record_property("fault", {"fault": "trust_remote_code in a file", "trials": passed, "passed": passed})
