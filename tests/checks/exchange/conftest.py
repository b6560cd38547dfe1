"""Trained prompts as files, for models of three architectures, and a model whose tokenizer begins every text."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import processors
from transformers import AutoTokenizer

from soft_prompts.data.conditions import ELO_PAIR, NO_CONDITIONS
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.prompts.snapshot import Snapshot, save_snapshot
from tests.checks.conftest import save_tiny_model

Save = Callable[..., Path]
ELOS = {"white_elo": 1500, "black_elo": 2200}
TEXTS = ("e2e4 e7e5", "the of and the", "b8c6")


@pytest.fixture(scope="session")
def with_begin(tmp_path_factory: pytest.TempPathFactory) -> FrozenModel:
    """A tiny Llama whose tokenizer puts a token in front of every text."""
    folder = save_tiny_model(tmp_path_factory.mktemp("begin") / "model", "llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.bos_token = "<|end|>"
    tokenizer.backend_tokenizer.post_processor = processors.Sequence(
        [processors.TemplateProcessing(single="<|end|> $A", special_tokens=[("<|end|>", 0)])]
    )
    tokenizer.save_pretrained(folder)
    return load_frozen_model(str(folder))


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """The folder of a prompt of random parameters, drawn wide enough to steer a random model."""

    def make(frozen: FrozenModel, kind: str = "direct", tokens: int = 4, **changes: object) -> Path:
        conditions = ELO_PAIR if kind in ("linear", "mlp", "resnet", "shared_resnet") else NO_CONDITIONS
        shape = PromptShape(tokens, frozen.hidden_size, len(conditions.names), hidden_width=8, residual_width=8)
        prompt = build_prompt(kind, shape, frozen.vocabulary)
        with torch.no_grad():
            for parameter in prompt.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.1)
        kept = prompt.collapsed()
        facts = {"kind": "direct" if kept is not prompt else kind, "model": frozen.name, "revision": None, "step": 7}
        facts |= {"fingerprint": frozen.fingerprint, **changes}
        folder = tmp_path / "snapshots" / f"{kind}-{tokens}"
        save_snapshot(folder, Snapshot(prompt=kept, shape=shape, conditions=conditions, **facts))  # pyright: ignore
        return folder

    return make


@pytest.fixture
def execute(capsys: pytest.CaptureFixture[str]) -> Callable[[Path], str]:
    """What a recipe prints, run as its own file."""

    def run(file: Path) -> str:
        capsys.readouterr()
        with io.open_code(str(file)) as source:
            exec(compile(source.read(), str(file), "exec"), {"__name__": "recipe", "__file__": str(file)})
        return capsys.readouterr().out

    return run
