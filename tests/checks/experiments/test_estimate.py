"""Does a model without weights cost what the model costs, and does the cost follow depth, length and what learns?"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig

from soft_prompts.common.errors import InputError
from soft_prompts.common.machine import resident_memory
from soft_prompts.config import RunConfig
from soft_prompts.engine.batch import collate
from soft_prompts.experiments.catalogue.completion import EXPERIMENT
from soft_prompts.experiments.estimate.counting import Counting
from soft_prompts.experiments.estimate.machine import Machine
from soft_prompts.experiments.estimate.passes import Passes, full_samples, passes_of
from soft_prompts.experiments.estimate.runs import Opened, at_depth, estimate
from soft_prompts.experiments.estimate.sketch import depths, sketch
from soft_prompts.models.frozen import find_configuration, load_frozen_model, load_tokenizer
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.results.roles import FullFineTune, Lora
from soft_prompts.tasks.task import Example
from soft_prompts.training.gradients import batch_losses
from tests.checks.made.architectures import save_architecture

MACHINE = Machine("cpu", "float32", 1e11, 2e10, 4e-6)
IDS = list(range(20, 60))


def draft_of(frozen: FrozenModel, layers: int | None = None) -> FrozenModel:
    configuration = find_configuration(frozen.source)
    own = configuration.get_text_config().num_hidden_layers
    return sketch(configuration, layers or own, frozen.tokenizer, "cpu", "float32").frozen


def config_of(*flags: str) -> RunConfig:
    given = {"--tokens": "4", "--models": "tiny-text", "--batch-size": "8", "--sample-tokens": "24"}
    given |= {"--test-samples": "8", "--validation-samples": "8"}
    own = [word for flag, value in given.items() if flag not in flags for word in (flag, value)]
    grid = EXPERIMENT.parse([*own, "--offline", *flags], "check")
    return EXPERIMENT.runs(grid)[0]


def passes(config: RunConfig, model: str = "tiny-text") -> Passes:
    """On a sketch of two layers of the model, every sample as long as it may be."""
    frozen = sketch(find_configuration(model), 2, load_tokenizer(model), "cpu", "float32").frozen
    return passes_of([config], full_samples(config), frozen, MACHINE)


def counted(frozen: FrozenModel, prompt: torch.nn.Module, lengths: tuple[int, ...]) -> Counting:
    batch = collate([Example(IDS[:length], IDS[:length]) for length in lengths], 0)
    with Counting() as found:
        [loss] = batch_losses(frozen, [(prompt, batch)])
        loss.nats.backward()
    return found


@pytest.mark.parametrize("plain", [False, True])
def test_a_sketch_asks_for_what_the_model_asks_for(frozen: FrozenModel, plain: bool) -> None:
    """Operation by operation, and torch's own counter finds the same products in the model itself."""
    draft = draft_of(frozen)
    roads = {"packs": False, "head": None} if plain else {"packs": True}
    prompt = build_prompt("direct", PromptShape(3, frozen.hidden_size, 0), frozen.vocabulary)
    real = counted(replace(frozen, **roads), prompt, (40, 33, 12))
    drawn = counted(replace(draft, **roads), prompt, (40, 33, 12))
    assert sum(one.products for one in drawn.operations) == sum(one.products for one in real.operations) > 0
    assert drawn.peak_bytes == pytest.approx(real.peak_bytes, rel=0.03)
    batch = collate([Example(IDS[:8], IDS[:8])] * 3, 0)  # too short for attention to count
    with FlopCounterMode(display=False) as counter, Counting() as ours:
        [loss] = batch_losses(replace(frozen, **roads), [(prompt, batch)])
        loss.nats.backward()
    attention = sum(one.products for one in ours.operations) - counter.get_total_flops()
    assert 0 <= attention < 0.2 * counter.get_total_flops()  # which it does not know on a CPU


def test_a_sketch_has_the_parameters_of_its_model(frozen: FrozenModel) -> None:
    draft = draft_of(frozen)
    assert {name: value.shape for name, value in draft.model.state_dict().items()} == {
        name: value.shape for name, value in frozen.model.state_dict().items()
    }
    assert (draft.head is None) == (frozen.head is None)


def test_depth_costs_what_each_further_layer_costs() -> None:
    shape: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "vocab_size": 200}
    deep, tokenizer = LlamaConfig(**shape, num_hidden_layers=14), load_tokenizer("tiny-text")
    found = {}
    for layers in (*depths(deep), 14):
        frozen = sketch(deep, layers, tokenizer, "cpu", "float32").frozen
        prompt = build_prompt("direct", PromptShape(3, 32, 0), torch.zeros(9, 32) + 1)
        found[layers] = counted(frozen, prompt, (40, 40)).work(MACHINE)
    for field in ("seconds", "products", "peak_bytes"):
        few = [getattr(found[layers], field) for layers in depths(deep)]
        assert at_depth(depths(deep), few, 14) == pytest.approx(getattr(found[14], field), rel=0.02), field
    assert depths(LlamaConfig(num_hidden_layers=3)) == (3,)


def test_more_of_anything_costs_more() -> None:
    base = passes(config_of())
    longer = passes(config_of("--tokens", "64")).step
    assert longer.peak_bytes > 1.1 * base.step.peak_bytes  # the prompt stands once for all samples
    assert longer.products > 1.2 * base.step.products
    whole, parts = (passes(config_of("--micro-batch-size", size)).step for size in ("8", "2"))
    assert parts.peak_bytes < 0.5 * whole.peak_bytes
    assert parts.products > 0.9 * whole.products
    bare = passes(config_of("--tokens", "0"))
    assert bare.step.products == 0
    assert 0 < bare.measured.products < base.measured.products


def test_weights_that_learn_cost_gradients_and_moments() -> None:
    config = config_of("--tokens", "0")
    prompt, lora, full = (
        passes(replace(config, **changes)).step.peak_bytes
        for changes in ({"tokens": 4}, {"role": Lora()}, {"role": FullFineTune()})
    )
    draft = sketch(find_configuration("tiny-text"), 2, load_tokenizer("tiny-text"), "cpu", "float32")
    parameters = sum(weight.numel() for weight in draft.frozen.model.parameters())
    assert draft.parameters == parameters
    assert lora > prompt
    assert full > prompt + 3 * 4 * parameters


def test_seventy_billion_parameters_need_no_memory_to_be_estimated(tmp_path: Path) -> None:
    """A folder with a config.json and nothing else; what weights would take is in the estimate."""
    shape: dict[str, Any] = {
        "hidden_size": 8192,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "vocab_size": 128256,
    }
    heads: dict[str, Any] = {"num_attention_heads": 64, "num_key_value_heads": 8, "max_position_embeddings": 8192}
    LlamaConfig(**shape, **heads).save_pretrained(tmp_path / "large")
    config = replace(config_of("--dtype", "bfloat16", "--steps", "10"), model=str(tmp_path / "large"))
    before = resident_memory()
    found = estimate([config])
    assert resident_memory() - before < 1e9
    assert found.parameters == pytest.approx(70.55e9, rel=0.001)
    assert found.weights_bytes == 2 * found.parameters
    assert "tokenizer" in (found.bound or "")
    assert found.seconds > 10 * found.step_seconds > 0


def test_a_quantised_base_has_few_bits_of_its_linear_layers(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 12, "vocab_size": 1000}
    weights = dict[str, float]()
    for name, settings in (
        ("plain", None),
        ("four", {"quant_method": "bitsandbytes", "load_in_4bit": True}),
        ("eight", {"quant_method": "gptq", "bits": 8}),
    ):
        more = {} if settings is None else {"quantization_config": settings}
        LlamaConfig(**shape, num_attention_heads=4, num_key_value_heads=4, **more).save_pretrained(tmp_path / name)
        config = replace(config_of("--dtype", "bfloat16", "--steps", "10"), model=str(tmp_path / name))
        weights[name] = estimate([config]).weights_bytes
    linear = 12 * (4 * 64 * 64 + 3 * 64 * 256)
    assert weights["plain"] == 2 * (linear + 2 * 1000 * 64 + 64 * (2 * 12 + 1))
    assert weights["four"] == weights["plain"] - 1.5 * linear
    assert weights["eight"] == weights["plain"] - linear


def test_what_cannot_be_sketched_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be"):
        estimate([replace(config_of(), model=str(tmp_path))])


def test_a_model_of_another_kind_is_no_model_to_sketch(tmp_path: Path, tiny_folders: dict[str, Path]) -> None:
    folder = shutil.copytree(tiny_folders["llama"], tmp_path / "other")
    (folder / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(InputError, match="its weights: transformers has no causal language model of its kind; give a"):
        estimate([replace(config_of(), model=str(folder))])


def test_runs_that_go_together_are_estimated_together() -> None:
    one = config_of("--tokens", "1")
    opened = Opened(full_samples(one), 0.0, "no data")
    alone, group = estimate([one], opened), estimate([one, replace(one, tokens=4)], opened)
    assert group.bytes > alone.bytes
    assert alone.step_seconds < group.step_seconds < 3 * alone.step_seconds
    assert alone.seconds < group.seconds


def test_experts_are_counted_as_they_are_multiplied(tmp_path: Path) -> None:
    """In float32, in which torch multiplies none without numbers."""
    frozen = load_frozen_model(str(save_architecture(tmp_path, "mixtral")))
    prompt = build_prompt("direct", PromptShape(3, frozen.hidden_size, 0), frozen.vocabulary)
    plain = {"packs": False, "head": None}
    real, drawn = (counted(replace(model, **plain), prompt, (40, 33, 12)) for model in (frozen, draft_of(frozen)))
    products = sum(one.products for one in real.operations)
    assert sum(one.products for one in drawn.operations) == products
    rows, layers, chosen, wide, narrow = 3 * (40 + 3), 2, 2, 64, 32  # padded samples behind three tokens
    experts = 3 * 2 * rows * chosen * wide * narrow * layers  # gate, up and down; and again for the rows' gradient
    assert products > 2 * experts


@pytest.mark.parametrize("kind", ["openai-gpt", "rwkv", "mamba", "falcon", "mixtral"])
def test_any_architecture_is_estimated(tmp_path: Path, kind: str) -> None:
    """Without a cache or fused attention, with layer types of its own, with biases that packed rows cannot have."""
    folder = str(save_architecture(tmp_path, kind))
    found = estimate([replace(config_of(), model=folder)])
    assert found.parameters == sum(weight.numel() for weight in load_frozen_model(folder).model.parameters())
    assert 0 < found.step_seconds < found.seconds
