"""Does a prompt that PEFT trained measure here what it measures in PEFT, and is what is no prompt refused in a line?"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from soft_prompts.common.errors import InputError
from soft_prompts.config import RunConfig
from soft_prompts.engine.generation import generate
from soft_prompts.exchange.export import export_prompt
from soft_prompts.exchange.imports import import_prompt
from soft_prompts.exchange.peft_adapter import read_adapter
from soft_prompts.exchange.recipes import FORMS
from soft_prompts.experiments.run import run
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.files import read_items
from soft_prompts.results.schema import Result
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.tasks.task import UNSCORED, Example, Query
from soft_prompts.training.apparatus import data_request, run_paths
from tests.checks.conftest import ARCHITECTURES

TOKENS, BY_ITEM = 4, 1e-5
CONFIGS = {
    "PROMPT_TUNING": peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=TOKENS),
    "P_TUNING": peft.PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=TOKENS, encoder_hidden_size=8),
}


class Trained(NamedTuple):
    """An adapter, and what PEFT itself makes of the test items."""

    folder: Path
    config: RunConfig
    nats: list[float]
    """Of each test item, summed over its labels."""


def peft_nats(model: Any, example: Example) -> torch.Tensor:
    """By PEFT's forward; its logits begin with those of its virtual tokens."""
    ids, labels = torch.tensor([example.input_ids]), torch.tensor(example.labels)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, TOKENS - 1 : -1]
    scored = labels != UNSCORED
    return cross_entropy(logits[scored], labels[scored], reduction="sum")


@pytest.fixture
def train(tiny_folders: dict[str, Path], with_begin: FrozenModel, tmp_path: Path) -> Callable[..., Trained]:
    """PEFT trains a few steps on a task of ours."""

    def make(architecture: str, kind: str = "PROMPT_TUNING") -> Trained:
        rows = [{"prompt": f"{n} and one is", "completion": f" {n + 1}"} for n in range(80)]
        data = tmp_path / "numbers.jsonl"
        data.write_text("\n".join(map(json.dumps, rows)))
        small = {"data": str(data), "sample_tokens": 32, "validation_samples": 4, "test_samples": 8, "batch_size": 8}
        model = with_begin.name if architecture == "with begin token" else str(tiny_folders[architecture])
        config = RunConfig(CompletionTask(), model, TOKENS, prompt="direct", **small)
        frozen = load_frozen_model(config.model)
        opened = config.task.open(data_request(config), frozen.tokenizer)
        torch.manual_seed(0)
        model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(config.model), CONFIGS[kind])
        optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
        stream = opened.training(None)
        for _ in range(4):
            loss = torch.stack([peft_nats(model, next(stream)[0]) for _ in range(8)]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            nats = [float(peft_nats(model.eval(), example)) for example in opened.held_out("test")]
        model.save_pretrained(tmp_path / "adapter")
        return Trained(tmp_path / "adapter", config, nats)

    return make


def measured(trained: Trained, snapshot: Path, **changes: Any) -> tuple[RunConfig, Result]:
    config = replace(trained.config, snapshot=snapshot, steps=0, output_dir=snapshot.parent / "out", **changes)
    return config, run(config)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "with begin token"])
def test_a_prompt_that_peft_trained_has_pefts_loss(train: Callable[..., Trained], architecture: str) -> None:
    trained = train(architecture)
    imported = import_prompt(trained.folder, trained.folder.parent / "own")
    assert imported.snapshot.model == trained.config.model
    begins = architecture == "with begin token"
    assert imported.snapshot.position == ("first" if begins else "front")
    assert [remark[:73] for remark in imported.remarks] == (
        ["the tokenizer puts <|end|> in front of a text, and PEFT its prompt before"] if begins else []
    )
    config, result = measured(trained, imported.folder)
    items = read_items(run_paths(config).result)
    np.testing.assert_allclose(sorted(items.loss_nats), sorted(trained.nats), rtol=BY_ITEM)
    assert result.metrics["loss_per_completion"].value == pytest.approx(np.mean(trained.nats), rel=BY_ITEM)
    bare = run(RunConfig(**{**vars(config), "tokens": 0, "snapshot": None, "steps": 1}))
    assert abs(float(bare.metrics["loss_per_completion"].value or 0) - np.mean(trained.nats)) > 0.1
    assert (result.training.steps, result.training.best_step, result.prompt.tokens) == (0, None, TOKENS)
    kept = load_snapshot(run_paths(config).snapshot)
    assert result.prompt.position == kept.position == imported.snapshot.position
    assert torch.equal(kept.prompt.rows, load_file(trained.folder / "adapter_model.safetensors")["prompt_embeddings"])


def test_a_prompt_before_the_begin_token_goes_out_as_it_came(train: Callable[..., Trained], tmp_path: Path) -> None:
    trained = train("with begin token")
    own = import_prompt(trained.folder, tmp_path / "own")
    for form in FORMS:
        exported = export_prompt(own.folder, form, tmp_path / form, texts=["7 and one is"])
        assert exported.agreement.difference == 0
        assert exported.remarks == []
        assert "add_special_tokens=True" in exported.recipe or form == "vllm"
    there = [load_file(folder / "adapter_model.safetensors") for folder in (trained.folder, tmp_path / "peft")]
    assert torch.equal(there[0]["prompt_embeddings"], there[1]["prompt_embeddings"])
    assert import_prompt(tmp_path / "peft", tmp_path / "again").snapshot.position == "first"


def test_p_tuning_writes_the_rows_that_its_encoder_made(train: Callable[..., Trained]) -> None:
    trained = train("gpt2", "P_TUNING")
    assert json.loads((trained.folder / "adapter_config.json").read_text())["peft_type"] == "P_TUNING"
    config, _ = measured(trained, import_prompt(trained.folder, trained.folder.parent / "own").folder)
    items = read_items(run_paths(config).result)
    np.testing.assert_allclose(sorted(items.loss_nats), sorted(trained.nats), rtol=BY_ITEM)


class Steps(NamedTuple):
    """How many positions the model was given in each of its forwards, and what was written."""

    positions: list[int]
    ids: list[int]


def generated(model: Any, base: Any, **asked: Any) -> Steps:
    positions: list[int] = []

    def count(_: object, args: object, named: dict[str, Any]) -> None:
        given = named["input_ids"] if named.get("inputs_embeds") is None else named["inputs_embeds"]
        positions.append(given.shape[1])

    hook = base.register_forward_pre_hook(count, with_kwargs=True)
    fixed = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    written = model.generate(**asked, **fixed)[0].tolist()
    hook.remove()
    return Steps(positions, written[-12:])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_which_call_of_pefts_generate_is_right_and_why(train: Callable[..., Trained], architecture: str) -> None:
    """transformers 5 calls its cache `cache`; peft 0.21 looks for `past_key_values`, finds none, and so puts the prompt
    in front of every new token again. Without a cache, or from embeddings through the base model, it is right."""
    trained = train(architecture)
    frozen = load_frozen_model(trained.config.model)
    base = AutoModelForCausalLM.from_pretrained(trained.config.model)
    model: Any = peft.PeftModel.from_pretrained(base, trained.folder).eval()
    rows = read_adapter(trained.folder).rows
    ids = torch.tensor([frozen.tokenizer("7 and one is").input_ids])
    length = ids.shape[1]

    def greedy(again: bool) -> list[int]:
        """By whole forwards of the base model; with the prompt again before each new token, or without."""
        embeds, written = torch.cat([rows[None], frozen.embed(ids)], 1), []
        for _ in range(12):
            with torch.no_grad():
                written.append(int(base(inputs_embeds=embeds).logits[0, -1].argmax()))
            new = [*([rows[None]] if again else []), frozen.embed(torch.tensor([written[-1:]]))]
            embeds = torch.cat([embeds, *new], 1)
        return written

    right = greedy(again=False)
    whole = generated(model, base, input_ids=ids, use_cache=False)
    assert whole.ids == right
    assert whole.positions == [TOKENS + length + step for step in range(12)]
    embeds = torch.cat([model.get_prompt(1), model.word_embeddings(ids)], 1)
    mask = torch.ones(embeds.shape[:2], dtype=torch.long)
    from_embeds = generated(model.get_base_model(), base, inputs_embeds=embeds, attention_mask=mask)
    assert from_embeds == Steps([TOKENS + length, *[1] * 11], right)
    own = import_prompt(trained.folder, trained.folder.parent / "own").snapshot.prompt
    ours = generate(frozen, own, [Query("7 and one is", (), 0)], 12)[0]
    assert frozen.tokenizer.decode(right, skip_special_tokens=True).startswith(ours)  # which ends at an end token

    cached = generated(model, base, input_ids=ids)
    again = cached.positions[1] == TOKENS + 1
    assert cached.positions == [TOKENS + length, *[TOKENS + 1 if again else 1] * 11]
    assert cached.ids == greedy(again)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "prefix": (
        lambda settings: settings.update(peft_type="PREFIX_TUNING"),
        "is PREFIX_TUNING, which is no prompt: it holds keys and values for every layer, not vectors in front of the "
        "text; PROMPT_TUNING and P_TUNING can be imported",
    ),
    "lora": (
        lambda settings: settings.update(peft_type="LORA"),
        "is LORA, which is no prompt: it changes the model's weights",
    ),
    "seq2seq": (
        lambda settings: settings.update(task_type="SEQ_2_SEQ_LM"),
        "is of task_type SEQ_2_SEQ_LM; a prompt here is one of a causal language model",
    ),
    "two parts": (
        lambda settings: settings.update(num_transformer_submodules=2),
        "num_transformer_submodules is 2, a prompt for each of encoder and decoder",
    ),
    "other count": (
        lambda settings: settings.update(num_virtual_tokens=9),
        r"prompt_embeddings is \(4, 32\), but adapter_config.json says \(9, 32\)",
    ),
    "no base": (
        lambda settings: settings.update(base_model_name_or_path=None),
        "names no base model; give it as --model NAME",
    ),
    "base elsewhere": (
        lambda settings: settings.update(base_model_name_or_path="/home/somebody/model"),
        "its base model /home/somebody/model is not on this machine; give --model NAME",
    ),
    "no kind": (lambda settings: settings.pop("peft_type"), "is unusable: it names no peft_type"),
}


@pytest.fixture
def adapter(tiny_folders: dict[str, Path], tmp_path: Path) -> Path:
    """As PEFT writes one."""
    base = AutoModelForCausalLM.from_pretrained(tiny_folders["gpt2"])
    peft.get_peft_model(base, CONFIGS["PROMPT_TUNING"]).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_prompt_is_refused_in_one_line(adapter: Path, what: str) -> None:
    change, said = BROKEN[what]
    settings = json.loads((adapter / "adapter_config.json").read_text())
    change(settings)
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=said) as refused:
        import_prompt(adapter, adapter.parent / "own")
    assert "\n" not in str(refused.value)
    assert not (adapter.parent / "own").exists()


def test_broken_files_are_refused_in_one_line(adapter: Path) -> None:
    weights, settings = adapter / "adapter_model.safetensors", adapter / "adapter_config.json"
    rows, config = load_file(weights)["prompt_embeddings"], settings.read_text()

    def refused(match: str) -> None:
        with pytest.raises(InputError, match=match):
            import_prompt(adapter, adapter.parent / "own")

    save_file({"prompt_embeddings": rows * torch.nan}, weights)
    refused("holds other values than finite floats")
    save_file({"prompt_embeddings": rows.long()}, weights)
    refused("holds other values than finite floats")
    save_file({"prompt_embeddings": rows[None].contiguous()}, weights)
    refused(r"is \(1, 4, 32\), wanted tokens x width")
    save_file({"prompt_embeddings": rows, "base_model.lm_head.weight": rows.clone()}, weights)
    refused("holds base_model.lm_head.weight, prompt_embeddings; a prompt is prompt_embeddings alone")
    weights.write_bytes(b"cut")
    refused("adapter_model.safetensors is unusable")
    weights.rename(adapter / "adapter_model.bin")
    refused("holds adapter_model.bin, a pickle, which can run code when it is read")
    (adapter / "adapter_model.bin").unlink()
    refused("is no whole PEFT adapter: adapter_model.safetensors is missing")
    settings.write_text(config[:20])
    refused("adapter_config.json is unusable: it is no JSON")
    settings.unlink()
    refused("is no PEFT adapter: adapter_config.json is missing")
    with pytest.raises(InputError, match="nowhere is no folder; give the folder of a PEFT adapter"):
        import_prompt(adapter.parent / "nowhere")


def test_half_precision_is_kept_to_the_same_values(adapter: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    rows = load_file(weights)["prompt_embeddings"].bfloat16()
    save_file({"prompt_embeddings": rows}, weights)
    imported = import_prompt(adapter, adapter.parent / "own")
    assert imported.remarks == ["its rows are bfloat16; they are kept in float32, to the same values"]
    assert torch.equal(imported.snapshot.prompt.rows, rows.float())
