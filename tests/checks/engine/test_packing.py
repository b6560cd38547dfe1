"""Does a packed row say what every sample says whole, padded and beside the others?"""

import json
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from soft_prompts.engine.batch import Batch, collate
from soft_prompts.engine.forward import TokenLosses, token_losses, token_losses_together
from soft_prompts.engine.rows import packing
from soft_prompts.engine.rows.alike import alike as split_by_beginning
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.packed import SHORT, Heads, Stretch, joined, merged, stretches_of
from soft_prompts.prompts.architectures import Prompt, PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.task import UNSCORED, Example
from tests.checks.made.architectures import WORDS, save_architecture

LOSS = {"rtol": 1e-5, "atol": 1e-5}
SLOPE = 1e-4  # of the gradient's length
WINDOW = 32  # the probe's own texts fit into it
UNSEEN = ("olmo2", "phi", "opt", "qwen3")  # architectures that no line here was written for
PLACES = ("front", "behind one token", "random", "end")


class Asked(NamedTuple):
    """What both roads are asked."""

    prompt: Prompt
    batch: Batch


@pytest.fixture(autouse=True)
def always_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a row that saves nothing is left for the plain road."""
    monkeypatch.setattr("soft_prompts.engine.forward.WORTH", -np.inf)


@pytest.fixture(scope="module", params=UNSEEN)
def unseen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FrozenModel:
    return load_frozen_model(str(save_architecture(tmp_path_factory.mktemp("unseen"), request.param)))


def samples(place: str, conditional: bool, longest: int = 24, count: int = 6) -> list[Example]:
    """Texts of ragged lengths, some scored labels at their very beginning, three different conditions."""
    random, found = np.random.default_rng(len(place)), list[Example]()
    for number in range(count):
        ids = random.integers(1, WORDS, random.integers(2, longest)).tolist()
        ids[0] = 7 if place == "behind one token" else ids[0]
        at = {"front": 0, "behind one token": 1, "random": int(random.integers(0, len(ids) + 1)), "end": len(ids)}
        labels = [token if random.random() < 0.7 else UNSCORED for token in ids[:-1]] + ids[-1:]
        found.append(Example(ids, labels, (float(number % 3),) if conditional else (), at[place]))
    return found


def asked(frozen: FrozenModel, tokens: int, kind: str, examples: list[Example], seed: int = 0) -> Asked:
    shape = PromptShape(tokens, frozen.hidden_size, conditions=len(examples[0].conditions))
    return Asked(build_prompt(kind, shape, frozen.vocabulary, seed=seed), collate(examples, frozen.pad_id, True))


def slopes(prompt: Prompt, losses: TokenLosses) -> Tensor:
    """Gradient of the summed nats, all parameters in one."""
    parameters = list(prompt.parameters())
    if not losses.nats.requires_grad:
        return torch.zeros(1)
    return torch.cat([slope.flatten() for slope in torch.autograd.grad(losses.nats.sum(), parameters)])


def agree(frozen: FrozenModel, what: Asked) -> None:
    """Losses, rows, first choices and the gradient of both roads."""
    assert frozen.packs
    plain, packed = (token_losses(replace(frozen, packs=packs), *what) for packs in (False, True))
    assert packed.nats.allclose(plain.nats, **LOSS)
    assert packed.row.equal(plain.row)
    expected, found = slopes(what.prompt, plain), slopes(what.prompt, packed)
    assert (found - expected).norm() <= SLOPE * expected.norm() + 1e-7
    with torch.no_grad():
        plain, packed = (token_losses(replace(frozen, packs=packs), *what) for packs in (False, True))
    assert packed.nats.allclose(plain.nats, **LOSS)
    assert plain.hits is not None
    assert packed.hits is not None
    assert packed.hits.equal(plain.hits)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Positions of every packed row that goes through a model."""
    lengths, own = list[int](), FrozenModel.packed

    def packed(self: FrozenModel, embeds: Tensor, *arguments: object) -> Tensor:
        lengths.append(embeds.shape[1])
        return own(self, embeds, *arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(FrozenModel, "packed", packed)
    return lengths


@pytest.mark.parametrize("tokens", [0, 1, 3, 64])
@pytest.mark.parametrize("place", PLACES)
def test_loss_and_gradient_are_those_of_the_plain_road(
    frozen: FrozenModel, place: str, tokens: int, counted: list[int]
) -> None:
    agree(frozen, asked(frozen, tokens, "direct", samples(place, conditional=False)))
    if tokens:
        agree(frozen, asked(frozen, tokens, "mlp", samples(place, conditional=True)))
    assert len(counted) >= 2


@pytest.mark.parametrize("place", PLACES)
def test_they_are_on_architectures_that_nobody_wrote_for(unseen: FrozenModel, place: str, counted: list[int]) -> None:
    for tokens in (0, 1, 3, 64):
        agree(unseen, asked(unseen, tokens, "direct", samples(place, conditional=False)))
    agree(unseen, asked(unseen, 3, "mlp", samples(place, conditional=True)))
    assert len(counted) >= 2


def test_what_all_samples_begin_with_goes_through_once(one_frozen: FrozenModel, counted: list[int]) -> None:
    examples = samples("front", conditional=False)
    token_losses(one_frozen, *asked(one_frozen, 64, "direct", examples))
    texts = sum(-(-len(example.input_ids) // packing.QUANTUM) * packing.QUANTUM for example in examples)
    assert counted == [64 + texts]


def alike(place: str, conditional: bool) -> list[Example]:
    """Samples of one template, some of its labels scored; one sample is no more than the template, two are the same."""
    template = np.random.default_rng(0).integers(1, WORDS, 40).tolist()
    labels = [token if number % 7 == 3 else UNSCORED for number, token in enumerate(template)]
    before = {"front": 0, "behind one token": 1, "random": 25, "end": 40}[place]  # of the template's tokens
    found = [
        one._replace(input_ids=[*template, *one.input_ids], labels=[*labels, *one.labels], insert_at=before)
        for one in samples("front", conditional)
    ]
    return [*found, found[0], found[1]._replace(input_ids=template, labels=labels)]


@pytest.mark.parametrize("tokens", [0, 1, 64])
@pytest.mark.parametrize("place", PLACES)
def test_text_that_all_go_on_with_goes_through_once(
    frozen: FrozenModel, place: str, tokens: int, counted: list[int]
) -> None:
    examples = alike(place, conditional=False)
    agree(frozen, asked(frozen, tokens, "direct", examples))
    texts = sum(len(example.input_ids) + packing.QUANTUM - 1 for example in examples)
    shared = 39  # the sample that is the template alone keeps a token
    assert counted[0] <= tokens + texts - (len(examples) - 1) * shared
    counted.clear()
    if tokens:
        agree(frozen, asked(frozen, tokens, "mlp", alike(place, conditional=True)))


def test_each_of_two_templates_goes_through_once(one_frozen: FrozenModel, counted: list[int]) -> None:
    one, other, own = [5] * 40, [6] * 30, [7] * 20
    texts = [[*one, 1, 2], [*other, 3, 4], [*one, 8, 9], own, [*other, 10, 11], [*one, 12, 13]]
    what = asked(one_frozen, 3, "direct", [Example(text, text) for text in texts])
    agree(one_frozen, what)
    tails = 5 * packing.QUANTUM  # what is behind either template; the text of its own has the prompt to itself
    assert counted[0] <= (3 + len(one)) + (3 + len(other)) + tails + (3 + len(own) + 1)


def test_without_a_prompt_all_conditions_share_text(one_frozen: FrozenModel, counted: list[int]) -> None:
    token_losses(one_frozen, *asked(one_frozen, 0, "mlp", alike("front", conditional=True)))
    (row,) = counted
    counted.clear()
    token_losses(one_frozen, *asked(one_frozen, 0, "direct", alike("front", conditional=False)))
    assert counted == [row]


def test_a_few_tokens_alike_by_chance_make_no_row_of_many_pieces() -> None:
    """As boards and random ids have: each group of two or three would be one more call of attention."""
    random = np.random.default_rng(0)
    texts = [random.integers(0, 8, 12) for _ in range(32)]
    assert [group.tokens for group in split_by_beginning(texts, 4, packing.QUANTUM)] == [0]
    long = [np.concatenate([np.full(40, number % 2), text]) for number, text in enumerate(texts)]
    assert sorted(len(group.places) for group in split_by_beginning(long, 4, packing.QUANTUM)) == [16, 16]


@pytest.mark.parametrize("longest", [24, 2 * SHORT])
def test_in_16_bits_it_is_as_near_to_float32_as_the_plain_road(tiny_folders: dict[str, Path], longest: int) -> None:
    """Short texts and long ones go back through kernels of different types."""
    folder = str(tiny_folders["llama"])
    exact, coarse = (load_frozen_model(folder, dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert coarse.packs
    examples = samples("front", False, longest)
    truth = asked(exact, 3, "direct", examples)
    expected = slopes(truth.prompt, token_losses(replace(exact, packs=False), *truth))
    off = []
    for packs in (False, True):
        what = asked(coarse, 3, "direct", examples)
        what.prompt.load_state_dict(truth.prompt.state_dict())
        off.append(float((slopes(what.prompt, token_losses(replace(coarse, packs=packs), *what)) - expected).norm()))
    plain, packed = off
    assert 0 < packed <= 1.5 * plain


def test_text_before_the_prompt_needs_no_gradient(one_frozen: FrozenModel, counted: list[int]) -> None:
    what = asked(one_frozen, 3, "direct", samples("end", conditional=False))
    token_losses(one_frozen, *what)
    ahead, row = counted
    assert ahead > row  # only the prompts are left for the pass that has one
    counted.clear()
    weight = one_frozen.model.get_parameter(next(iter(dict(one_frozen.model.named_parameters()))))
    weight.requires_grad_(True)
    try:
        token_losses(one_frozen, *what)  # a weight that learns: every position has a gradient
    finally:
        weight.requires_grad_(False)
    assert len(counted) == 1


@pytest.mark.parametrize("place", PLACES)
def test_prompts_together_are_prompts_alone(frozen: FrozenModel, place: str, counted: list[int]) -> None:
    parts = [
        asked(frozen, tokens, kind, samples(place, kind == "mlp", count=count), seed)
        for seed, (tokens, kind, count) in enumerate(
            [(1, "direct", 2), (9, "mlp", 5), (0, "direct", 3), (64, "direct", 4)]
        )
    ]
    together = token_losses_together(frozen, parts)
    assert len(counted) <= 2
    for what, losses in zip(parts, together, strict=True):
        alone = token_losses(replace(frozen, packs=False), *what)
        assert losses.nats.allclose(alone.nats, **LOSS)
        assert losses.row.equal(alone.row)
    own = [slopes(what.prompt, token_losses(replace(frozen, packs=False), *what)) for what in parts]
    total = torch.stack([losses.nats.sum() for losses in together]).sum()
    for what, expected in zip(parts, own, strict=True):
        if what.prompt.shape.tokens:
            found = torch.autograd.grad(total, list(what.prompt.parameters()), retain_graph=True)
            assert (torch.cat([slope.flatten() for slope in found]) - expected).norm() <= SLOPE * expected.norm()


def test_weights_of_labels_stay_with_their_samples(one_frozen: FrozenModel) -> None:
    examples = [
        one._replace(weights=[float(place + 1) for place in range(len(one.input_ids))])
        for one in samples("front", conditional=False)
    ]
    what = asked(one_frozen, 3, "direct", examples)
    plain, packed = (token_losses(replace(one_frozen, packs=packs), *what).weights for packs in (False, True))
    assert plain is not None
    assert packed is not None
    assert packed.equal(plain)


def test_a_text_beyond_the_sliding_window_takes_the_plain_road(tmp_path: Path, counted: list[int]) -> None:
    folder = save_architecture(tmp_path, "mistral")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"sliding_window": WINDOW}))
    frozen = load_frozen_model(str(folder))
    short, long = (samples("front", False, longest) for longest in (WINDOW - 4, 3 * WINDOW))
    for examples in (short, [*short, *long]):
        agree(frozen, asked(frozen, 3, "direct", examples))
    assert counted  # the short ones were packed


def test_what_saves_nothing_takes_the_plain_road(
    one_frozen: FrozenModel, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soft_prompts.engine.forward.WORTH", packing.WORTH)
    even = [Example([first, 2, 3, 4] * 8, [1, 2, 3, 4] * 8) for first in (1, 5, 6, 7)]
    token_losses(one_frozen, *asked(one_frozen, 1, "direct", even))
    assert not counted
    token_losses(one_frozen, *asked(one_frozen, 64, "direct", even))
    assert counted


def heads(seed: int, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    query = torch.randn(4, 40, 8, generator=random, dtype=torch.float32).requires_grad_()
    key, value = (torch.randn(groups, 40, 8, generator=random).requires_grad_() for _ in range(2))
    return query, key, value


def by_hand(query: Tensor, key: Tensor, value: Tensor, one: Stretch, earlier: Heads) -> Tensor:
    """Attention of a stretch in float64, position by position."""
    times, found = len(query) // len(key), list[Tensor]()
    key, value = (part.double().repeat_interleave(times, 0) for part in (key, value))
    old = [part.double().repeat_interleave(times, 0) for part in earlier]
    for place in range(one.here.start, one.here.stop):
        own = slice(one.start + (place - one.start) // one.length * one.length, place + 1)
        keys, values = (
            torch.cat([before[:, one.earlier or slice(0)], part[:, one.prefix or slice(0)], part[:, own]], dim=1)
            for before, part in zip(old, (key, value), strict=True)
        )
        weights = torch.softmax((query[:, place, None].double() * keys).sum(-1) * 0.3, dim=-1)
        found.append((weights[..., None] * values).sum(1))
    return torch.stack(found)


@pytest.mark.parametrize("groups", [4, 2, 1])
@pytest.mark.parametrize("attend", [merged, joined])
def test_attention_of_a_packed_row_is_a_softmax_by_hand(attend: type[merged], groups: int) -> None:
    stretches = [
        *stretches_of(0, [6]),
        *stretches_of(6, [5, 5, 3], prefix=slice(0, 6)),
        *stretches_of(19, [4, 4], earlier=slice(2, 9)),
        *stretches_of(27, [6, 6, 1], earlier=slice(0, 3), prefix=slice(0, 6)),
    ]
    query, key, value = heads(0, groups)
    earlier = (torch.randn(groups, 9, 8), torch.randn(groups, 9, 8))
    expected = torch.cat([by_hand(query, key, value, one, earlier) for one in stretches])
    found = attend(query, key, value, 0.3, stretches, earlier)
    assert found.double().allclose(expected, rtol=1e-5, atol=1e-6)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    ours, own = (
        torch.autograd.grad((answer * weights).sum(), (query, key, value), retain_graph=True)
        for answer in (found, expected)
    )
    for slope, reference in zip(ours, own, strict=True):
        assert slope.allclose(reference, rtol=1e-4, atol=1e-5)


def test_another_thread_may_ask_the_model_meanwhile(one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    expected, own, found = one_frozen.logits_of_ids(ids), FrozenModel._ask, list[Tensor]()

    def ask(self: FrozenModel, *arguments: object) -> object:
        other = Thread(target=lambda: found.append(self.logits_of_ids(ids)))
        other.start()
        other.join()
        return own(self, *arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(FrozenModel, "_ask", ask)
    token_losses(one_frozen, *asked(one_frozen, 3, "direct", samples("front", conditional=False)))
    assert found[0].allclose(expected, **LOSS)
