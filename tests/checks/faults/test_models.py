"""Is a model never asked for what it has no place for, and never taken for another one?"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.data.conditions import NO_CONDITIONS
from soft_prompts.experiments.run import run
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.prompts.snapshot import Snapshot, load_snapshot, refuse_other_model, save_snapshot
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.training.apparatus import Apparatus, refuse_long_prompts
from soft_prompts.training.resume import publish_state
from tests.checks.conftest import save_tiny_model
from tests.checks.made.disturbances import Record, count_fault, faults


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=faults)])
def test_prompt_and_sample_beyond_the_context(tmp_path: Path, record_property: Record, every: int) -> None:
    """Every pair of prompt and text tokens around a context of 24: refused with the sum where it is more, before any
    data are looked for."""
    model = str(save_tiny_model(tmp_path / "model", "llama", context=24))
    outcomes = []
    for pair in range(0, 30 * 29, every):
        tokens, length = pair // 29, pair % 29 + 2
        config = RunConfig(ChessTask(), model, tokens, sample_tokens=length, data="/nowhere")
        said = ""
        try:
            refuse_long_prompts([config])
        except UsageError as error:
            said = str(error)
        asked = f"tokens {tokens} + sample-tokens {length} = {tokens + length} positions"
        outcomes.append(said == "" if tokens + length <= 24 else asked in said and "has 24" in said)
    count_fault(record_property, "prompt and sample beyond the context window", outcomes)


@pytest.mark.parametrize("shapes", [15, pytest.param(334, marks=faults)])
def test_a_tokenizer_without_a_pad_token(tiny_folders: dict[str, Path], record_property: Record, shapes: int) -> None:
    """Padded on the right or alone, in a batch of any shape: logits are the same to 1e-5 of the largest, and no token
    is added."""
    outcomes = []
    for number, folder in enumerate(tiny_folders.values()):
        frozen, rng = load_frozen_model(str(folder)), np.random.default_rng(number)
        assert frozen.tokenizer.pad_token is None
        tokens, rows = len(frozen.tokenizer), len(frozen.embedding.weight)
        for _ in range(shapes):
            lengths = rng.integers(1, 60, rng.integers(2, 6)).tolist()
            texts = [frozen.embed(torch.from_numpy(rng.integers(0, tokens, (1, length)))) for length in lengths]
            with torch.no_grad():
                alone = [frozen.logits(text)[0] for text in texts]
                filled = torch.nn.utils.rnn.pad_sequence([text[0] for text in texts], batch_first=True)
                batch = frozen.logits(filled)
            apart = [
                float((row[: len(own)] - own).abs().max() / own.abs().max())
                for row, own in zip(batch, alone, strict=True)
            ]
            outcomes.append(max(apart) <= 1e-5)
        assert (len(frozen.tokenizer), len(frozen.embedding.weight)) == (tokens, rows)
    count_fault(record_property, "tokenizer without a pad token", outcomes)


@pytest.mark.parametrize("seeds", [1, pytest.param(5, marks=faults)])
def test_a_model_in_half_precision(
    tmp_path: Path, record_property: Record, monkeypatch: pytest.MonkeyPatch, seeds: int
) -> None:
    """Prompt and Adam's moments stay float32, and the final loss is within 1 % of that of the model in float32."""
    outcomes, kinds = [], set[torch.dtype]()

    def publish(at: Apparatus, *state: Any) -> None:
        publish_state(at, *state)
        for path in (at.paths.snapshot / "state").rglob("*.safetensors"):
            kinds.update(value.dtype for value in load_file(path).values() if value.is_floating_point())

    monkeypatch.setattr("soft_prompts.experiments.run.publish_state", publish)
    for seed in range(seeds):
        losses = {}
        for dtype in ("float32", "bfloat16"):
            config = RunConfig(
                CompletionTask(), "tiny-text", 4, prompt="direct", seed=seed, dtype=dtype, output_dir=tmp_path / dtype
            )
            few = {"steps": 40, "batch_size": 8, "validation_samples": 20, "test_samples": 60}
            config = replace(config, device="cpu", data="sums", learning_rate=0.05, checkpoint_every=20, **few)
            trained = run(config)
            losses[dtype] = trained.metrics[trained.headline].value
            assert trained.model.dtype == dtype
        outcomes.append(losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.01))
    assert kinds == {torch.float32}
    count_fault(record_property, "half-precision model", outcomes)


def _edit(file: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        values = json.loads((folder / file).read_text())
        change(values)
        (folder / file).write_text(json.dumps(values))

    return edit


def _weight(place: int) -> Callable[[Path], None]:
    """One number of one weight, a little larger."""

    def move(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        name = sorted(weights)[place]
        weights[name].view(-1)[0] += 1e-3
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    return move


OTHERS: dict[str, Callable[[Path], object]] = {
    "another seed": lambda folder: save_tiny_model(folder, "gpt_neox", seed=1),
    "another architecture": lambda folder: save_tiny_model(folder, "llama"),
    "a third architecture": lambda folder: save_tiny_model(folder, "gpt2"),
    "another width": lambda folder: save_tiny_model(folder, "gpt_neox", hidden=16),
    "another context": lambda folder: save_tiny_model(folder, "gpt_neox", context=128),
    "the first weight": _weight(0),
    "the last weight": _weight(-1),
    "a weight between": _weight(7),
    "configuration": _edit("config.json", lambda values: values.update(layer_norm_eps=1e-6)),
    "vocabulary": _edit("tokenizer.json", lambda values: values["model"]["vocab"].update({"the": 256, "of": 257})),
    "merges": _edit("tokenizer.json", lambda values: values["model"]["merges"].pop()),
    "tokenizer settings": _edit("tokenizer_config.json", lambda values: values.update(model_max_length=77)),
}


def test_a_snapshot_on_another_model(one_frozen: FrozenModel, tmp_path: Path, record_property: Record) -> None:
    """Refused with both fingerprints; where the width fits, --allow-mismatch takes it."""
    shape = PromptShape(2, one_frozen.hidden_size, 0)
    prompt = build_prompt("direct", shape, one_frozen.vocabulary, "vocabulary", 0)
    kept = Snapshot(prompt, "direct", shape, NO_CONDITIONS, one_frozen.name, None, one_frozen.fingerprint, 8)
    save_snapshot(tmp_path / "snapshot", kept)
    snapshot, outcomes = load_snapshot(tmp_path / "snapshot"), []
    refuse_other_model(snapshot, one_frozen)
    for number, change in enumerate(OTHERS.values()):
        folder = shutil.copytree(one_frozen.name, tmp_path / str(number))
        change(folder)
        other = load_frozen_model(str(folder))
        with pytest.raises(InputError) as caught:
            refuse_other_model(snapshot, other)
        said, fits = str(caught.value), other.hidden_size == shape.hidden_size
        words = (one_frozen.fingerprint, other.fingerprint, "--allow-mismatch") if fits else ("32 wide", "is 16")
        right = "\n" not in said and all(word in said for word in words)
        if fits:
            refuse_other_model(snapshot, other, allow_mismatch=True)
        outcomes.append(right)
    count_fault(record_property, "snapshot on another model, vocabulary or tokenizer", outcomes)
