"""Are held-out losses and their standard errors what a plain computation gives?"""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from soft_prompts.engine import processes
from soft_prompts.engine.evaluation import LossNotFinite, evaluate, item_losses, swap_conditions
from soft_prompts.engine.memory import in_batches
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.results.metrics import loss_per_token, paired_difference, ratio, share
from soft_prompts.stats.items import Items
from soft_prompts.tasks.task import UNSCORED, Example

MakeExamples = Callable[..., list[Example]]


def make_items(nats: NDArray, units: NDArray, cluster: NDArray) -> Items:
    return Items(nats.astype(float), units * 2, units, cluster.astype(np.int64))


def clustered_items(clusters: int, seed: int = 0) -> Items:
    """Items whose losses share a part with their cluster; clusters of 1 to 6 items, items of 1 to 9 units."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), rng.integers(1, 7, clusters))
    units = rng.integers(1, 10, len(cluster))
    nats = units * (2 + rng.normal(0, 0.5, clusters)[cluster] + rng.normal(0, 0.3, len(cluster)))
    return make_items(nats, units, cluster)


def test_item_losses_equal_one_plain_pass_each(frozen: FrozenModel, make_examples: MakeExamples) -> None:
    examples = make_examples(9, inserted=True)
    prompt = build_prompt("mlp", PromptShape(3, frozen.hidden_size, 2), frozen.vocabulary)
    for batch_size in (1, 4, 64):
        losses = item_losses(frozen, prompt, examples, batch_size)
        for place, example in enumerate(examples):
            with torch.no_grad():
                text = frozen.embed(torch.tensor([example.input_ids]))[0]
                rows = prompt(torch.tensor([example.conditions]))[0]
                at = example.insert_at
                logits = frozen.model(inputs_embeds=torch.cat([text[:at], rows, text[at:]])[None]).logits[0]
            labels = [UNSCORED, *example.labels[1:]]
            labels = torch.tensor([*labels[:at], *[UNSCORED] * 3, *labels[at:]])
            expected = cross_entropy(logits[:-1].double(), labels[1:], reduction="sum")
            assert losses.nats[place] == pytest.approx(float(expected), rel=1e-5, abs=1e-5)
            scored = labels[1:] != UNSCORED
            assert losses.tokens[place] == int(scored.sum())
            assert losses.hits[place] == int((logits[:-1].argmax(-1) == labels[1:])[scored].sum())
    assert losses.per_token == pytest.approx(losses.nats.sum() / losses.tokens.sum())


def test_items_keep_units_and_clusters_in_order(
    one_frozen: FrozenModel, make_examples: MakeExamples, make_direct: Callable[..., DirectPrompt]
) -> None:
    examples = make_examples(5)
    items, accuracy, _ = evaluate(one_frozen, make_direct(one_frozen, 2), examples, 2)
    hits = item_losses(one_frozen, make_direct(one_frozen, 2), examples, 2).hits
    assert accuracy.value == hits.sum() / items.scored_tokens.sum()
    assert accuracy.unit == "share of tokens"
    assert items.scored_units.tolist() == [example.units for example in examples]
    assert items.cluster.tolist() == [example.cluster for example in examples]
    broken = make_direct(one_frozen, 2, torch.full((2, one_frozen.hidden_size), torch.nan))
    with pytest.raises(LossNotFinite, match="5 of 5 items is not finite"):
        evaluate(one_frozen, broken, examples, 2)


def test_ratio_and_its_error_by_hand() -> None:
    items = make_items(np.array([2.0, 4.0, 9.0, 1.0]), np.array([1, 2, 3, 1]), np.array([5, 5, 8, 9]))
    metric = ratio(items, slice(None), "nats/move")
    value = 16 / 7
    residuals = [6 - 3 * value, 9 - 3 * value, 1 - value]
    stderr = (sum(r * r for r in residuals) * 3 / 2) ** 0.5 / 7
    assert metric.value == pytest.approx(value)
    assert metric.stderr == pytest.approx(stderr)
    assert (metric.n, metric.unit) == (3, "nats/move")
    assert loss_per_token(items).value == pytest.approx(16 / 14)
    inside = np.array([True, True, False, False])
    alone = ratio(items, inside, "nats/move")
    assert (alone.value, alone.stderr, alone.n) == (2.0, None, 1)
    nothing = ratio(items, np.zeros(4, dtype=bool), "nats/move")
    assert (nothing.value, nothing.reason) == (None, "no scored unit")


def test_independent_items_have_the_classic_standard_error() -> None:
    nats = np.random.default_rng(0).normal(3, 1, 500)
    metric = ratio(make_items(nats, np.ones(500, dtype=np.int64), np.arange(500)), slice(None), "nats/move")
    assert metric.stderr == pytest.approx(nats.std(ddof=1) / 500**0.5)


def test_the_error_is_that_of_a_bootstrap_over_clusters() -> None:
    items = clustered_items(400)
    sums, units = (np.bincount(items.cluster, weights=column) for column in (items.loss_nats, items.scored_units))
    drawn = np.random.default_rng(1).integers(0, 400, (3000, 400))
    resampled = sums[drawn].sum(axis=1) / units[drawn].sum(axis=1)
    stderr = ratio(items, slice(None), "nats/move").stderr
    assert stderr == pytest.approx(resampled.std(), rel=0.06)
    unaware = make_items(items.loss_nats, items.scored_units, np.arange(len(items.cluster)))
    naive = ratio(unaware, slice(None), "nats/move")
    assert naive.stderr is not None
    assert stderr is not None
    assert naive.stderr < 0.8 * stderr  # what ignoring clusters would have claimed


def test_a_paired_difference_removes_what_items_share() -> None:
    items = clustered_items(200)
    shift = np.random.default_rng(2).normal(0.1, 0.02, len(items.cluster)) * items.scored_units
    other = make_items(items.loss_nats + shift, items.scored_units, items.cluster)
    difference = paired_difference(other, items, "nats/move")
    apart = [ratio(one, slice(None), "nats/move") for one in (items, other)]
    assert difference.value == pytest.approx(apart[1].value - apart[0].value)
    assert difference.stderr < apart[0].stderr / 10
    assert paired_difference(items, other, "nats/move").value == pytest.approx(-difference.value)
    assert paired_difference(items, items, "nats/move")[:2] == (0.0, 0.0)


def test_a_share_has_an_error_even_where_all_outcomes_are_alike() -> None:
    metric = share([True, True, True, False], "share of moves")
    assert (metric.value, metric.n) == (0.75, 4)
    assert metric.stderr == pytest.approx((5 / 8 * 3 / 8 / 8) ** 0.5)
    assert share([False] * 96, "share of moves").stderr == pytest.approx((0.02 * 0.98 / 100) ** 0.5)
    assert share([], "share of moves").value is None
    twice = share([True, True, True, False] * 2, "share of moves", clusters=[1, 2, 3, 4] * 2)
    assert twice == metric  # saying everything twice makes nothing surer


@pytest.mark.parametrize("count", [2, 3, 4, 7, 50])
def test_swapped_conditions_come_from_another_example(count: int) -> None:
    examples = [Example([number], [number], (float(number),), cluster=number) for number in range(count)]
    for seed in range(20):
        swapped = swap_conditions(examples, seed)
        assert sorted(example.conditions[0] for example in swapped) == list(range(count))
        assert all(one.conditions != other.conditions for one, other in zip(swapped, examples, strict=True))
        assert [example._replace(conditions=()) for example in swapped] == [
            example._replace(conditions=()) for example in examples
        ]
        assert swapped == swap_conditions(examples, seed)
    if count > 3:
        assert swap_conditions(examples, 0) != swap_conditions(examples, 1)


@pytest.mark.parametrize("sizes", [(50, 50), (5, 5, 5), (10, 1), (7, 2, 1), (3, 3, 1), (600, 300, 100)])
def test_swapped_conditions_differ_wherever_they_can(sizes: tuple[int, ...]) -> None:
    """The most that any dealing can change: of a majority only as many as there are others."""
    values = [float(value) for value, size in enumerate(sizes) for _ in range(size)]
    examples = [Example([number], [number], (value,), cluster=number) for number, value in enumerate(values)]
    most = min(len(values), 2 * (len(values) - max(sizes)))
    for seed in range(5):
        dealt = [example.conditions[0] for example in swap_conditions(examples, seed)]
        assert sorted(dealt) == sorted(values)
        assert sum(one != other for one, other in zip(dealt, values, strict=True)) == most


def test_swapping_mixes_all_other_choices() -> None:
    examples = [Example([0], [0], (float(number % 3),), cluster=number) for number in range(900)]
    dealt = swap_conditions(examples, 0)
    counts = Counter((one.conditions[0], other.conditions[0]) for one, other in zip(examples, dealt, strict=True))
    assert len(counts) == 6
    assert all(100 < count < 200 for count in counts.values())  # 150 each, give or take 9


def test_two_choices_are_all_swapped_and_sensitivity_is_that_of_the_other_choice() -> None:
    """By hand: told right an item costs 1 nat, told wrong 3; half of the swaps used to change nothing."""
    examples = [Example([0], [0], (float(number % 2),), cluster=number) for number in range(100)]
    cost = [1 + 2 * (e.conditions[0] != number % 2) for number, e in enumerate(swap_conditions(examples, 0))]
    assert sum(cost) / 100 - 1 == 2


def test_one_example_has_nobody_to_swap_with() -> None:
    examples = [Example([1], [1], (0.5,))]
    assert swap_conditions(examples, 0) == examples
    assert swap_conditions([], 0) == []


def test_processes_share_the_items_whatever_batch_each_can_hold(
    one_frozen: FrozenModel,
    make_examples: MakeExamples,
    make_direct: Callable[..., DirectPrompt],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process may have halved its batch when memory was out: still every item is scored by exactly one."""
    examples, prompt = make_examples(7), make_direct(one_frozen, 2)
    alone = item_losses(one_frozen, prompt, examples, 4)
    parts = []
    for index, batch_size in ((0, 4), (1, 1)):
        process = SimpleNamespace(process_index=index, num_processes=2)
        monkeypatch.setattr(processes, "PartialState", lambda process=process: process)
        monkeypatch.setattr(processes, "reduce", lambda sums, how: sums)
        parts.append(item_losses(one_frozen, prompt, examples, batch_size))
    assert [(a > 0) + (b > 0) for a, b in zip(parts[0].tokens, parts[1].tokens, strict=True)] == [1] * 7
    assert parts[0].nats + parts[1].nats == pytest.approx(alone.nats, rel=1e-5)


@pytest.mark.parametrize("mode", ["fsdp", "tensor", "none"])
def test_processes_in_step_make_as_many_batches_as_each_other(
    one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    """Counted one by one, of any number of samples."""
    frozen = replace(one_frozen, parallel=mode)
    for count, samples, at_once in itertools.product(range(1, 5), range(1, 14), range(1, 6)):
        made, short = [], []
        for index in range(count):
            process = SimpleNamespace(process_index=index, num_processes=count, is_main_process=index == 0)
            monkeypatch.setattr(processes, "PartialState", lambda process=process: process)
            own = processes.part_of(frozen).of(samples)
            assert mode != "tensor" or len(own) == samples
            made.append(len(list(in_batches(own, at_once, lambda places: places))))
            short.append(processes.batches_short(frozen, samples, at_once))
        expected = [max(made) - own for own in made] if mode == "fsdp" else [0] * count
        assert short == expected, (count, samples, at_once)


def test_a_whole_match_is_what_greedy_writing_gives(frozen: FrozenModel) -> None:
    """Labels that the model writes by itself, one token after another, and the same with one of them changed."""
    generator = torch.Generator().manual_seed(0)
    prompt = build_prompt("direct", PromptShape(2, frozen.hidden_size, 0), frozen.vocabulary)
    rows, examples, right = prompt(torch.zeros(1, 0))[0], list[Example](), list[float]()
    for number in range(12):
        asked = torch.randint(1, 250, (5,), generator=generator)
        embeds, written = torch.cat([rows, frozen.embed(asked[None])[0]])[None], list[int]()
        for _ in range(4):
            with torch.no_grad():
                written.append(int(frozen.model(inputs_embeds=embeds).logits[0, -1].argmax()))
                embeds = torch.cat([embeds, frozen.embed(torch.tensor([written[-1:]]))], dim=1)
        if number % 3:
            written[number % 4] = (written[number % 4] + 1) % 250
        ids = [*asked.tolist(), *written]
        examples.append(Example(ids, [UNSCORED] * 5 + written, units=1, cluster=number))
        right.append(float(number % 3 == 0))
    assert evaluate(frozen, prompt, examples, 5).whole.tolist() == right
