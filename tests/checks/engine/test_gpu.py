"""Does a GPU say what the CPU says: losses, gradients, texts, and with how few waits?

`make test-gpu` runs these, on a machine that has one.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from soft_prompts.engine.batch import collate
from soft_prompts.engine.forward import TokenLosses, token_losses
from soft_prompts.engine.generation import generate
from soft_prompts.engine.loss import head_loss
from soft_prompts.engine.rows import recorded
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import Prompt, PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.task import Example, Query
from soft_prompts.training.gradients import Room, Share, gradients
from tests.checks.made.architectures import save_architecture

pytestmark = pytest.mark.gpu

WRITTEN_FOR = ("gpt_neox", "llama", "gpt2")
UNSEEN = ("olmo2", "qwen3")
LOSS, SLOPE = {"rtol": 1e-5, "atol": 1e-5}, 1e-4
MakeExamples = Callable[..., list[Example]]


class Both(NamedTuple):
    """One model, in float32 on either device."""

    cpu: FrozenModel
    gpu: FrozenModel
    folder: str


@pytest.fixture(scope="module", params=WRITTEN_FOR + UNSEEN)
def both(
    request: pytest.FixtureRequest, tiny_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Both:
    kind = request.param
    folder = tiny_folders[kind] if kind in tiny_folders else save_architecture(tmp_path_factory.mktemp(kind), kind)
    cpu, gpu = (load_frozen_model(str(folder), dtype="float32", device=device) for device in ("cpu", "cuda"))
    return Both(cpu, gpu, str(folder))


@pytest.fixture(params=["packed", "plain"])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Is every batch packed, whether that saves anything or not?"""
    monkeypatch.setattr("soft_prompts.engine.forward.WORTH", -np.inf)
    return request.param == "packed"


@pytest.fixture(autouse=True)
def nothing_recorded() -> None:
    recorded.forget()


def few(frozen: FrozenModel, drawn: Sequence[Example], conditions: int = 0) -> list[Example]:
    """The samples in the words that this model has, and with so many of their conditions."""
    words = len(frozen.embedding.weight)

    def known(ids: Sequence[int]) -> list[int]:
        return [one if one < 0 else one % words for one in ids]

    return [
        one._replace(input_ids=known(one.input_ids), labels=known(one.labels), conditions=one.conditions[:conditions])
        for one in drawn
    ]


def made(frozen: FrozenModel, kind: str, tokens: int, conditions: int) -> Prompt:
    shape = PromptShape(tokens, frozen.hidden_size, conditions, hidden_layers=1, hidden_width=16)
    return build_prompt(kind, shape, frozen.vocabulary.cpu(), seed=tokens).to(frozen.device)


def said(frozen: FrozenModel, prompt: Prompt, examples: Sequence[Example]) -> tuple[TokenLosses, Tensor]:
    """Losses, and the gradient of their sum, on the CPU."""
    losses = token_losses(frozen, prompt, collate(examples, frozen.pad_id, True))
    if not losses.nats.requires_grad:
        return losses, torch.zeros(1)
    found = torch.autograd.grad(losses.nats.sum(), list(prompt.parameters()))
    return losses, torch.cat([slope.flatten() for slope in found]).cpu()


@pytest.mark.parametrize("tokens", [0, 1, 3, 64])
@pytest.mark.parametrize("kind", ["direct", "mlp"])
@pytest.mark.parametrize("inserted", [False, True])
def test_losses_and_gradients_are_the_cpus(
    both: Both, make_examples: MakeExamples, road: bool, inserted: bool, kind: str, tokens: int
) -> None:
    conditions = 2 if kind == "mlp" else 0
    examples = few(both.cpu, make_examples(7, seed=tokens, inserted=inserted), conditions)
    expected, slope = said(replace(both.cpu, packs=False), made(both.cpu, kind, tokens, conditions), examples)
    gpu = replace(both.gpu, packs=road and both.gpu.packs)
    prompt = made(gpu, kind, tokens, conditions)
    for _ in range(3):  # computed, recorded, replayed
        found, other = said(gpu, prompt, examples)
        assert found.nats.device.type == "cuda"
        assert found.nats.cpu().allclose(expected.nats, **LOSS)
        assert found.row.cpu().equal(expected.row)
        assert (other - slope).norm() <= SLOPE * slope.norm()
    assert not gpu.packs or recorded._of[gpu.model].turn > 3


def test_what_is_replayed_follows_the_prompt_and_the_texts(both: Both, make_examples: MakeExamples) -> None:
    """Six steps of training, each with texts of its own, are the CPU's."""
    cpu, gpu = (made(frozen, "direct", 20, 0) for frozen in both[:2])
    for step in range(6):
        examples = few(both.cpu, make_examples(8, seed=step, shortest=20, longest=30))
        (expected, slope), (found, other) = said(both.cpu, cpu, examples), said(both.gpu, gpu, examples)
        assert found.nats.cpu().allclose(expected.nats, **LOSS)
        assert (other - slope).norm() <= SLOPE * slope.norm()
        with torch.no_grad():
            cpu.matrix -= 0.1 * slope.reshape(cpu.matrix.shape)
            gpu.matrix.copy_(cpu.matrix)
    assert recorded._of[both.gpu.model].turn > 3


def test_every_model_packs_there_that_packs_here(both: Both) -> None:
    assert (both.gpu.packs, both.gpu.caches) == (both.cpu.packs, both.cpu.caches)
    assert [probe.state for probe in both.gpu.probes] == [probe.state for probe in both.cpu.probes]


def test_half_precision_is_the_same_model(both: Both, make_examples: MakeExamples) -> None:
    half = load_frozen_model(both.folder, device="cuda")
    assert half.dtype == "bfloat16"
    examples = few(both.cpu, make_examples(16))
    expected, slope = said(both.cpu, made(both.cpu, "direct", 3, 0), examples)
    found, other = said(half, made(half, "direct", 3, 0), examples)
    assert found.nats.dtype == torch.float32
    assert float((found.nats.detach().cpu() - expected.nats.detach()).mean().abs()) < 0.01 * float(
        expected.nats.detach().mean()
    )
    assert float(torch.cosine_similarity(other, slope, dim=0)) > 0.98


def test_the_same_texts_are_written(both: Both) -> None:
    texts = ("e2e4", "e2e4 e7e5 g1f3 b8c6 the of and", "the", "of and e2e4 b8c6")
    queries = [Query(text, ()) for text in texts]
    own, other = (generate(frozen, made(frozen, "direct", 3, 0), queries, 12) for frozen in (both.cpu, both.gpu))
    assert own == other


def test_the_vocabularys_loss_is_float64s() -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(64, 1000, bias=True).requires_grad_(False)
    hidden, targets = torch.randn(1100, 64), torch.randint(1000, (1100,))
    exact = hidden.double().requires_grad_()
    nats = cross_entropy(
        torch.nn.functional.linear(exact, head.weight.double(), head.bias.double()), targets, reduction="none"
    )
    nats.sum().backward()
    there = hidden.cuda().requires_grad_()
    found = head_loss(there, head.cuda(), targets.cuda()).nats
    found.sum().backward()
    assert exact.grad is not None
    assert there.grad is not None
    assert found.detach().cpu().double().allclose(nats.detach(), rtol=1e-5, atol=1e-5)
    assert there.grad.cpu().double().allclose(exact.grad, rtol=1e-4, atol=1e-5)


def test_the_cpu_waits_for_the_gpu_once_a_micro_batch(both: Both, make_examples: MakeExamples) -> None:
    examples = few(both.cpu, make_examples(8))
    share = Share(made(both.gpu, "direct", 3, 0), examples, score_first=True)

    def step(size: int) -> list[str]:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                gradients(both.gpu, [share], Room(1, size), lambda: False)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return [f"{one.filename}:{one.lineno}" for one in waits if "synchroniz" in str(one.message)]

    for size, times in ((8, 1), (4, 2), (2, 4)):
        for _ in range(2):  # computed, recorded
            step(size)
        waits = step(size)
        assert len(waits) == times, waits
