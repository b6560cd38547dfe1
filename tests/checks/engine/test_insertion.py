"""Does the prompt stand where it should, and do labels and mask move with the text?"""

from typing import NamedTuple

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from soft_prompts.engine.insertion import insert_prompt
from soft_prompts.tasks.task import UNSCORED


class Case(NamedTuple):
    text: Tensor
    prompt: Tensor
    labels: Tensor
    mask: Tensor
    insert_at: Tensor


@st.composite
def cases(draw: st.DrawFn) -> Case:
    batch, length, width = draw(st.integers(1, 5)), draw(st.integers(1, 9)), draw(st.integers(1, 3))
    tokens, seed = draw(st.integers(0, 6)), draw(st.integers(0, 2**31))
    places = draw(st.lists(st.integers(0, length), min_size=batch, max_size=batch))
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (batch, 1), generator=random)
    return Case(
        torch.randn(batch, length, width, generator=random),
        torch.randn(batch, tokens, width, generator=random),
        torch.randint(UNSCORED, 50, (batch, length), generator=random),
        torch.arange(length) < lengths,
        torch.tensor(places),
    )


def by_hand(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    tokens = case.prompt.shape[1]
    between = (torch.full((tokens,), UNSCORED), torch.ones(tokens, dtype=torch.bool))
    rows = []
    for row, at in enumerate(case.insert_at.tolist()):
        parts = ((case.text[row], case.prompt[row]), (case.labels[row], between[0]), (case.mask[row], between[1]))
        rows.append([torch.cat([text[:at], middle, text[at:]]) for text, middle in parts])
    embeds, labels, mask = (torch.stack(column) for column in zip(*rows, strict=True))
    return embeds, labels, mask


@settings(deadline=None, max_examples=150)
@given(cases())
def test_every_position_equals_plain_concatenation_and_arguments_stay(case: Case) -> None:
    before = Case(*(tensor.clone() for tensor in case))
    inserted = insert_prompt(*case)
    for got, expected in zip(inserted, by_hand(before), strict=True):
        assert torch.equal(got, expected)
    for now, then in zip(case, before, strict=True):
        assert torch.equal(now, then)


@settings(deadline=None, max_examples=50)
@given(cases())
def test_each_prompt_vector_gets_the_gradient_of_its_own_place(case: Case) -> None:
    prompt = case.prompt.clone().requires_grad_()
    embeds = insert_prompt(case.text, prompt, *case[2:]).embeds
    weights = torch.randn(embeds.shape)
    (embeds * weights).sum().backward() if prompt.numel() else None
    assert not case.text.requires_grad
    assert case.text.grad is None
    for row, at in enumerate(case.insert_at.tolist() if prompt.numel() else []):
        assert prompt.grad is not None
        assert torch.equal(prompt.grad[row], weights[row, at : at + prompt.shape[1]])


def test_the_prompt_takes_the_texts_precision() -> None:
    text, prompt = torch.zeros(1, 2, 3, dtype=torch.bfloat16), torch.ones(1, 4, 3)
    nothing = torch.zeros(1, 2, dtype=torch.long)
    inserted = insert_prompt(text, prompt, nothing, nothing == 0, torch.tensor([1]))
    assert inserted.embeds.dtype == torch.bfloat16
