"""Choices that a tiny random model can read, and a model in which a direction is planted."""

import copy
from dataclasses import replace

import pytest
import torch

from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.models.model import FrozenModel
from soft_prompts.steering.data.choices import Choice, Choices

WORDS = [f"{one}{two}" for one in "abcdefghijklmnop" for two in "xyz"]
SPLITS = ("train", "train", "dev", "test")


def some_choices(count: int = 48, cues: bool = True) -> Choices:
    """Three classes with options of one byte each, four to a group."""
    items = []
    for number in range(count):
        options = {"one": "q", "two": "r", "three": "s"}
        texts = {"one": "go up\n", "two": "go on\n", "three": "go by\n"} if cues else {}
        word, split = WORDS[number % len(WORDS)], SPLITS[number // 2 % 4]
        items.append(Choice(f"{word} {number}:", options, str(number // 2), None, texts, split))
    return Choices(tuple(items))


@pytest.fixture(scope="session")
def choices() -> Choices:
    return some_choices()


@pytest.fixture(scope="session")
def inside(one_frozen: FrozenModel) -> Inside:
    return Inside(one_frozen)


@pytest.fixture(scope="session")
def planted(one_frozen: FrozenModel) -> tuple[FrozenModel, torch.Tensor]:
    """The model with a direction added to the embeddings of capital letters, and the direction."""
    model = copy.deepcopy(one_frozen.model)
    direction = 3 * torch.randn(32, generator=torch.Generator().manual_seed(5))
    ids = [one_frozen.tokenizer(letter)["input_ids"][0] for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    with torch.no_grad():
        model.get_input_embeddings().weight[ids] += direction
    return replace(one_frozen, model=model), direction
