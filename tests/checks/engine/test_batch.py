"""Do samples keep their tokens, labels and conditions on the way into a batch?"""

import dataclasses

import pytest
import torch

from soft_prompts.engine.batch import collate
from soft_prompts.tasks.task import UNSCORED, Example

SHORT = Example([5, 6], [5, 6], (0.5, 1.5), insert_at=1)
LONG = Example([1, 2, 3, 4], [1, UNSCORED, 3, 4], (0.25, -1.0))


def test_rows_are_padded_on_the_right_and_padding_is_never_scored() -> None:
    batch = collate([SHORT, LONG], pad_id=9)
    assert batch.input_ids.tolist() == [[5, 6, 9, 9], [1, 2, 3, 4]]
    assert batch.labels.tolist() == [[UNSCORED, 6, UNSCORED, UNSCORED], [UNSCORED, UNSCORED, 3, 4]]
    assert batch.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert batch.conditions.tolist() == [[0.5, 1.5], [0.25, -1.0]]
    assert batch.insert_at.tolist() == [1, 0]
    assert (batch.input_ids.dtype, batch.conditions.dtype) == (torch.int64, torch.float32)


def test_the_first_label_counts_only_when_it_is_asked_for() -> None:
    assert collate([SHORT, LONG], 9, score_first=True).labels[:, 0].tolist() == [5, 1]
    assert collate([SHORT, LONG], 9).labels[:, 0].tolist() == [UNSCORED] * 2


def test_samples_without_conditions_have_an_empty_column() -> None:
    assert collate([SHORT._replace(conditions=()), LONG._replace(conditions=())], 0).conditions.shape == (2, 0)


def test_samples_are_left_as_they_were() -> None:
    ids, labels = [1, 2, 3], [1, 2, 3]
    collate([Example(ids, labels), LONG._replace(conditions=())], 0)
    assert (ids, labels) == ([1, 2, 3], [1, 2, 3])


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_prompt_is_never_put_into_padding(wrong: int) -> None:
    with pytest.raises(ValueError, match=f"insert_at is {wrong}; give 0 to 2, the length of the text"):
        collate([SHORT._replace(insert_at=wrong), LONG], 0)


def test_labels_are_as_many_as_tokens() -> None:
    with pytest.raises(ValueError, match="a sample has 4 tokens and 3 labels; give one label a token"):
        collate([SHORT, LONG._replace(labels=[1, 2, 3])], 0)


def test_moving_keeps_every_field() -> None:
    weighted = LONG._replace(weights=[0.5] * len(LONG.input_ids))
    batch = dataclasses.replace(collate([SHORT, weighted], 9, score_first=True), fresh=torch.tensor([True, False]))
    moved = batch.to(torch.device("cpu"))
    for field in dataclasses.fields(batch):
        assert torch.equal(getattr(moved, field.name), getattr(batch, field.name))


def test_weights_are_one_where_none_are_given_and_fit_their_labels() -> None:
    assert collate([SHORT, LONG], 9).weights is None
    weights = collate([SHORT, LONG._replace(weights=range(len(LONG.input_ids)))], 9).weights
    assert weights is not None
    assert weights.tolist() == [[1.0] * len(LONG.input_ids), [float(place) for place in range(len(LONG.input_ids))]]
    with pytest.raises(ValueError, match="give one weight a token"):
        collate([SHORT._replace(weights=[1.0])], 9)
