"""Does a run on a base with an adapter say so in its result, and is it known when it is asked for again?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.places import refuse_missing_places
from soft_prompts.experiments.run import run
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.files import read_result
from soft_prompts.training.apparatus import run_paths

Settings = Callable[..., RunConfig]


@pytest.fixture
def adapter(tmp_path: Path, tiny_folders: dict[str, Path]) -> Path:
    torch.manual_seed(3)
    settings = LoraConfig(r=2, target_modules=["query_key_value"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_folders["gpt_neox"]), settings).save_pretrained(
        tmp_path / "adapter"
    )
    return tmp_path / "adapter"


def test_a_run_by_card_is_kept_and_its_card_stands_in_the_result(
    settings: Settings, adapter: Path, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    base, card = tiny_folders["gpt_neox"], tmp_path / "card.yaml"
    card.write_text(f"base: {base}\nadapters: [./adapter]\ndtype: bfloat16\npad_token: <PAD>\n")
    by_name = run(settings(tmp_path, model=f"{base}+{adapter}"))
    config = settings(tmp_path, model=str(card))
    by_card = run(config)
    assert by_name.model.card is None
    assert by_card.model.card == {
        "base": str(base),
        "adapters": [str(adapter)],
        "dtype": "bfloat16",
        "pad_token": "<PAD>",
    }
    assert read_result(run_paths(config).result).model == by_card.model
    assert (by_name.model.dtype, by_card.model.dtype) == ("float32", "bfloat16")
    assert by_name.model.fingerprint != by_card.model.fingerprint
    assert load_snapshot(run_paths(config).snapshot).dtype == "bfloat16"
    again = run(config)
    assert (again.metrics, again.environment) == (by_card.metrics, by_card.environment)  # read, not run again
    card.write_text(card.read_text() + "resize: 400\n")
    with pytest.raises(UsageError, match="the model changed since"):
        run(config)


@pytest.mark.parametrize("flags", [{}, {"device_map": "auto"}, {"device_map": "auto", "max_memory": ("cpu=1GB",)}])
def test_where_a_model_is_spread_changes_no_path(settings: Settings, tmp_path: Path, flags: dict[str, Any]) -> None:
    assert run_paths(settings(tmp_path, **flags)) == run_paths(settings(tmp_path))


def test_a_run_on_a_spread_model_is_that_of_a_whole_one(settings: Settings, tmp_path: Path) -> None:
    whole = run(settings(tmp_path / "whole"))
    spread = run(settings(tmp_path / "spread", device_map="auto"))
    assert spread.metrics["loss_per_move"].value == whole.metrics["loss_per_move"].value
    with pytest.raises(UsageError, match=r"max-memory is cpu=1GB, .*; give --parallel pipeline"):
        run(settings(tmp_path, max_memory=("cpu=1GB",)))


def test_places_of_parts_are_looked_at_before_anything_loads(
    settings: Settings, adapter: Path, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    def look(model: str) -> None:
        config = settings(tmp_path, model=model)
        refuse_missing_places(Grid((model,), (1,), (config.data,), config, config.task))

    base = tiny_folders["gpt_neox"]
    for there in (f"{base}+{adapter}", f"{base}+{tmp_path}:adapter", f"owner/name+{adapter}", "owner/name@v1:sub"):
        look(there)
    for missing in (f"{base}+{tmp_path}/none", f"{tmp_path}/none+{adapter}", f"{tmp_path}/none.gguf", "none.yaml"):
        with pytest.raises(InputError, match="does not exist"):
            look(missing)
