"""Does a row of one form say what the plain road says, and is what is recorded of it used as it should be?"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig

from soft_prompts.engine import forward
from soft_prompts.engine.batch import Batch, collate
from soft_prompts.engine.forward import TokenLosses, token_losses, token_losses_together
from soft_prompts.engine.memory import in_batches
from soft_prompts.engine.rows import recorded
from soft_prompts.engine.rows.evened import STEP, Form, even
from soft_prompts.engine.rows.packing import chains_of
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.packed import NotPacked
from soft_prompts.prompts.architectures import Prompt, PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.task import UNSCORED, Example
from tests.checks.made.architectures import WORDS, save_architecture

LOSS, SLOPE = {"rtol": 1e-5, "atol": 1e-5}, 1e-4
PLACES = ("front", "random", "end")


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch) -> list[Form]:
    """The forms that go through a model on the road of a GPU, here without one."""
    found = list[Form]()

    def computed(model: nn.Module, form: Form, compute: recorded.Compute, inputs: tuple[Tensor, ...]) -> object:
        found.append(form)
        return compute(*inputs)

    monkeypatch.setattr(forward, "records", lambda frozen: not frozen.learns)
    monkeypatch.setattr(forward, "recorded", computed)
    return found


def samples(place: str, conditional: bool, count: int = 6, seed: int = 0, longest: int = 40) -> list[Example]:
    random, found = np.random.default_rng(seed), list[Example]()
    for number in range(count):
        ids = random.integers(1, WORDS, random.integers(2, longest)).tolist()
        at = {"front": 0, "random": int(random.integers(0, len(ids) + 1)), "end": len(ids)}[place]
        labels = [token if random.random() < 0.7 else UNSCORED for token in ids[:-1]] + ids[-1:]
        found.append(Example(ids, labels, (float(number % 3),) if conditional else (), at))
    return found


def asked(frozen: FrozenModel, tokens: int, examples: list[Example], seed: int = 0) -> tuple[Prompt, Batch]:
    conditions = len(examples[0].conditions)
    prompt = build_prompt(
        "mlp" if conditions else "direct",
        PromptShape(tokens, frozen.hidden_size, conditions),
        frozen.vocabulary,
        seed=seed,
    )
    return prompt, collate(examples, frozen.pad_id, True)


def slopes(prompt: Prompt, losses: TokenLosses) -> Tensor:
    if not losses.nats.requires_grad:
        return torch.zeros(1)
    found = torch.autograd.grad(losses.nats.sum(), list(prompt.parameters()))
    return torch.cat([slope.flatten() for slope in found])


def agree(frozen: FrozenModel, prompt: Prompt, batch: Batch) -> None:
    plain, found = (token_losses(replace(frozen, packs=packs), prompt, batch) for packs in (False, True))
    assert found.nats.allclose(plain.nats, **LOSS)
    assert found.row.equal(plain.row)
    expected, slope = slopes(prompt, plain), slopes(prompt, found)
    assert (slope - expected).norm() <= SLOPE * expected.norm() + 1e-7
    with torch.no_grad():
        plain, found = (token_losses(replace(frozen, packs=packs), prompt, batch) for packs in (False, True))
    assert found.nats.allclose(plain.nats, **LOSS)
    assert plain.hits is not None
    assert found.hits is not None
    assert found.hits.equal(plain.hits)


@pytest.mark.parametrize("tokens", [0, 1, 3, 64])
@pytest.mark.parametrize("place", PLACES)
def test_loss_and_gradient_are_those_of_the_plain_road(
    frozen: FrozenModel, place: str, tokens: int, forms: list[Form]
) -> None:
    agree(frozen, *asked(frozen, tokens, samples(place, conditional=False)))
    if tokens:
        agree(frozen, *asked(frozen, tokens, samples(place, conditional=True)))
    assert len(forms) >= 2


@pytest.mark.parametrize("kind", ["olmo2", "phi", "qwen3"])
def test_they_are_on_architectures_that_nobody_wrote_for(tmp_path: Path, kind: str, forms: list[Form]) -> None:
    frozen = load_frozen_model(str(save_architecture(tmp_path, kind)))
    for tokens, place in ((0, "front"), (64, "front"), (3, "random")):
        agree(frozen, *asked(frozen, tokens, samples(place, conditional=False)))
    agree(frozen, *asked(frozen, 3, samples("front", conditional=True)))
    assert len(forms) == 8


def test_prompts_together_are_prompts_alone(frozen: FrozenModel, forms: list[Form]) -> None:
    parts = [
        asked(frozen, tokens, samples(place, kind == "mlp", count, seed), seed)
        for seed, (tokens, kind, count, place) in enumerate(
            [(1, "direct", 2, "front"), (9, "mlp", 5, "random"), (0, "direct", 3, "end"), (64, "direct", 4, "front")]
        )
    ]
    together = token_losses_together(frozen, parts)
    assert len(forms) == 1
    total = torch.stack([losses.nats.sum() for losses in together]).sum()
    for (prompt, batch), losses in zip(parts, together, strict=True):
        alone = token_losses(replace(frozen, packs=False), prompt, batch)
        assert losses.nats.allclose(alone.nats, **LOSS)
        assert losses.row.equal(alone.row)
        if prompt.shape.tokens:
            found = torch.autograd.grad(total, list(prompt.parameters()), retain_graph=True)
            expected = slopes(prompt, alone)
            assert (torch.cat([slope.flatten() for slope in found]) - expected).norm() <= SLOPE * expected.norm()


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_batches_of_like_sizes_have_one_form(one_frozen: FrozenModel, place: str, conditional: bool) -> None:
    found = set[Form]()
    for seed in range(20):
        prompt, batch = asked(one_frozen, 9, samples(place, conditional, 8, seed, longest=STEP))
        kinds = [number % 3 for number in range(8)] if conditional else [0] * 8
        found.add(even([chains_of(batch, 0, kinds, prompt.shape.tokens)]).form)
    scored = {form.scored for form in found}
    assert len(found) == len(scored) <= 2  # what is scored differs most


def test_a_batch_that_would_be_mostly_filling_is_packed_where_that_is_sooner(
    one_frozen: FrozenModel, forms: list[Form], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = [Example([1, 2], [1, 2])] * 7
    ragged, even = [*short, Example([1] * 90, [1] * 90)], [Example([one] * 96, [one] * 96) for one in range(1, 8)]
    agree(one_frozen, *asked(one_frozen, 3, ragged))
    assert forms  # a tiny model: its launches take longer than any filling
    monkeypatch.setattr(recorded, "LAUNCHES", 1e6)
    forms.clear()
    agree(one_frozen, *asked(one_frozen, 3, ragged))
    assert not forms
    agree(one_frozen, *asked(one_frozen, 3, even))
    assert forms


@pytest.mark.parametrize("before", [1, 40])
def test_what_all_texts_begin_with_goes_through_once(
    one_frozen: FrozenModel, before: int, forms: list[Form], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token of the beginning, or an instruction, in front of the prompt: no more positions than a packed row has."""
    monkeypatch.setattr(recorded, "LAUNCHES", 0)
    start = list(range(1, before + 1))
    texts = [start + [one] * (96 - before) for one in range(1, 7)]
    examples = [Example(text, text, insert_at=before) for text in texts]
    agree(one_frozen, *asked(one_frozen, 64, examples))
    assert forms
    (head, *_), rows = forms[0].stretches[0], forms[0].stretches[1]
    assert (head, forms[0].stretches[0][2], rows[2]) == (0, 64 + before, 96 - before)


class Graphs:
    """torch.cuda's part, played on a CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made, self.replays, self.off, self.slope, self.error = 0, 0, 0.0, 1.0, None
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
        monkeypatch.setattr(torch.cuda, "make_graphed_callables", self.make)

    def make(self, compute: Callable[..., Tensor], inputs: tuple[Tensor, ...], pool: object) -> Callable[..., Tensor]:
        if self.error:
            raise self.error
        compute(*inputs)
        self.made += 1

        def replay(*given: Tensor) -> Tensor:
            self.replays += 1
            answer = compute(*given) + self.off
            return self.slope * answer + (1 - self.slope) * answer.detach()

        return replay


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Graphs:
    return Graphs(monkeypatch)


def double(one: Tensor) -> Tensor:
    return 2 * one


def ask(model: nn.Module, form: object, one: Tensor, compute: recorded.Compute = double) -> Tensor:
    answer = recorded.recorded(model, form, compute, (one,))
    assert isinstance(answer, Tensor)
    return answer


def test_a_form_is_recorded_when_it_comes_again(graphs: Graphs) -> None:
    model, one = nn.Linear(1, 1), torch.ones(3, requires_grad=True)
    for made, replays in ((0, 0), (1, 2), (1, 3), (1, 4)):  # one of them to compare
        answer = ask(model, "form", one)
        assert answer.tolist() == [2, 2, 2]
        assert torch.autograd.grad(answer.sum(), one)[0].tolist() == [2, 2, 2]
        assert (graphs.made, graphs.replays) == (made, replays)
    for other in ((model, "another", torch.ones(3)), (model, "form", torch.ones(4)), (nn.Linear(1, 1), "form", one)):
        ask(*other)
    with torch.no_grad():
        ask(model, "form", one)
    assert graphs.made == 1


def test_of_more_forms_than_memory_has_room_for_the_last_ones_are_kept(graphs: Graphs) -> None:
    model = nn.Linear(1, 1)
    for number in [*range(recorded.MOST), 0, recorded.MOST]:
        for _ in range(2):
            ask(model, number, torch.ones(1))
    assert len(recorded._of[model].made) == recorded.MOST
    made = graphs.made
    ask(model, 0, torch.ones(1))  # had come in between
    assert graphs.made == made
    ask(model, 1, torch.ones(1))
    assert graphs.made == made + 1


@pytest.mark.parametrize("fault", ["says something else", "has another gradient", "cannot be recorded", "no memory"])
def test_what_cannot_be_recorded_is_computed(graphs: Graphs, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    graphs.off = 1.0 if fault == "says something else" else 0.0
    graphs.slope = 0.5 if fault == "has another gradient" else 1.0
    graphs.error = {
        "cannot be recorded": RuntimeError("not permitted when stream is capturing"),
        "no memory": torch.OutOfMemoryError("CUDA out of memory"),
    }.get(fault)
    model, one = nn.Linear(1, 1), torch.ones(1, requires_grad=True)
    for _ in range(4):
        answer = ask(model, 0, one)
        assert answer.tolist() == [2]
        assert torch.autograd.grad(answer.sum(), one)[0].tolist() == [2]
    graphs.off, graphs.slope, graphs.error = 0.0, 1.0, None
    for _ in range(3):
        ask(model, 1, one)
    assert graphs.made == (1 if fault.startswith(("says", "has")) else 0)  # and never tried again
    assert not recorded.is_usable(model)
    assert capsys.readouterr().err.count("steps are not recorded any more") == 1


def test_a_loss_that_is_no_number_says_nothing_of_recording(graphs: Graphs) -> None:
    model = nn.Linear(1, 1)
    for value in (1.0, math.nan, 1.0, 1.0, 1.0):
        ask(model, 0, torch.full((1,), value))
    assert recorded.is_usable(model)
    assert len(recorded._of[model].made) == 1


def test_what_cannot_be_packed_is_said_and_turns_nothing_off(graphs: Graphs) -> None:
    model = nn.Linear(1, 1)

    def refuse(one: Tensor) -> Tensor:
        raise NotPacked("longer than the window")

    for _ in range(3):
        with pytest.raises(NotPacked):
            ask(model, 0, torch.ones(1), refuse)
    assert recorded.is_usable(model)


def test_the_backward_of_a_replay_comes_before_the_next_batch(graphs: Graphs) -> None:
    model, one = nn.Linear(1, 1), torch.ones(1, requires_grad=True)
    for _ in range(2):
        ask(model, 0, one)
    first, second = ask(model, 0, one), ask(model, 0, one)
    second.backward(retain_graph=True)
    for late in (first, second):  # the other's memory, or its own that is given back
        with pytest.raises(RuntimeError, match="call backward before the next batch"):
            late.backward()


def test_weights_that_have_moved_are_recorded_anew(graphs: Graphs) -> None:
    model, one = nn.Linear(1, 1), torch.ones(1)
    for _ in range(3):
        ask(model, 0, one)
    model.weight.data = model.weight.data.clone()
    replays = graphs.replays
    ask(model, 0, one)
    assert graphs.replays == replays
    for _ in range(2):
        ask(model, 0, one)
    assert graphs.made == 2


def test_where_memory_is_out_recordings_go_before_batches_shrink(graphs: Graphs) -> None:
    model = nn.Linear(1, 1)
    for _ in range(2):
        ask(model, 0, torch.ones(1))
    sizes = list[int]()

    def work(places: Sequence[int]) -> int:
        sizes.append(len(places))
        if len(sizes) < 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return len(places)

    assert list(in_batches(range(8), 8, work)) == [4, 4]
    assert sizes == [8, 8, 4, 4]
    assert not recorded.is_usable(model)
    recorded.forget()
    assert recorded.is_usable(model)


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({}, True),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, True),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, False),
        ({"num_local_experts": 4}, False),
    ],
)
def test_a_model_that_chooses_by_what_it_reads_is_not_recorded(settings: dict[str, object], same: bool) -> None:
    config = LlamaConfig(**settings)  # pyright: ignore[reportArgumentType]
    assert recorded.does_the_same(config) == same
