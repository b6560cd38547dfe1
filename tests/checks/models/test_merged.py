"""Does a base with an adapter in its weights say what peft says with the adapter beside them?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from soft_prompts.common.errors import InputError
from soft_prompts.experiments.estimate.sketch import sketch
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.models.frozen import find_configuration, load_frozen_model
from soft_prompts.models.model import FrozenModel

IDS = torch.arange(1, 30)[None]
Make = Callable[..., Path]


@pytest.fixture
def base(tmp_path: Path, tiny_folders: dict[str, Path]) -> Path:
    """Its embedding is its head."""
    folder = tmp_path / "base"
    torch.manual_seed(0)
    LlamaForCausalLM(AutoConfig.from_pretrained(tiny_folders["llama"], tie_word_embeddings=True)).save_pretrained(
        folder
    )
    AutoTokenizer.from_pretrained(tiny_folders["llama"]).save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Make:
    def make(number: int, *targets: str, **more: Any) -> Path:
        folder = tmp_path / f"adapter-{number}"
        torch.manual_seed(number)
        settings = LoraConfig(r=2, target_modules=list(targets), init_lora_weights=False, **more)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "modules_to_save" in name or "trainable_tokens" in name:
                    weight.add_(torch.randn_like(weight))
        model.save_pretrained(folder)
        return folder

    return make


def of_peft(base: Path, *adapters: Path) -> torch.Tensor:
    """Logits with all adapters active and none merged."""
    first, *others = adapters
    model: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), first, adapter_name="0")
    for number, folder in enumerate(others, 1):
        model.load_adapter(folder, adapter_name=str(number))
    model.base_model.set_adapter([str(number) for number in range(len(adapters))])
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def is_tied(frozen: FrozenModel) -> bool:
    head: Any = frozen.model.get_output_embeddings()
    return head.weight is frozen.embedding.weight


def agrees(frozen: FrozenModel, expected: torch.Tensor) -> bool:
    return bool((frozen.logits_of_ids(IDS) - expected).abs().max() < 1e-5 * expected.abs().max())


@pytest.mark.parametrize(
    ("targets", "more", "tied"),
    [
        (("q_proj",), {}, True),
        (("q_proj", "lm_head"), {}, False),
        (("q_proj", "embed_tokens"), {}, False),
        (("embed_tokens", "lm_head"), {}, False),
        (("embed_tokens",), {"ensure_weight_tying": True}, True),
        (("q_proj",), {"trainable_token_indices": [3, 5]}, True),
        (("q_proj",), {"trainable_token_indices": {"embed_tokens": [3, 5], "lm_head": [4]}}, False),
        (("q_proj",), {"modules_to_save": ["embed_tokens"]}, False),
        (("q_proj",), {"modules_to_save": ["lm_head"]}, False),
        (("q_proj",), {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}, True),
    ],
)
def test_what_changes_a_tied_embedding_or_head_leaves_the_other_as_it_was(
    base: Path, adapter: Make, tmp_path: Path, targets: tuple[str, ...], more: dict[str, Any], tied: bool
) -> None:
    one = adapter(1, *targets, **more)
    frozen, expected = load_frozen_model(f"{base}+{one}"), of_peft(base, one)
    assert agrees(frozen, expected)
    assert is_tied(frozen) == frozen.model.config.tie_word_embeddings == tied
    frozen.model.save_pretrained(tmp_path / "whole")
    frozen.tokenizer.save_pretrained(tmp_path / "whole")
    again = load_frozen_model(str(tmp_path / "whole"))
    assert agrees(again, expected)
    assert is_tied(again) == tied
    assert frozen.fingerprint == find_fingerprint(f"{base}+{one}") != again.fingerprint


@pytest.mark.parametrize(
    ("targets", "more"),
    [
        (("q_proj", "lm_head"), {}),
        (("q_proj",), {"modules_to_save": ["embed_tokens"]}),
        (("q_proj",), {"trainable_token_indices": [3]}),
        (("embed_tokens",), {"ensure_weight_tying": True}),
    ],
)
def test_an_estimate_counts_the_head_that_an_adapter_parts_from_its_embedding(
    base: Path, adapter: Make, targets: tuple[str, ...], more: dict[str, Any]
) -> None:
    name = f"{base}+{adapter(1, *targets, **more)}"
    frozen = load_frozen_model(name)
    drawn = sketch(find_configuration(name), 2, frozen.tokenizer, "cpu", "float32")
    assert drawn.parameters == sum(weight.numel() for weight in frozen.model.parameters())


@pytest.mark.parametrize("order", [("lm_head", "embed_tokens"), ("q_proj", "lm_head"), ("embed_tokens", "q_proj")])
def test_a_stack_on_a_tied_base_is_what_peft_makes_of_it(base: Path, adapter: Make, order: tuple[str, ...]) -> None:
    folders = [adapter(number, target, "v_proj") for number, target in enumerate(order)]
    assert agrees(load_frozen_model(f"{base}+{folders[0]}+{folders[1]}"), of_peft(base, *folders))


def test_parts_stay_apart_when_a_later_adapter_brings_rows(base: Path, adapter: Make) -> None:
    one, two = adapter(1, "lm_head"), adapter(2, "q_proj")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(two)
    frozen, expected = load_frozen_model(f"{base}+{one}+{two}"), of_peft(base, one, two)
    logits = frozen.logits_of_ids(IDS)[..., : expected.shape[-1]]
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()
    assert not is_tied(frozen)


def test_an_adapter_that_repeats_layers_is_refused_and_not_merged_into_all_copies(base: Path, adapter: Make) -> None:
    one = adapter(1, "q_proj", layer_replication=[[0, 2], [1, 2]])
    with pytest.raises(InputError, match=r"repeats layers \(layer_replication\), .*; give a whole checkpoint") as said:
        load_frozen_model(f"{base}+{one}")
    assert "\n" not in str(said.value)


def test_a_merge_that_changes_what_the_model_says_is_refused(
    base: Path, adapter: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = adapter(1, "q_proj")
    monkeypatch.setattr("peft.tuners.lora.layer.Linear.merge", lambda *_, **__: None)
    with pytest.raises(InputError, match=r"merged into the base it says something else .*; give a whole") as said:
        load_frozen_model(f"{base}+{one}", dtype="bfloat16")
    assert "\n" not in str(said.value)
