"""Are anchors what they are called? Frequencies counted by hand, projections and dealt targets by brute force."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from soft_prompts.experiments.evidence.anchors import (
    PLACES,
    count_labels,
    nats_by_place,
    nearest_tokens,
    overall_nats,
    paid,
)
from soft_prompts.experiments.evidence.controls import ALIKE, BLOCK, DealtData, changed_share, permute_targets
from soft_prompts.experiments.evidence.rounding import round_tensors
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt, grow
from soft_prompts.prompts.kinds import PROMPTS
from soft_prompts.stats.bits import quantise
from soft_prompts.tasks.listed import ListedData
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training.measures import scored_labels


def test_frequencies_are_those_counted_by_hand() -> None:
    answers = [[2, 0], [2, 1], [2, 1, 1]]
    counts = count_labels(answers, vocabulary=4)
    overall = overall_nats(counts)
    for token, seen in ((0, 1), (1, 3), (2, 3), (3, 0)):
        assert overall[0, token] == pytest.approx(-np.log((seen + 0.5) / (7 + 4 * 0.5)))
    by_place = nats_by_place(counts)
    assert by_place[0, 2] == pytest.approx(-np.log((3 + 3.5 / 9) / 4))
    assert by_place[1, 1] == pytest.approx(-np.log((2 + 3.5 / 9) / 4))
    assert by_place[9, 3] == pytest.approx(-np.log(0.5 / 9))  # never seen so far back: as overall
    assert np.exp(-by_place).sum(axis=1) == pytest.approx(np.ones(PLACES))
    assert paid(overall, [2, 3]) == pytest.approx(overall[0, 2] + overall[0, 3])
    assert paid(by_place, [2, 3]) == pytest.approx(by_place[0, 2] + by_place[1, 3])


def test_places_behind_the_last_are_counted_together() -> None:
    counts = count_labels([[0] * PLACES + [1, 1]], vocabulary=2)
    assert counts[:-1].sum(axis=0).tolist() == [PLACES - 1, 0]
    assert counts[-1].tolist() == [1, 2]
    assert paid(nats_by_place(counts), [0] * (PLACES + 1)) > 0


def test_the_first_label_counts_only_where_a_prompt_may_precede_it() -> None:
    assert scored_labels(Example([5, 6], [5, 6]), score_first=False) == [6]
    assert scored_labels(Example([5, 6], [5, 6]), score_first=True) == [5, 6]
    assert scored_labels(Example([5, 6], [5, 6], insert_at=1), score_first=True) == [6]


def test_a_projection_is_the_nearest_token() -> None:
    generator = torch.Generator().manual_seed(0)
    vocabulary, rows = torch.randn(60, 8, generator=generator), torch.randn(9, 8, generator=generator)
    slow = [min(range(60), key=lambda token: float(((vocabulary[token] - row) ** 2).sum())) for row in rows]
    assert nearest_tokens(rows, vocabulary).tolist() == slow


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_rounded_prompt_holds_what_its_code_says(bits: int) -> None:
    prompt = build_prompt("mlp", PromptShape(2, 6, 2, 1, 4), torch.randn(9, 6))
    before = {name: value.clone() for name, value in prompt.named_parameters()}
    round_tensors(prompt, bits)
    for name, value in prompt.named_parameters():
        expected = quantise(before[name].detach().numpy(), bits).values()
        assert np.allclose(value.detach().numpy(), expected, atol=1e-6)
        assert len(np.unique(value.detach().numpy())) <= 2**bits
    assert any(not torch.equal(before[name], value) for name, value in prompt.named_parameters())


@pytest.mark.parametrize("kind", PROMPTS)
def test_a_grown_prompt_begins_with_the_smaller_one(kind: Any) -> None:
    """Emits its tokens exactly; a shared resnet gets one more bit, which is 0 for the first tokens."""
    vocabulary = torch.randn(9, 6)
    small, large = (
        build_prompt(kind, PromptShape(tokens, 6, 2, 1, 5, 4), vocabulary, "vocabulary", tokens) for tokens in (2, 4)
    )
    conditions = torch.rand(3, 2)
    rest = large(conditions)[:, 2:]
    grow(large, small)
    assert torch.allclose(large(conditions)[:, :2], small(conditions), atol=1e-6)
    if PROMPTS[kind].has_rows:
        assert torch.equal(large(conditions)[:, 2:], rest)


def examples(count: int, seed: int = 0) -> list[Example]:
    draw, made = np.random.default_rng(seed), []
    for number in range(count):
        length = int(draw.integers(1, 30))
        ids = draw.integers(0, 1000, length + 1).tolist()
        made.append(Example(ids, [UNSCORED, *ids[1:]], cluster=number))
    return made


def targets(example: Example) -> list[int]:
    return [label for label in example.labels if label != UNSCORED]


@pytest.mark.parametrize("count", [2, 15, 16, 17, 33, 200])
def test_every_sample_gets_the_labels_of_another_of_like_length(count: int) -> None:
    before = examples(count)
    after = permute_targets(before, np.random.default_rng(1))
    by_first: Counter[int] = Counter()
    ranks = {place: rank for rank, place in enumerate(sorted(range(count), key=lambda i: len(targets(before[i]))))}
    for place, (one, other) in enumerate(zip(before, after, strict=True)):
        assert other.input_ids == one.input_ids
        assert [label == UNSCORED for label in other.labels] == [label == UNSCORED for label in one.labels]
        donors = [k for k, donor in enumerate(before) if targets(donor)[0] == targets(other)[0]]
        assert donors != [place]
        assert any(abs(ranks[donor] - ranks[place]) < 3 * ALIKE for donor in donors)
        by_first[targets(other)[0]] += 1
    assert by_first == Counter(targets(one)[0] for one in before)  # every sample gives its labels once
    assert changed_share(before, after) > 0.9
    assert changed_share(before, before) == 0
    assert permute_targets(before, np.random.default_rng(1)) == after


def stream_of(data: DealtData, position: Any, count: int) -> list[tuple[Example, Any]]:
    return list(islice(data.training(position), count))


def test_a_dealt_stream_goes_on_from_any_of_its_positions() -> None:
    every = examples(40)
    data = DealtData(ListedData("d", "f", every, every[:20], every[20:]), permute_targets)
    whole = stream_of(data, None, 2 * BLOCK + 20)
    for done in (1, BLOCK - 1, BLOCK, BLOCK + 7):
        assert stream_of(data, whole[done - 1][1], 15) == whole[done : done + 15]
    plain: Iterator[Any] = data.data.training(None)
    assert [one.input_ids for one, _ in whole] == [one.input_ids for one, _ in islice(plain, len(whole))]
    assert [one.labels for one, _ in whole] != [one.labels for one, _ in islice(data.data.training(None), len(whole))]
    assert data.held_out("test") == data.held_out("test") != every[20:]
