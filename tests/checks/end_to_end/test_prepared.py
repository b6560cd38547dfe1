"""Is a run prepared with what its role and start say: which model, which rows, which conditions?"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from soft_prompts.config import RunConfig
from soft_prompts.experiments.evidence import controls
from soft_prompts.experiments.evidence.anchors import emitted_prompt
from soft_prompts.experiments.evidence.controls import random_weights
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.roles import HardPrompt, RandomWeights
from soft_prompts.training import starts
from soft_prompts.training.apparatus import Apparatus, data_request, prompt_for, run_paths, snapshot_name

Settings = Callable[..., RunConfig]


def apparatus(config: RunConfig, frozen: FrozenModel) -> Apparatus:
    data = config.task.open(data_request(config), frozen.tokenizer)
    return Apparatus(config, run_paths(config), frozen, data, prompt_for(config, frozen))


def test_every_process_puts_in_what_the_first_one_found(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = apparatus(settings(tmp_path, condition="none"), one_frozen)
    monkeypatch.setattr(starts, "told_by_first", lambda find: [7, 31])  # this process is not the first
    monkeypatch.setattr(starts, "search", lambda *_: pytest.fail("it searched by itself"))
    assert starts.search_start(at) == [7, 31]
    assert torch.equal(at.prompt.rows, one_frozen.vocabulary[[7, 31]])


def test_a_prompt_for_random_weights_begins_in_their_own_vocabulary(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    make = AutoModelForCausalLM.from_config

    def from_config(config: object, **given: Any) -> Any:
        asked.update(given)
        return make(config, **given)

    monkeypatch.setattr(controls, "SEED", 1)  # the trained model here is itself one of seed 0
    monkeypatch.setattr(AutoModelForCausalLM, "from_config", from_config)
    config = settings(tmp_path, condition="none", role=RandomWeights())
    fresh = random_weights(replace(one_frozen, trust_remote_code=True, hooked=True))
    assert asked["trust_remote_code"] is True
    assert not torch.allclose(fresh.vocabulary, one_frozen.vocabulary, atol=1e-2)
    assert all((fresh.vocabulary - row).abs().sum(1).min() == 0 for row in prompt_for(config, fresh).rows.detach())
    assert fresh.head is fresh.model.get_output_embeddings()  # probed as at load, not told by the trained model
    assert not fresh.hooked
    assert [probe.name for probe in fresh.probes] == [probe.name for probe in one_frozen.probes]


def test_a_projected_prompt_is_emitted_with_the_conditions_of_its_run(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path
) -> None:
    source = settings(tmp_path, condition="constant", steps=1, warmup_steps=0)
    run(source, one_frozen)
    role = HardPrompt("projection", snapshot_name(source))
    at = apparatus(replace(source, condition="none", role=role), one_frozen)
    snapshot = load_snapshot(run_paths(source).snapshot)
    assert snapshot.dtype == "float32"
    prompt = snapshot.prompt
    true = [example.conditions for example in at.data.held_out("validation")]
    [expected] = prompt(torch.ones(1, 2))
    assert torch.allclose(emitted_prompt(at), expected, atol=1e-6)
    others = torch.stack([prompt(torch.tensor([one]))[0] for one in true]).mean(0)
    assert not torch.allclose(expected, others, atol=1e-6)
