"""Tiny models of three architectures, no network, one torch thread, and shapes checked at run time."""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

from tests.checks.made.checked import check_package

check_package("soft_prompts")

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from tests.checks.made.results import make_items, make_result, save_run
from tests.checks.made.samples import make_direct, make_examples

__all__ = ["make_direct", "make_examples", "make_items", "make_result", "save_run"]  # fixtures for every folder

ARCHITECTURES = ("gpt_neox", "llama", "gpt2")
SPREAD = 0.3  # at the usual initializer_range of 0.02 no prompt can steer a random model


FAULT_TABLE = Path(__file__).parent / "faults" / "faults.json"
FAULTS: dict[str, dict[str, object]] = {}


def pytest_configure() -> None:
    torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`-m faults` takes the short checks of faults too: the table has a row for each."""
    if config.option.markexpr == "faults":
        for item in items:
            if "record_property" in getattr(item, "fixturenames", ()):
                item.add_marker("faults")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what a check said of a fault; of two checks of one fault the longer."""
    for name, row in report.user_properties if report.when == "call" else ():
        if name == "fault" and row["trials"] >= FAULTS.get(row["fault"], row)["trials"]:
            FAULTS[row["fault"]] = {key: row[key] for key in ("fault", "trials", "passed")}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With `-m faults`, put the rows into faults.json beside those of checks that were not run this time."""
    if session.config.option.markexpr == "faults" and FAULTS:
        known = json.loads(FAULT_TABLE.read_text()) if FAULT_TABLE.exists() else []
        rows = {row["fault"]: row for row in known} | FAULTS
        FAULT_TABLE.write_text(json.dumps([rows[name] for name in sorted(rows)], indent=1) + "\n")


def save_tiny_model(folder: Path, architecture: str, seed: int = 0, hidden: int = 32, context: int = 256) -> Path:
    """A random model with two layers and a byte-level tokenizer without a pad token, in Hugging Face form."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["e2e4 e7e5 g1f3 b8c6 the of and"] * 8, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    shape = {"vocab_size": len(fast) + 5, "hidden_size": hidden, "num_hidden_layers": 2, "num_attention_heads": 4}
    common = {"initializer_range": SPREAD, "max_position_embeddings": context, "eos_token_id": 0, "bos_token_id": 0}
    torch.manual_seed(seed)
    if architecture == "gpt_neox":
        model = GPTNeoXForCausalLM(GPTNeoXConfig(**shape, **common, intermediate_size=64))
    elif architecture == "llama":
        model = LlamaForCausalLM(LlamaConfig(**shape, **common, intermediate_size=64, num_key_value_heads=2))
    else:
        sizes = {"vocab_size": shape["vocab_size"], "n_embd": hidden, "n_layer": 2, "n_head": 4, "n_positions": context}
        model = GPT2LMHeadModel(GPT2Config(**sizes, initializer_range=SPREAD, eos_token_id=0, bos_token_id=0))
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder an architecture."""
    root = tmp_path_factory.mktemp("models")
    return {name: save_tiny_model(root / name, name) for name in ARCHITECTURES}


@pytest.fixture(scope="session", params=ARCHITECTURES)
def frozen(request: pytest.FixtureRequest, tiny_folders: dict[str, Path]) -> FrozenModel:
    """A tiny frozen model, one architecture after the other."""
    return load_frozen_model(str(tiny_folders[request.param]))


@pytest.fixture(scope="session")
def one_frozen(tiny_folders: dict[str, Path]) -> FrozenModel:
    """A tiny GPT-NeoX, where the architecture does not matter."""
    return load_frozen_model(str(tiny_folders["gpt_neox"]))
