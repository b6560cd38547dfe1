"""Random samples for the checks of numbers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.tasks.task import UNSCORED, Example


def draw_examples(
    count: int, seed: int = 0, shortest: int = 2, longest: int = 24, inserted: bool = False
) -> list[Example]:
    """Samples of random length with about a quarter of their labels unscored, two conditions, and a position."""
    rng = np.random.default_rng(seed)
    examples = []
    for number in range(count):
        length = int(rng.integers(shortest, longest + 1))
        ids = rng.integers(1, 256, length).tolist()
        labels = [UNSCORED if rng.random() < 0.25 else int(rng.integers(1, 256)) for _ in ids]
        labels[-1] = ids[-1]  # something is scored everywhere
        at = int(rng.integers(0, length + 1)) if inserted else 0
        examples.append(Example(ids, labels, tuple(rng.random(2).tolist()), at, units=length, cluster=number))
    return examples


@pytest.fixture(scope="session")
def make_examples() -> Callable[..., list[Example]]:
    return draw_examples


@pytest.fixture(scope="session")
def make_direct() -> Callable[..., DirectPrompt]:
    """A direct prompt of the size of a model's embeddings, from a matrix or a seed."""

    def make(frozen: FrozenModel, tokens: int, matrix: torch.Tensor | None = None, seed: int = 0) -> DirectPrompt:
        prompt = DirectPrompt(PromptShape(tokens, frozen.hidden_size, 0))
        drawn = torch.randn(tokens, frozen.hidden_size, generator=torch.Generator().manual_seed(seed))
        prompt.matrix.data = 0.3 * drawn if matrix is None else matrix.clone()
        return prompt

    return make
