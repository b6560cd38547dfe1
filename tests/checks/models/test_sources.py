"""Does every way to name a model lead to that model, and every wrong one to a line that helps?"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.models.frozen import load_frozen_model, load_tokenizer
from soft_prompts.models.loading.adapters import with_adapters
from soft_prompts.models.loading.assemble import Wanted, _placing
from soft_prompts.models.loading.quantised import PACKAGES
from soft_prompts.models.loading.spread import Spread
from soft_prompts.models.sources.source import find_source

IDS = torch.arange(1, 30)[None]
Make = Callable[..., Path]


@pytest.fixture
def base(tmp_path: Path, tiny_folders: dict[str, Path]) -> Path:
    return shutil.copytree(tiny_folders["llama"], tmp_path / "base")


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Make:
    """An adapter of the base, saved as peft saves one; its matrices are far from zero."""

    def make(seed: int, targets: Sequence[str] = ("q_proj", "down_proj"), tokens: int = 0, **more: Any) -> Path:
        model = AutoModelForCausalLM.from_pretrained(base)
        folder = tmp_path / f"adapter-{seed}"
        if tokens:
            tokenizer = AutoTokenizer.from_pretrained(base)
            tokenizer.add_special_tokens({"pad_token": "<PAD>"})
            tokenizer.save_pretrained(folder)
            model.resize_token_embeddings(tokens, mean_resizing=False)
        torch.manual_seed(seed)
        settings = LoraConfig(r=2, target_modules=list(targets), init_lora_weights=False, **more)
        get_peft_model(model, settings).save_pretrained(folder)
        return folder

    return make


def plain_logits(base: Path, *adapters: Path) -> torch.Tensor:
    """What peft itself makes of adapters that are active together, none of them merged."""
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    for number, folder in enumerate(adapters):
        if number == 0:
            model = PeftModel.from_pretrained(model, folder, adapter_name="0")
        else:
            model.load_adapter(folder, adapter_name=str(number))
    if adapters:
        model.base_model.set_adapter([str(number) for number in range(len(adapters))])
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def test_a_stack_of_adapters_is_what_peft_makes_of_it(base: Path, adapter: Make) -> None:
    one, two = adapter(1), adapter(2, ("v_proj", "down_proj"))
    frozen = load_frozen_model(f"{base}+{one}+{two}")
    expected = plain_logits(base, one, two)
    assert (frozen.logits_of_ids(IDS) - expected).abs().max() < 1e-5 * expected.abs().max()
    for others in ((), (one,), (two,)):
        assert (expected - plain_logits(base, *others)).abs().max() > 1e-2
    assert {name for name, _ in frozen.model.named_parameters() if "lora" in name} == set()
    assert {probe.state for probe in frozen.probes} == {"passed"}


def test_adapters_that_are_kept_apart_say_the_same(base: Path, adapter: Make) -> None:
    folders = [adapter(1), adapter(2, ("v_proj", "down_proj"))]
    apart = with_adapters(AutoModelForCausalLM.from_pretrained(base), folders, apart=True).eval()
    expected = plain_logits(base, *folders)
    with torch.no_grad():
        assert (apart(input_ids=IDS).logits - expected).abs().max() < 1e-5 * expected.abs().max()
        body = apart.base_model(input_ids=IDS).last_hidden_state
        assert torch.equal(apart.get_output_embeddings()(body), apart(input_ids=IDS).logits)


def test_adapters_are_merged_in_float32_before_the_cast(base: Path, adapter: Make) -> None:
    one = adapter(1)
    whole = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), one).merge_and_unload()
    whole.save_pretrained(base.parent / "merged")
    AutoTokenizer.from_pretrained(base).save_pretrained(base.parent / "merged")
    ours = load_frozen_model(f"{base}+{one}", dtype="bfloat16").model
    theirs = load_frozen_model(str(base.parent / "merged"), dtype="bfloat16").model
    for name, weights in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], weights), name
    buffers = dict(theirs.named_buffers())
    assert {name: buffer.dtype for name, buffer in ours.named_buffers()} == {n: b.dtype for n, b in buffers.items()}


def test_an_adapter_alone_is_put_onto_the_base_that_it_names(base: Path, adapter: Make) -> None:
    one = adapter(1)
    assert torch.equal(
        load_frozen_model(str(one)).logits_of_ids(IDS), load_frozen_model(f"{base}+{one}").logits_of_ids(IDS)
    )
    assert find_fingerprint(str(one)) == find_fingerprint(f"{base}+{one}")


def say_of(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("/nowhere/at/all", "which is no base on this machine; give the two as BASE+"),
        ("somebody/else", "its base 'somebody/else': it is not on this machine, .*; give a base that is here as BASE+"),
        (None, "names no base; give the two as BASE+"),
    ],
)
def test_an_adapter_whose_base_is_not_here_says_what_to_give(adapter: Make, named: str | None, said: str) -> None:
    one = adapter(1)
    say_of(one, base_model_name_or_path=named)
    with pytest.raises(InputError, match=said):
        load_frozen_model(str(one), offline=True)


def test_the_base_that_an_adapter_names_is_checked(base: Path, adapter: Make, tmp_path: Path) -> None:
    one = adapter(1)
    say_of(one, base_model_name_or_path="owner/other-model")
    with pytest.raises(InputError, match=r"was made for owner/other-model, and .* is given; .*any_base: true"):
        load_frozen_model(f"{base}+{one}")
    card = tmp_path / "card.yaml"
    card.write_text(f"base: {base}\nadapters: [{one}]\nany_base: true\n")
    assert load_frozen_model(str(card)).card == {"base": str(base), "adapters": [str(one)], "any_base": True}
    for fits in ("owner/base", "elsewhere/base/", str(base), str(base.parent / "x" / ".." / "base"), ""):
        say_of(one, base_model_name_or_path=fits)
        load_frozen_model(f"{base}+{one}")


def test_the_embedding_grows_before_an_adapter_that_was_trained_on_more_rows(base: Path, adapter: Make) -> None:
    """PAD added and resized first, as published adapters were; the tokenizer is the adapter's own."""
    rows = len(AutoModelForCausalLM.from_pretrained(base).get_input_embeddings().weight)
    one = adapter(1, tokens=rows + 1, modules_to_save=["embed_tokens", "lm_head"])
    with pytest.raises(RuntimeError, match="size mismatch"):
        plain_logits(base, one)
    frozen = load_frozen_model(f"{base}+{one}")
    assert len(frozen.embedding.weight) == rows + 1
    assert frozen.tokenizer.pad_token == "<PAD>"
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(rows + 1, mean_resizing=False)
    expected = PeftModel.from_pretrained(model, one).eval()(input_ids=IDS).logits
    assert (frozen.logits_of_ids(IDS) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_new_rows_are_the_same_at_every_load_and_none_is_taken_away(base: Path, adapter: Make) -> None:
    one = adapter(1, tokens=1)  # the tokenizer with PAD; the rows that it was saved with are fewer than the base's
    shutil.rmtree(one)
    one = adapter(2)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([f"<new-{number}>" for number in range(9)])
    tokenizer.save_pretrained(one)
    first, second = load_frozen_model(f"{base}+{one}"), load_frozen_model(f"{base}+{one}")
    old = AutoModelForCausalLM.from_pretrained(base).get_input_embeddings().weight
    assert len(first.embedding.weight) == len(tokenizer) > len(old)
    assert torch.equal(first.embedding.weight, second.embedding.weight)
    assert torch.equal(first.embedding.weight[: len(old)], old)
    torch.testing.assert_close(first.embedding.weight[-1], old.mean(dim=0))


def test_an_adapter_in_a_subfolder(base: Path, adapter: Make, tmp_path: Path) -> None:
    one = adapter(1)
    (tmp_path / "many" / "checkpoints").mkdir(parents=True)
    shutil.move(one, tmp_path / "many" / "checkpoints" / "checkpoint-10")
    frozen = load_frozen_model(f"{base}+{tmp_path}/many:checkpoints/checkpoint-10")
    folder = tmp_path / "many" / "checkpoints" / "checkpoint-10"
    expected = plain_logits(base, folder)
    assert (frozen.logits_of_ids(IDS) - expected).abs().max() < 1e-5 * expected.abs().max()
    with pytest.raises(InputError, match=r"has no folder 'checkpoint-11'; give one that it has"):
        load_frozen_model(f"{base}+{tmp_path}/many:checkpoint-11")


def test_weights_without_a_place_are_an_error_and_not_a_warning(base: Path, adapter: Make) -> None:
    one = adapter(1)
    weights = load_file(one / "adapter_model.safetensors")
    save_file(
        {name.replace("q_proj", "z_proj"): value for name, value in weights.items()}, one / "adapter_model.safetensors"
    )
    with pytest.raises(InputError, match=r"adapter .*: it lacks .*q_proj"):
        load_frozen_model(f"{base}+{one}")
    save_file(weights | {"base_model.model.extra.lora_A.weight": torch.ones(2, 2)}, one / "adapter_model.safetensors")
    with pytest.raises(InputError, match=r"adapter .*: the model has no place for .*extra"):
        load_frozen_model(f"{base}+{one}")


def test_a_soft_prompt_is_no_adapter(base: Path, tmp_path: Path) -> None:
    settings = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(tmp_path / "soft")
    with pytest.raises(InputError, match="is a soft prompt"):
        load_frozen_model(f"{base}+{tmp_path}/soft")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny-text+", "empty name before or behind a +"),
        ("tiny-text+tiny-chat", "is no adapter"),
        ("./nowhere", "is no folder; give an embedded name"),
        ("owner/name/more", "is no folder"),
        ("owner/name@one:two:three", "is no folder"),
        ("tiny-tex", r"did you mean 'tiny-text'\?"),
        ("smollm2-135n", r"did you mean 'smollm2-135m'\?"),
    ],
)
def test_wrong_names_are_refused_in_one_line(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        load_frozen_model(name, offline=True)
    assert "\n" not in str(refused.value)


def test_two_adapters_without_a_base_are_refused(adapter: Make) -> None:
    with pytest.raises(InputError, match="is an adapter; give a whole model in front of adapters"):
        find_source(f"{adapter(1)}+{adapter(2)}")


def test_what_adapters_and_their_order_are_is_in_the_fingerprint(base: Path, adapter: Make) -> None:
    one, two = adapter(1), adapter(2)
    names = [str(base), f"{base}+{one}", f"{base}+{two}", f"{base}+{one}+{two}", f"{base}+{two}+{one}"]
    prints = [find_fingerprint(name) for name in names]
    assert len(set(prints)) == len(names)
    assert load_frozen_model(names[3]).fingerprint == prints[3]
    weights = load_file(one / "adapter_model.safetensors")
    save_file({name: value * 2 for name, value in weights.items()}, one / "adapter_model.safetensors")
    assert find_fingerprint(names[1]) != prints[1]


def test_what_is_on_this_machine_has_no_revision(base: Path) -> None:
    for name in ("tiny-text", str(base), f"{base.parent}:base", f"{base}+{base}"):
        with pytest.raises(InputError, match="has no revision 'main'; leave it out, or give a hub id"):
            find_source(name, "main")


def test_a_stored_commit_takes_the_place_of_the_name_that_stood_for_it(tmp_path: Path) -> None:
    commit = "0123456789" * 4
    assert find_source("owner/name@v1", commit).base.revision == commit
    (tmp_path / "card.yaml").write_text("base: owner/name\nrevision: v1\n")
    assert find_source(str(tmp_path / "card.yaml"), commit).base.revision == commit


def test_two_revisions_of_an_adapter_are_two_models() -> None:
    one, other, plain = (find_source(f"tiny-text+owner/name{at}").identity for at in ("@v1", "@v2", ""))
    assert len({one, other, plain}) == 3
    assert plain.endswith("tiny-text+owner/name")


def test_an_adapter_alone_takes_the_revision_of_its_base_that_it_names(adapter: Make) -> None:
    folder = adapter(1)
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings |= {"base_model_name_or_path": "owner/name", "revision": "v3"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    assert find_source(str(folder)).base.revision == "v3"


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda folder, _: (folder / "adapter_model.safetensors").unlink(), "has no adapter_model.safetensors; give"),
        (
            lambda folder, _: (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin"),
            "only adapter_model.bin, a pickle, which can run code; give the whole",
        ),
        (lambda _, settings: settings.update(base_model_name_or_path=7), "base_model_name_or_path is 7, and no name"),
        (lambda _, settings: settings.update(peft_type="OTHER"), "of peft_type 'OTHER', which peft here does not"),
    ],
)
def test_an_adapter_that_cannot_be_read_is_named_and_no_hub_is_asked(
    base: Path, adapter: Make, spoil: Callable[[Path, dict[str, Any]], Any], expected: str
) -> None:
    folder = adapter(1)
    settings = json.loads((folder / "adapter_config.json").read_text())
    spoil(folder, settings)
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=expected) as refused:
        load_frozen_model(f"{base}+{folder}")
    assert "\n" not in str(refused.value)


def test_weights_on_the_disk_lie_in_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFT_PROMPTS_CACHE", str(tmp_path))
    wanted = Wanted("float32", torch.device("cpu"), spread=Spread("auto"), mode="pipeline")
    one, other = (_placing(wanted, PretrainedConfig(), None)["offload_folder"] for _ in range(2))
    assert one != other
    assert Path(one).parent == Path(other).parent == tmp_path / "offload"


def test_revision_and_subfolder_of_a_hub_model() -> None:
    part = find_source("owner/name@v1.0:sub/folder").base
    assert (part.place, part.revision, part.subfolder) == ("owner/name", "v1.0", "sub/folder")
    assert find_source("owner/name", "main").base.revision == "main"
    assert find_source("owner/name@main", "main").base.revision == "main"
    with pytest.raises(InputError, match="names the revision v1, --revision v2; give one of them"):
        find_source("owner/name@v1", "v2")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, base: Path, adapter: Make, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache with a model in a subfolder, and an adapter in another repository's subfolder."""
    home = tmp_path / "hub"
    for repository, folder, inside in (("tiny", base, "sub"), ("lora", adapter(1), "checkpoints/checkpoint-5")):
        repo = home / f"models--somebody--{repository}"
        shutil.copytree(folder, repo / "snapshots" / COMMIT / inside)
        (repo / "refs").mkdir()
        (repo / "refs" / "v1").write_text(COMMIT)
    say_of(
        home / "models--somebody--lora" / "snapshots" / COMMIT / "checkpoints" / "checkpoint-5",
        base_model_name_or_path="x/tiny",
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(home))
    return home


@pytest.mark.usefixtures("hub")
def test_parts_from_a_hub(base: Path, adapter: Make) -> None:
    name = "somebody/tiny@v1:sub+somebody/lora@v1:checkpoints/checkpoint-5"
    frozen = load_frozen_model(name, offline=True)
    assert frozen.commit == COMMIT
    expected = load_frozen_model(f"{base}+{base.parent}/adapter-1")
    assert torch.equal(frozen.logits_of_ids(IDS), expected.logits_of_ids(IDS))
    assert load_tokenizer(name, offline=True)("of the")["input_ids"] == expected.tokenizer("of the")["input_ids"]
    with pytest.raises(InputError, match=r"'somebody/none' cannot be found: it is not on this machine"):
        load_frozen_model("somebody/tiny@v1:sub+somebody/none", offline=True)


@pytest.mark.parametrize(("method", "package"), [(name, package) for name, (_, package) in PACKAGES.items()])
def test_a_quantised_base_says_the_package_that_it_needs(
    base: Path, method: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((base / "config.json").read_text())
    settings = {"quant_method": method, "bits": 4}
    (base / "config.json").write_text(json.dumps(config | {"quantization_config": settings}))
    monkeypatch.setattr("soft_prompts.models.loading.quantised.find_spec", lambda _: None)
    with pytest.raises(
        InputError, match=f"it is quantised by {method}, which needs a package: pip install {package}"
    ) as said:
        load_frozen_model(str(base))
    assert "\n" not in str(said.value)


def test_a_model_that_is_spread_says_what_it_says_whole(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of it lie on the disk here: a machine of the checks has one device."""
    monkeypatch.setenv("SOFT_PROMPTS_CACHE", str(tmp_path / "cache"))
    spread = load_frozen_model(str(base), spread=Spread("auto", ("cpu=60KB",)))
    whole = load_frozen_model(str(base))
    assert spread.is_spread
    assert not whole.is_spread
    assert spread.device == whole.device
    assert torch.equal(spread.logits_of_ids(IDS), whole.logits_of_ids(IDS))
    assert torch.equal(spread.vocabulary, whole.vocabulary)
    assert (spread.head, spread.fingerprint) == (None, whole.fingerprint)


def test_limits_of_memory_are_read() -> None:
    assert Spread("auto", ("0=20GiB", "cpu=60GiB")).limits == {0: "20GiB", "cpu": "60GiB"}
    with pytest.raises(UsageError, match="max-memory is 20GiB; give DEVICE=SIZE"):
        Spread("auto", ("20GiB",))
    with pytest.raises(UsageError, match=r"max-memory is cpu=1GB, .*; give --parallel pipeline"):
        Spread(None, ("cpu=1GB",))


def test_an_installable_model_says_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFT_PROMPTS_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match=r"is not on this machine; install it once: soft-prompts models install smollm2"
    ):
        load_frozen_model("smollm2-135m")
