"""Are the losses and gradients of the vocabulary matrix those of a plain cross entropy?"""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from soft_prompts.engine import loss as loss_module
from soft_prompts.engine.loss import head_loss, logits_loss

WIDTH, WORDS = 16, 37


def random_head(bias: bool, dtype: torch.dtype = torch.float32) -> torch.nn.Linear:
    torch.manual_seed(1)
    return torch.nn.Linear(WIDTH, WORDS, bias=bias).to(dtype).requires_grad_(False)


def exact(hidden: Tensor, head: torch.nn.Linear, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Nats and gradient in float64 by torch's own cross entropy."""
    hidden = hidden.detach().double().requires_grad_()
    bias = None if head.bias is None else head.bias.double()
    nats = cross_entropy(torch.nn.functional.linear(hidden, head.weight.double(), bias), targets, reduction="none")
    (nats * weights.double()).sum().backward()
    assert hidden.grad is not None
    return nats.detach(), hidden.grad


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 4, 5, 6, 10, 11, 23])
def test_values_and_gradient_equal_float64_cross_entropy(
    monkeypatch: pytest.MonkeyPatch, rows: int, bias: bool
) -> None:
    monkeypatch.setattr(loss_module, "CHUNK", 5)
    torch.manual_seed(rows)
    head, targets = random_head(bias), torch.randint(WORDS, (rows,))
    hidden, weights = (4 * torch.randn(rows, WIDTH)).requires_grad_(), torch.randn(rows)
    nats = head_loss(hidden, head, targets).nats
    (nats * weights).sum().backward()
    expected, gradient = exact(hidden, head, targets, weights)
    assert nats.dtype == torch.float32
    assert nats.detach().double().allclose(expected, rtol=1e-6, atol=1e-6)
    assert hidden.grad is not None
    assert hidden.grad.double().allclose(gradient, rtol=1e-5, atol=1e-6)
    assert head.weight.grad is None


def test_a_whole_chunk_and_one_row_more() -> None:
    torch.manual_seed(0)
    rows = loss_module.CHUNK + 1
    head, hidden, targets = random_head(False), torch.randn(rows, WIDTH), torch.randint(WORDS, (rows,))
    expected, _ = exact(hidden, head, targets, torch.ones(rows))
    assert head_loss(hidden, head, targets).nats.double().allclose(expected, rtol=1e-6, atol=1e-6)


def test_half_precision_weights_stay_near_float64() -> None:
    torch.manual_seed(0)
    head, targets = random_head(True, torch.bfloat16), torch.randint(WORDS, (40,))
    hidden, weights = torch.randn(40, WIDTH, dtype=torch.bfloat16).requires_grad_(), torch.randn(40)
    nats = head_loss(hidden, head, targets).nats
    (nats * weights).sum().backward()
    expected, gradient = exact(hidden, head, targets, weights)
    assert nats.dtype == torch.float32
    assert (nats.detach().double() - expected).abs().max() < 0.02  # logits of size 2 keep 8 bits
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.bfloat16
    assert (hidden.grad.double() - gradient).norm() / gradient.norm() < 0.01


def test_large_logits_overflow_nowhere() -> None:
    head = torch.nn.Linear(2, 3, bias=False).requires_grad_(False)
    head.weight.copy_(torch.tensor([[1e4, 0.0], [0.0, 1e4], [-1e4, 0.0]]))
    hidden = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    nats = head_loss(hidden, head, torch.tensor([0, 2])).nats
    nats.sum().backward()
    assert nats.tolist() == [0.0, 2e4]
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()


def test_nothing_scored_is_empty_and_no_nan() -> None:
    head, hidden = random_head(True), torch.zeros(0, WIDTH, requires_grad=True)
    nats = head_loss(hidden, head, torch.zeros(0, dtype=torch.long)).nats
    nats.sum().backward()
    assert nats.shape == (0,)
    assert float(nats.detach().sum()) == 0.0
    assert hidden.grad is not None
    assert hidden.grad.shape == (0, WIDTH)
    assert logits_loss(torch.zeros(0, WORDS), torch.zeros(0, dtype=torch.long)).nats.shape == (0,)


def test_without_a_gradient_none_is_kept() -> None:
    head, hidden = random_head(False), torch.randn(3, WIDTH)
    with torch.no_grad():
        assert head_loss(hidden, head, torch.tensor([1, 2, 3])).nats.grad_fn is None


def test_hits_are_told_where_no_gradient_is_wanted() -> None:
    hidden, head, targets = torch.randn(700, 16), torch.nn.Linear(16, 9), torch.randint(9, (700,))
    expected = head(hidden).argmax(-1) == targets
    assert 0 < expected.sum() < 700
    with torch.no_grad():
        for scores in (head_loss(hidden, head, targets), logits_loss(head(hidden), targets)):
            assert scores.hits is not None
            assert torch.equal(scores.hits, expected)
    wanting = hidden.clone().requires_grad_()
    assert head_loss(wanting, head.requires_grad_(False), targets).hits is None
    assert logits_loss(head(wanting), targets).hits is None
