"""Is overfitting told from luck with the samples?"""

import numpy as np
import pytest

from soft_prompts.stats.generalisation import Trained, behind_training
from soft_prompts.stats.items import Items

SAMPLES = 256


def items(losses: np.ndarray, cluster: np.ndarray | None = None) -> Items:
    ones = np.ones(len(losses), dtype=np.int64)
    return Items(losses, ones, ones, np.arange(len(losses)) if cluster is None else cluster)


def drawn(
    generator: np.random.Generator, felt: float, overfit: float, clusters: tuple[int, int] = (SAMPLES, SAMPLES)
) -> tuple[Trained, ...]:
    """A prompt and its bare model: test and training items of one distribution, hard ones and easy ones; of what makes
    them so the prompt feels a share, and its own noise. It has learnt its training samples by heart by `overfit`."""
    hard, noise = generator.normal(10, 1.4, 100 + SAMPLES), generator.normal(0.5, 0.3, 100 + SAMPLES)
    own = noise + felt * (hard - 10)
    own[100:] -= overfit
    pairs = zip((own, hard), clusters, strict=True)
    return tuple(Trained(items(side[:100]), side[100 : 100 + seen].mean(), seen) for side, seen in pairs)


@pytest.mark.parametrize("felt", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("overfit", [0.0, 0.2])
def test_the_value_is_right_on_average_and_its_error_is_what_it_varies_by(felt: float, overfit: float) -> None:
    generator = np.random.default_rng(5)
    found = [behind_training(*drawn(generator, felt, overfit)) for _ in range(400)]
    values = np.array([one.value for one in found])
    errors = np.array([one.stderr for one in found], dtype=float)
    assert abs(values.mean() - overfit) < 4 * values.std() / 20
    assert values.std() == pytest.approx(errors.mean(), rel=0.12)
    assert values.std() < 0.045  # the bare model's own difference varies by .165


@pytest.mark.parametrize("felt", [0.0, 0.5, 1.0])
def test_a_prompt_that_saw_fewer_samples_than_the_bare_model_is_as_unsure(felt: float) -> None:
    generator = np.random.default_rng(7)
    found = [behind_training(*drawn(generator, felt, 0.0, (32, SAMPLES))) for _ in range(400)]
    wrong = np.mean([abs(one.value) > 1.96 * one.stderr for one in found])
    assert 0.01 < wrong < 0.09


@pytest.mark.parametrize("felt", [0.0, 0.5, 1.0])
def test_a_prompt_that_saw_other_samples_than_the_bare_model_is_as_unsure(felt: float) -> None:
    """Those of another seed."""
    generator = np.random.default_rng(9)
    found = []
    for _ in range(400):
        hard = generator.normal(10, 1.4, 100 + 2 * SAMPLES)
        own = generator.normal(0.5, 0.3, len(hard)) + felt * (hard - 10)
        prompted = Trained(items(own[:100]), own[100 : 100 + SAMPLES].mean(), SAMPLES, seed=1)
        found.append(behind_training(prompted, Trained(items(hard[:100]), hard[100 + SAMPLES :].mean(), SAMPLES)))
    assert 0.02 < np.mean([abs(one.value) > 1.96 * one.stderr for one in found]) < 0.09


def test_more_test_items_leave_the_training_samples_error() -> None:
    one, bare = drawn(np.random.default_rng(3), 0.3, 0.0)
    many = [Trained(items(np.tile(side.test.loss_nats, 100)), side.training, 256) for side in (one, bare)]
    few, found = behind_training(one, bare), behind_training(*many)
    assert found.of_test < 0.11 * few.of_test
    assert found.of_training == pytest.approx(few.of_training)


def test_a_prompt_that_changes_nothing_is_as_far_behind_as_the_bare_model() -> None:
    one, bare = drawn(np.random.default_rng(1), 1.0, 0.0)
    assert behind_training(bare, bare).value == pytest.approx(0, abs=1e-12)
    assert behind_training(one, None).value == pytest.approx(one.test.loss_nats.mean() - one.training)


def test_items_of_one_document_count_as_one() -> None:
    one, bare = drawn(np.random.default_rng(2), 0.3, 0.0)
    twice = [
        Trained(items(np.repeat(side.test.loss_nats, 2), np.repeat(np.arange(100), 2)), side.training, SAMPLES)
        for side in (one, bare)
    ]
    assert behind_training(*twice).value == pytest.approx(behind_training(one, bare).value)
    assert behind_training(*twice).stderr == pytest.approx(behind_training(one, bare).stderr, rel=1e-9)
    whole = Trained(items(one.test.loss_nats, np.zeros(100, dtype=np.int64)), one.training, SAMPLES)
    assert np.isnan(behind_training(whole, bare).stderr)
