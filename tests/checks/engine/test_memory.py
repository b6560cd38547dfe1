"""Where memory is short, does the same work go on in smaller batches, with the same numbers?"""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from soft_prompts.common.errors import OutOfRoom
from soft_prompts.engine import evaluation, generation
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.engine.generation import generate
from soft_prompts.engine.memory import in_batches
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.task import Example, Query


def out_of_memory_above(most: int, work: Callable[..., object], at: int) -> tuple[Callable[..., object], list[int]]:
    """`work`, which finds room for so many rows; and the sizes that it was asked for."""
    sizes: list[int] = []

    def limited(*given: object) -> object:
        sizes.append(len(given[at]))  # pyright: ignore[reportArgumentType]
        if sizes[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return work(*given)

    return limited, sizes


def test_every_place_is_worked_on_once_and_in_order() -> None:
    tried: list[int] = []

    def work(places: list[int]) -> list[int]:
        tried.append(len(places))
        if len(places) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return places

    assert [place for some in in_batches(list(range(20)), 16, work) for place in some] == list(range(20))
    assert tried == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]  # what has not fitted is not tried again


def test_one_that_does_not_fit_is_said_and_other_errors_are_not_caught() -> None:
    def full(places: list[int]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def broken(places: list[int]) -> None:
        raise RuntimeError("shapes")

    with pytest.raises(OutOfRoom, match="memory is out with one sample; give"):
        list(in_batches([1, 2, 3], 4, full))
    with pytest.raises(RuntimeError, match="shapes"):
        list(in_batches([1, 2, 3], 4, broken))


@pytest.mark.parametrize("tokens", [0, 3])
def test_losses_are_the_same(
    one_frozen: FrozenModel,
    make_examples: Callable[..., list[Example]],
    make_direct: Callable[..., torch.nn.Module],
    monkeypatch: pytest.MonkeyPatch,
    tokens: int,
) -> None:
    examples, prompt = make_examples(13), make_direct(one_frozen, tokens)
    whole = item_losses(one_frozen, prompt, examples, 8)
    limited, sizes = out_of_memory_above(2, evaluation.collate, 0)
    monkeypatch.setattr(evaluation, "collate", limited)
    halved = item_losses(one_frozen, prompt, examples, 8)
    assert sizes[:3] == [8, 4, 2]
    assert np.allclose(halved.nats, whole.nats, rtol=1e-5)
    assert np.array_equal(halved.tokens, whole.tokens)
    assert np.array_equal(halved.hits, whole.hits)


@pytest.mark.parametrize("tokens", [0, 3])
def test_texts_are_the_same(
    one_frozen: FrozenModel,
    make_direct: Callable[..., torch.nn.Module],
    monkeypatch: pytest.MonkeyPatch,
    tokens: int,
) -> None:
    queries = [Query(text, (), 0) for text in ("e2e4", "the of", "e2e4 e7e5 g1f3", "and", "of the and")]
    prompt = make_direct(one_frozen, tokens)
    whole = generate(one_frozen, prompt, queries, 6)
    limited, sizes = out_of_memory_above(1, generation.collate, 0)
    monkeypatch.setattr(generation, "collate", limited)
    assert generate(one_frozen, prompt, queries, 6) == whole
    assert sizes == [5, 3, 2, 1, 1, 1, 1, 1]
