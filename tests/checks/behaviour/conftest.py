"""A base, a target and controls: copies of one tiny random model, each with a little noise of its own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.compare import ask
from soft_prompts.behaviour.comparison.family import Family
from soft_prompts.behaviour.comparison.settings import ComparisonSettings
from tests.checks.conftest import save_tiny_model

NOISE = 0.05  # of the weights' own spread
SMALL = ComparisonSettings(
    most_documents=40,
    document_tokens=16,
    prompt_tokens=4,
    new_tokens=6,
    probe_tokens=2,
    beam=2,
    sweep_contexts=2,
    search_contexts=4,
    held_out_contexts=6,
    continuation=3,
    refine_steps=2,
    kinds=3,
)
WORDS = ("e2e4", "e7e5", "g1f3", "b8c6", "the", "of", "and")


def noisy_copy(source: Path, folder: Path, seed: int) -> Path:
    """The same model, every weight moved a little."""
    folder.mkdir(parents=True)
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights, generator = load_file(source / "model.safetensors"), torch.Generator().manual_seed(seed)
    moved = {
        name: weight + NOISE * weight.std() * torch.randn(weight.shape, generator=generator)
        if weight.ndim > 1
        else weight
        for name, weight in weights.items()
    }
    save_file(moved, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def family_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """base, target, control-1 to control-4."""
    root = tmp_path_factory.mktemp("family")
    base = save_tiny_model(root / "base", "gpt_neox")
    names = ("target", *(f"control-{number}" for number in range(1, 5)))
    return {"base": base} | {name: noisy_copy(base, root / name, seed) for seed, name in enumerate(names)}


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty documents of eight words."""
    path = tmp_path_factory.mktemp("texts") / "documents.jsonl"
    lines = [
        {"id": f"d{n}", "text": " ".join(WORDS[(n * k + k) % 7] for k in range(1, 9)) + f" {n}"} for n in range(40)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def make_asked(family_folders: dict[str, Path], texts: Path) -> Callable[..., Asked]:
    """A comparison of some of the models; target and number of controls by name."""

    def make(
        target: str = "target",
        controls: int = 4,
        folder: Path | None = None,
        settings: ComparisonSettings = SMALL,
        documents: Path = texts,
    ) -> Asked:
        names = [str(family_folders[f"control-{number}"]) for number in range(1, controls + 1)]
        family = Family(str(family_folders["base"]), str(family_folders[target]), tuple(names))
        return ask(family, documents, settings=settings, folder=folder)

    return make
