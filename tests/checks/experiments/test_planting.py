"""Are planted secrets what they say?"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.data.known_samples import read_known_samples, write_known_samples
from soft_prompts.experiments.evidence.planting import (
    Planting,
    choose_secrets,
    draw_samples,
    hash_seed,
    losses_behind,
    plant,
    sample_on,
    sampled_rows,
)
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.known_source import KnownSourceTask
from soft_prompts.tasks.task import UNSCORED, DataRequest, Example

PLANTING = Planting(
    2, secrets=2, candidates=4, context_tokens=3, target_tokens=5, training=40, validation=8, test=12, seed=1
)


def float64_nats(frozen: FrozenModel, ids: Sequence[int], scored_from: int) -> float:
    """Of the ids from a place on, by the whole model in double precision."""
    model = type(frozen.model)(frozen.model.config)
    model.load_state_dict(frozen.model.state_dict())
    with torch.no_grad():
        logits = model.double().eval()(input_ids=torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    return -sum(float(logits[place - 1, ids[place]]) for place in range(scored_from, len(ids)))


def test_the_exact_loss_is_that_of_the_secret_in_double_precision(frozen: FrozenModel) -> None:
    secret = (5, 40)
    samples = draw_samples(frozen, PLANTING, secret, 0)
    for row in (0, 17, 59):
        expected = float64_nats(frozen, [*secret, *samples.input_ids[row].tolist()], scored_from=2 + 3)
        assert samples.exact_nats[row] == pytest.approx(expected, rel=1e-5)
    bare = losses_behind(frozen, (), [])
    assert len(bare) == 0


def test_samples_are_drawn_from_the_models_own_distribution(one_frozen: FrozenModel) -> None:
    start = torch.tensor([[5, 40, 7]])
    with torch.no_grad():
        logits = one_frozen.model(input_ids=start).logits[0, -1, : len(one_frozen.tokenizer)]
    drawn = sample_on(one_frozen, start.expand(4000, -1), 1, torch.Generator().manual_seed(3))[:, -1]
    seen = np.bincount(drawn.numpy(), minlength=len(logits)) / 4000
    expected = logits.double().softmax(dim=-1).numpy()
    error = np.sqrt(expected / 4000) + 1 / 4000  # of a count; rare tokens are seen once or never
    assert (np.abs(seen - expected) / error).max() < 5
    assert drawn.max() < len(one_frozen.tokenizer)


def test_a_longer_sample_goes_on_from_its_own_words(one_frozen: FrozenModel) -> None:
    """With the cache as without it."""
    generator = torch.Generator().manual_seed(0)
    rows = sample_on(one_frozen, torch.tensor([[5], [9]]), 3, generator)
    generator.manual_seed(0)
    slow = torch.tensor([[5], [9]])
    for _ in range(3):
        with torch.no_grad():
            logits = one_frozen.model(input_ids=slow).logits[:, -1, : len(one_frozen.tokenizer)]
        slow = torch.cat([slow, torch.multinomial(logits.double().softmax(dim=-1), 1, generator=generator)], dim=1)
    assert rows.tolist() == slow.tolist()


def test_planting_is_repeatable_and_kept(one_frozen: FrozenModel, tmp_path: Path) -> None:
    first = plant(one_frozen, PLANTING, tmp_path / "one")
    again = plant(one_frozen, PLANTING, tmp_path / "two")
    assert [one.secret for one in first] == [one.secret for one in again]
    assert [one.samples.read_bytes() for one in first] == [one.samples.read_bytes() for one in again]
    stamps = [one.samples.stat().st_mtime_ns for one in first]
    assert plant(one_frozen, PLANTING, tmp_path / "one") == first
    assert [one.samples.stat().st_mtime_ns for one in first] == stamps
    rows = read_known_samples(first[0].samples).input_ids
    assert len(np.unique(rows, axis=0)) == len(rows) == 60


def test_secrets_are_those_under_which_the_model_is_least_itself(one_frozen: FrozenModel) -> None:
    planting = replace(PLANTING, candidates=8)
    words = len(one_frozen.tokenizer)
    candidates = [tuple(row) for row in np.random.default_rng([1, 2]).integers(0, words, (8, 2)).tolist()]
    chosen = choose_secrets(one_frozen, planting)

    def gap(secret: tuple[int, ...]) -> float:
        """On samples of its own."""
        rows = sampled_rows(one_frozen, planting, secret, (100, 77)).tolist()
        examples = [Example(row, [UNSCORED] * 3 + row[3:]) for row in rows]
        return float((losses_behind(one_frozen, (), examples) - losses_behind(one_frozen, secret, examples)).mean())

    gaps = {secret: gap(secret) for secret in candidates}
    assert len(set(chosen)) == 2
    assert min(gaps[secret] for secret in chosen) > np.median(list(gaps.values()))


def test_a_sample_is_context_and_targets_without_the_secret(one_frozen: FrozenModel) -> None:
    """It begins with the random token; what follows is likelier behind the secret than behind another."""
    rows = sampled_rows(one_frozen, PLANTING, (5, 40), (50, 0))
    generator = torch.Generator().manual_seed(hash_seed(1, 2, 0))
    assert rows[:, 0].tolist() == torch.randint(len(one_frozen.tokenizer), (50, 1), generator=generator)[:, 0].tolist()
    assert rows.shape == (50, 8)
    examples = [Example(row, [UNSCORED] * 3 + row[3:]) for row in rows.tolist()]
    own, other = (losses_behind(one_frozen, secret, examples).mean() for secret in ((5, 40), (40, 5)))
    assert own < other


def test_planting_refuses_in_one_line(one_frozen: FrozenModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="prompt-tokens is 0; give 1"):
        Planting(0)
    with pytest.raises(UsageError, match="candidates is 2; give as many as secrets"):
        Planting(1, secrets=3, candidates=2)
    with pytest.raises(UsageError, match="the model has 256 positions"):
        plant(one_frozen, Planting(1, target_tokens=300), tmp_path)


def test_a_file_that_holds_no_known_samples_is_named(one_frozen: FrozenModel, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="holds no known samples"):
        read_known_samples(path)
    samples = draw_samples(one_frozen, PLANTING, (5, 40), 0)
    write_known_samples(path, samples)
    opened = KnownSourceTask().open(DataRequest(str(path), None, 8, 4, 12), one_frozen.tokenizer)
    assert (exact := opened.exact_test_nats()) is not None
    assert exact.tolist() == samples.exact_nats[-12:].tolist()
    assert [list(one.input_ids) for one in opened.held_out("test")] == samples.input_ids[-12:].tolist()
    with pytest.raises(InputError, match="sample-tokens is 6; give 8"):
        KnownSourceTask().open(DataRequest(str(path), None, 6, 4, 12), one_frozen.tokenizer)
