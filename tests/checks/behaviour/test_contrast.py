"""Is a contrastive sample what its formula says, and a plain one where nothing is contrasted?"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.likelihood import no_prompt
from soft_prompts.behaviour.sampling.samples import contrastive_samples, distinct_bigrams, plain_samples
from soft_prompts.engine.generation import generate
from soft_prompts.models.batching import Batching
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import Writing
from soft_prompts.models.writing import Contrast, contrasted
from soft_prompts.tasks.task import Query
from tests.checks.conftest import ARCHITECTURES

NEW = 8
QUERIES = [Query(text, ()) for text in ("e2e4 e7e5", "the", "g1f3 b8c6 of and the of", "e7e5 and", "of")]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("padded", [True, False])
def test_nothing_contrasted_is_a_plain_sample_token_for_token(
    tiny_folders: dict[str, Path], architecture: str, padded: bool
) -> None:
    frozen, other = (load_frozen_model(str(tiny_folders[architecture])) for _ in range(2))
    with torch.no_grad():
        other.model.get_input_embeddings().weight.mul_(-1)  # pyright: ignore
    if not padded:
        other = replace(other, writing=Writing("cached loop", Batching("equal")))
    asked = {"temperature": 1.0, "seed": 3}
    plain = generate(frozen, no_prompt(frozen), QUERIES, NEW, **asked)
    none = generate(frozen, no_prompt(frozen), QUERIES, NEW, contrast=Contrast(other, 0.0, 0.0), **asked)
    assert none == plain
    some = [generate(frozen, no_prompt(frozen), QUERIES, NEW, contrast=Contrast(other), **asked) for _ in range(2)]
    assert some[0] == some[1] != plain
    assert some[0] == [  # whatever stands beside it
        generate(frozen, no_prompt(frozen), [query], NEW, contrast=Contrast(other), places=[place], **asked)[0]
        for place, query in enumerate(QUERIES)
    ]


def test_the_first_token_is_the_one_that_the_formula_prefers(family_folders: dict[str, Path]) -> None:
    """Greedily, token by token, from logits of plain transformers."""
    frozen, other = (load_frozen_model(str(family_folders[name])) for name in ("target", "control-1"))
    text, strength, cut = "e2e4 e7e5 of", 2.0, 0.05
    found = generate(frozen, no_prompt(frozen), [Query(text, ())], 4, contrast=Contrast(other, strength, cut))
    ids = frozen.tokenizer(text)["input_ids"]
    start = len(ids)
    for _ in range(4):
        p, q = (model.model(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1) for model in (frozen, other))
        scores = torch.where(p.exp() >= cut * p.exp().max(), p + strength * (p - q), -torch.inf)
        ids = [*ids, int(scores.argmax())]
    decode = frozen.tokenizer.decode
    assert found == [decode(ids)[len(decode(ids[:start])) :]]


def test_what_the_model_hardly_says_is_never_drawn(family_folders: dict[str, Path]) -> None:
    frozen = load_frozen_model(str(family_folders["base"]))
    logits, beside = torch.tensor([[4.0, 3.0, 0.0]]), torch.tensor([[4.0, 0.0, -9.0]])
    scores = contrasted(logits, beside, Contrast(frozen, 1.0, 0.1))
    assert scores[0, 2] == -torch.inf  # e^-4 of the largest
    p, q = logits.log_softmax(-1), beside.log_softmax(-1)
    torch.testing.assert_close(scores[0, :2], (2 * p - q)[0, :2])
    assert torch.equal(contrasted(logits, beside, Contrast(frozen, 0.0, 0.0)), logits)


def test_samples_are_kept_and_match_by_prompt(make_asked: Callable[..., Asked], tmp_path: Path) -> None:
    asked = make_asked(folder=tmp_path)
    family = asked.family
    own, other = plain_samples(asked, family.target), plain_samples(asked, family.controls[1])
    assert [one.id for one in own] == [one.id for one in other] == [one.id for one in asked.texts.prompts]
    assert own != other
    steps = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "steps").iterdir()}
    assert plain_samples(make_asked(folder=tmp_path), family.target) == own
    assert plain_samples(asked, family.target, seed=1) != own
    assert contrastive_samples(asked, family.target) != own
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "steps").iterdir()}
    assert steps.items() <= after.items()
    assert len(after) == len(steps) + 2


def test_repetition_has_few_different_pairs() -> None:
    assert distinct_bigrams(["a b c d"]) == 1.0
    assert distinct_bigrams(["a b a b a b", "a b"]) == pytest.approx(2 / 6)
    assert distinct_bigrams(["a", ""]) == 0.0
