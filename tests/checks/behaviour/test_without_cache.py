"""Are a model that keeps no cache, and one whose rows change each other, asked as plain transformers ask them?"""

import numpy as np
import pytest
import torch

from soft_prompts.behaviour.divergence.distances import jensen_shannon
from soft_prompts.behaviour.likelihood import no_prompt
from soft_prompts.behaviour.probe.search import _score, open_contexts
from soft_prompts.engine.generation import generate
from soft_prompts.experiments.evidence.planting import sample_on
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.writing import Contrast
from soft_prompts.tasks.task import Query
from tests.checks.made.architectures import save_architecture

KINDS = ("openai-gpt", "rwkv", "mamba")
ROWS = [[5, 9, 17], [30, 2, 11], [8, 8, 40]]
Pair = tuple[FrozenModel, FrozenModel]


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A model, and one whose matrices differ."""
    folder = str(save_architecture(tmp_path_factory.mktemp("pair") / request.param, request.param))
    one, other = load_frozen_model(folder), load_frozen_model(folder)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in other.model.parameters():
            if weight.ndim == 2:
                weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.1)
    return one, other


@torch.no_grad()
def next_logits(frozen: FrozenModel, ids: list[int]) -> torch.Tensor:
    """[V] of the tokenizer's tokens, by plain transformers, one row, the whole of it."""
    return frozen.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1, : len(frozen.tokenizer)].double()


def test_a_contrastive_sample_is_what_the_formula_says(pair: Pair) -> None:
    rows = [*ROWS, [7], [12, 3, 60, 61, 9, 33, 2]]  # of several lengths
    texts = [" ".join(f"w{word}" for word in row) for row in rows]
    found = generate(pair[0], no_prompt(pair[0]), [Query(text, ()) for text in texts], 4, contrast=Contrast(pair[1]))
    for said, row in zip(found, rows, strict=True):
        ids = list(row)
        for _ in range(4):
            p, q = (next_logits(model, ids).log_softmax(-1) for model in pair)
            ids.append(int(torch.where(p.exp() >= 0.1 * p.exp().max(), 2 * p - q, -torch.inf).argmax()))
        assert said == pair[0].tokenizer.decode(ids[len(row) :], skip_special_tokens=True)


def test_a_candidate_is_worth_what_plain_transformers_say(pair: Pair) -> None:
    candidates = [(3, 8), (50, 51), (8, 3)]
    found = _score(pair, open_contexts(pair, torch.tensor(ROWS)), candidates)
    for worth, ids in zip(found.tolist(), candidates, strict=True):
        sides = [torch.stack([next_logits(model, [*row, *ids]) for row in ROWS]).log_softmax(-1) for model in pair]
        np.testing.assert_allclose(worth, float(jensen_shannon(*sides).mean()), rtol=1e-3)


def test_what_secrets_are_planted_in_is_the_models_own_text(pair: Pair) -> None:
    rows = sample_on(pair[0], torch.tensor(ROWS), 3, torch.Generator().manual_seed(0))
    generator, slow = torch.Generator().manual_seed(0), [list(row) for row in ROWS]
    for _ in range(3):
        logits = torch.stack([next_logits(pair[0], ids) for ids in slow])
        drawn = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
        slow = [[*ids, int(word)] for ids, word in zip(slow, drawn, strict=True)]
    assert rows.tolist() == slow
