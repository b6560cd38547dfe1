"""Is a model that is not what its numbers would be about refused, in one line, by the probe that is named for it?"""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from soft_prompts.common.errors import InputError
from soft_prompts.models import packed
from soft_prompts.models.batching import Batching
from soft_prompts.models.frozen import load_frozen_model, model_key
from soft_prompts.models.model import FrozenModel, Writing
from soft_prompts.models.probes import PROBES, Loaded, examine
from tests.checks.made.architectures import save_architecture

CLEAN = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}


@pytest.fixture
def folder(tmp_path: Path, tiny_folders: dict[str, Path]) -> Path:
    return shutil.copytree(tiny_folders["llama"], tmp_path / "model")


def again(frozen: FrozenModel, spoil: Callable[[torch.nn.Module], object]) -> FrozenModel:
    """The probes on a spoilt copy."""
    model = copy.deepcopy(frozen.model)
    spoil(model)
    with torch.no_grad():
        return examine(Loaded(replace(frozen, model=model, probes=(), head=None), CLEAN))


def findings(frozen: FrozenModel) -> dict[str, str]:
    return {probe.name: probe.text for probe in frozen.probes}


def test_an_ordinary_model_passes_every_probe(frozen: FrozenModel) -> None:
    assert findings(frozen) == dict.fromkeys(PROBES, "passed")
    assert {probe.state for probe in frozen.probes} == {"passed"}
    assert frozen.head is frozen.model.get_output_embeddings()
    assert (frozen.batching, frozen.writing, frozen.caches, frozen.hooked) == (Batching(), Writing(), True, False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"), "missing weights (model.layers.1.mlp.up"),
        (lambda weights: weights.update(extra=torch.ones(3)), "unexpected weights (extra)"),
        (
            lambda weights: weights.update({"model.norm.weight": torch.ones(31)}),
            "mismatched weights (model.norm.weight)",
        ),
    ],
)
def test_every_weight_comes_from_the_checkpoint(
    folder: Path, change: Callable[[dict[str, Tensor]], object], said: str
) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError) as refused:
        load_frozen_model(str(folder))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_dropped_layers_are_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    with pytest.raises(InputError, match=r"unexpected weights \(model\.layers\.1\..* and 6 more\): .*mend its config"):
        load_frozen_model(str(folder))


def test_a_weight_that_is_not_finite_is_named(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"its weight model.layers.1.mlp.up_proj.weight is not finite .*; give anot"):
        load_frozen_model(str(folder))


def test_logits_that_are_not_finite_are_told_from_a_cache_that_changes_them(one_frozen: FrozenModel) -> None:
    def overflow(model: torch.nn.Module) -> None:
        model.get_submodule("gpt_neox").register_forward_hook(_infinite)

    with pytest.raises(InputError, match=r"its logits are not finite \(NaN or infinite\) in float32; give another"):
        again(one_frozen, overflow)


def _infinite(_: object, __: object, output: Any) -> Any:
    output.last_hidden_state = output.last_hidden_state * float("inf")
    return output


def test_a_model_without_a_tokenizer_is_told_how_to_get_one(folder: Path) -> None:
    for path in folder.glob("*token*"):
        path.unlink()
    with pytest.raises(InputError, match=r"it has no tokenizer; write a card with `base:` and `tokenizer:`"):
        load_frozen_model(str(folder))


def test_a_model_of_another_kind_is_called_that(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(InputError, match="cannot be loaded: transformers has no causal language model of its kind; g"):
        load_frozen_model(str(folder))


def test_tied_weights_are_not_missing(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    config = AutoConfig.from_pretrained(tiny_folders["llama"], tie_word_embeddings=True)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_folders["llama"]).save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    assert findings(load_frozen_model(str(tmp_path))) == dict.fromkeys(PROBES, "passed")


def test_a_token_without_an_embedding_is_named(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<note-{number}>" for number in range(6)])  # the matrix has room for five
    tokenizer.save_pretrained(folder)
    rows, first = 5 + len(tokenizer) - 6, "<note-5>"
    with pytest.raises(InputError, match=rf"token {rows} \('{first}'\), of which the model has no embedding \(0 to"):
        load_frozen_model(str(folder))


def test_a_model_that_sees_ahead_is_refused(one_frozen: FrozenModel) -> None:
    def see_ahead(model: torch.nn.Module) -> None:
        layer = model.get_submodule("gpt_neox.layers.0.mlp")
        layer.register_forward_hook(lambda _, __, output: output + 0.01 * output.mean(dim=1, keepdim=True))

    with pytest.raises(InputError, match="it sees the tokens it is asked for"):
        again(one_frozen, see_ahead)


@torch.no_grad()
def test_a_model_that_sees_ahead_is_refused_whatever_its_texts_repeat(one_frozen: FrozenModel) -> None:
    """Of two tokens one is special: every probe text is the other one, again and again."""
    config = copy.deepcopy(one_frozen.model.config)
    config.vocab_size = 2
    model = AutoModelForCausalLM.from_config(config).eval()
    frozen = replace(one_frozen, model=model)
    assert PROBES["causality"](Loaded(frozen, CLEAN)) == (frozen, "passed")
    model.get_submodule("gpt_neox.layers.0.mlp").register_forward_hook(
        lambda _, __, output: output + 0.5 * output.mean(dim=1, keepdim=True)
    )
    with pytest.raises(InputError, match="it sees the tokens it is asked for"):
        PROBES["causality"](Loaded(frozen, CLEAN))


def scale_ids(model: torch.nn.Module) -> None:
    """Multiply what enters as ids, as Falcon-H1 does."""
    plain = model.forward

    def forward(*, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, **rest: object) -> object:
        rows = model.get_input_embeddings()(input_ids) * 3 if inputs_embeds is None else inputs_embeds
        return plain(inputs_embeds=rows, **rest)

    model.forward = forward


def test_a_multiplier_behind_the_embedding_is_kept(one_frozen: FrozenModel) -> None:
    scaled = again(one_frozen, scale_ids)
    assert findings(scaled)["embeddings"] == "embeddings enter behind the embedding layer"
    ids = torch.arange(1, 9)[None]
    with torch.no_grad():
        expected = scaled.model(input_ids=ids).logits
        assert torch.allclose(scaled.logits(scaled.embed(ids)), expected, atol=1e-5)
    assert not torch.allclose(one_frozen.logits(one_frozen.embed(ids)), expected, atol=1e-1)  # it matters
    assert not scaled.embedding._forward_hooks


def test_a_model_that_reads_ids_elsewhere_too_is_refused(one_frozen: FrozenModel) -> None:
    def read_ids(model: torch.nn.Module) -> None:
        plain = model.forward

        def forward(*, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, **rest: object) -> object:
            output = plain(input_ids=input_ids, inputs_embeds=inputs_embeds, **rest)
            if input_ids is not None:
                output.logits = output.logits + input_ids[..., None] % 7
            return output

        model.forward = forward

    with pytest.raises(InputError, match="it needs token ids in its layers, which a soft prompt has not"):
        again(one_frozen, read_ids)


def test_a_model_that_cannot_learn_through_is_refused(one_frozen: FrozenModel) -> None:
    def cut(model: torch.nn.Module) -> None:
        model.get_submodule("gpt_neox").register_forward_pre_hook(
            lambda _, args, given: (
                (args, given | {"inputs_embeds": given["inputs_embeds"].detach()})
                if given.get("inputs_embeds") is not None
                else None
            ),
            with_kwargs=True,
        )

    with pytest.raises(InputError, match="no gradient to its embeddings"):
        again(one_frozen, cut)

    def spread(model: torch.nn.Module) -> None:
        def explode(_: object, __: object, output: object) -> None:
            output.logits.requires_grad and output.logits.register_hook(lambda gradient: gradient * float("nan"))

        model.register_forward_hook(explode)

    with pytest.raises(InputError, match="it is not finite"):
        again(one_frozen, spread)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("change", ["cap of 30", "scale", "nothing"])
def test_caps_and_scales_are_seen_at_any_precision(one_frozen: FrozenModel, dtype: str, change: str) -> None:
    def cap(_: object, __: object, output: object) -> None:
        if change == "cap of 30":
            output.logits = 30 * torch.tanh(output.logits / 30)
        if change == "scale":
            output.logits = output.logits * 1.25

    def spoil(model: torch.nn.Module) -> None:
        model.to(getattr(torch, dtype))
        model.register_forward_hook(cap)

    found = again(one_frozen, spoil)
    assert (found.head is None) == (change != "nothing")
    assert (findings(found)["head"] == "passed") == (change == "nothing")


@pytest.mark.parametrize(
    ("dtype", "off", "packs"),
    [("float32", 0.0, True), ("float32", 0.01, False), ("bfloat16", 0.1, True), ("bfloat16", 0.2, False)],
)
def test_rounding_of_many_layers_is_not_taken_for_another_gradient(
    one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch, dtype: str, off: float, packs: bool
) -> None:
    """In 16 bits the gradients of both roads through SmolLM2's thirty layers are .05 of their length apart."""
    own = FrozenModel.packed

    def noisy(self: FrozenModel, embeds: Tensor, *arguments: object) -> Tensor:
        found = own(self, embeds, *arguments)  # pyright: ignore[reportArgumentType]
        if embeds.requires_grad:
            noise = torch.randn(embeds.shape, generator=torch.Generator().manual_seed(0)).sign().to(embeds)
            embeds.register_hook(lambda slope: slope * (1 + off * noise))
        return found

    monkeypatch.setattr(FrozenModel, "packed", noisy)
    assert again(one_frozen, lambda model: model.to(getattr(torch, dtype))).packs == packs


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_gradient_that_lacks_one_text_is_seen_in_any_precision(
    one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch, dtype: str, lost: int
) -> None:
    """Of what texts behind a head pass back to its keys and values, the first or the second stretch's is dropped."""
    own, calls = packed._slopes, [0]

    def slopes(*rows: object, is_causal: bool, scale: float | None) -> tuple[Tensor, ...]:
        query, *rest = own(*rows, is_causal=is_causal, scale=scale)  # pyright: ignore[reportArgumentType]
        calls[0] += not is_causal
        return query, *(slope * (is_causal or calls[0] % 2 != lost % 2 or not lost) for slope in rest)

    monkeypatch.setattr(packed, "_slopes", slopes)
    found = again(one_frozen, lambda model: model.to(getattr(torch, dtype)))
    assert calls[0] >= 2
    assert found.packs == (lost == 0)


@pytest.mark.parametrize(
    ("kind", "batches", "writing"),
    [
        ("phi3", Batching("sides", 16), Writing()),
        ("rwkv", Batching(), Writing("generate", Batching("alone"))),
        ("openai-gpt", Batching(), Writing("plain loop", Batching("equal"))),
        ("bart", Batching(), Writing("generate", Batching("equal"))),
    ],
)
def test_the_fallbacks_of_architectures(tmp_path: Path, kind: str, batches: Batching, writing: Writing) -> None:
    frozen = load_frozen_model(str(save_architecture(tmp_path, kind)))
    assert (frozen.batching, frozen.writing) == (batches, writing)


def test_rows_that_change_each_other_go_through_alone(one_frozen: FrozenModel) -> None:
    def mix(_: object, __: object, output: object) -> None:
        output.last_hidden_state = output.last_hidden_state + output.last_hidden_state.mean(dim=0, keepdim=True)

    found = again(one_frozen, lambda model: model.get_submodule("gpt_neox").register_forward_hook(mix))
    assert found.batching == Batching("alone")
    assert findings(found)["batches"] == "one row at a time"
    assert found.writing.batching == Batching("alone")
    assert not found.caches


def test_groups_hold_every_row_once() -> None:
    lengths = [3, 9, 3, 20]
    assert Batching().groups(lengths) == [[0, 1, 2, 3]]
    assert Batching("sides", 9).groups(lengths) == [[0, 1, 2], [3]]
    assert Batching("equal").groups(lengths) == [[0, 2], [1], [3]]
    assert Batching("alone").groups(lengths) == [[0], [1], [2], [3]]


def test_a_load_draws_nothing_from_the_global_generator(tiny_folders: dict[str, Path]) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    load_frozen_model(str(tiny_folders["gpt2"]))
    assert torch.equal(torch.rand(1), expected)


def test_the_key_of_a_model_tells_models_apart(tiny_folders: dict[str, Path]) -> None:
    one, other = str(tiny_folders["llama"]), str(tiny_folders["gpt2"])
    keys = {
        model_key(one, None, "auto", "cpu", False),
        model_key(other, None, "auto", "cpu", False),
        model_key("owner/name", None, "float32", "cpu", False),
        model_key("owner/name", "v1", "float32", "cpu", False),
        model_key(one, None, "bfloat16", "cpu", False),
        model_key(one, None, "auto", "cpu", True),
        model_key(one, None, "auto", "cuda", False),
    }
    assert len(keys) == 7
    assert model_key(one, None, "float32", torch.device("cpu"), False) == model_key(one, None, "auto", "cpu", False)


def test_another_road_is_said_once_and_an_ordinary_model_says_nothing(
    tmp_path: Path, tiny_folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    made = save_architecture(tmp_path, "rwkv")
    capsys.readouterr()
    load_frozen_model(str(made))
    assert capsys.readouterr().err.endswith(f"{made}: writing: generate on one row at a time\n")
    load_frozen_model(str(tiny_folders["llama"]))
    assert capsys.readouterr().err == ""
