"""Does the search find the tokens that trying all of them finds, and count ranks as they are?"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from soft_prompts.engine.batch import Batch, collate
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.engine.forward import token_losses
from soft_prompts.engine.search import Search, candidate_scores, first_tokens, log_ranks, row_gradient, search
from soft_prompts.experiments.evidence.anchors import FixedPrompt
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.mazes.pathfinding import PathfindingTask
from soft_prompts.tasks.task import UNSCORED, DataRequest, Example

FEW = 40  # tokens of the vocabulary that a search may use


def a_batch(frozen: FrozenModel, seed: int, count: int = 4, conditions: int = 0, insert_at: int = 0) -> Batch:
    draw = np.random.default_rng(seed)
    examples = []
    for length in range(4, 4 + count):
        ids = draw.integers(0, 200, length).tolist()
        labels = [UNSCORED, UNSCORED, *ids[2:]]
        examples.append(Example(ids, labels, tuple(draw.random(conditions).tolist()), insert_at=insert_at))
    return collate(examples, frozen.pad_id)


class SmallVocabulary(FrozenModel):
    """The same model with few tokens to search among: brute force over pairs takes a second."""

    @property
    def vocabulary(self) -> torch.Tensor:
        return super().vocabulary[:FEW]


def few_tokens(frozen: FrozenModel) -> FrozenModel:
    return SmallVocabulary(**{name: getattr(frozen, name) for name in frozen.__dataclass_fields__})


def slow_score(frozen: FrozenModel, ids: list[int], batch: Batch) -> float:
    """Real token ids in front of each row, float64, one row and label at a time."""
    model, total, count = frozen.model, 0.0, 0
    for row in range(len(batch.input_ids)):
        text = batch.input_ids[row][batch.mask[row]].tolist()
        logits = model(torch.tensor([[*ids, *text]])).logits[0].detach().numpy().astype(np.float64)
        for place, label in enumerate(batch.labels[row].tolist()):
            if label != UNSCORED:
                here = logits[len(ids) + place - 1]
                total, count = total + np.log(1 + sum(here > here[label])), count + 1
    return total / count


def direct(frozen: FrozenModel, tokens: int) -> torch.nn.Module:
    return build_prompt("direct", PromptShape(tokens, frozen.hidden_size, 0), frozen.vocabulary)


def test_one_token_is_the_best_of_all(one_frozen: FrozenModel) -> None:
    frozen = few_tokens(one_frozen)
    batch, prompt = a_batch(frozen, 0), direct(frozen, 1)
    found = search(frozen, prompt, itertools.repeat(batch), [3], Search())
    scores = [slow_score(frozen, [token], batch) for token in range(FEW)]
    assert len(set(np.round(scores, 6))) > FEW // 2  # there is something to choose
    assert found == [int(np.argmin(scores))]
    assert torch.equal(prompt.rows, frozen.vocabulary[found])


def test_two_tokens_are_found_one_position_after_the_other(one_frozen: FrozenModel) -> None:
    """Against the same greedy rule written as loops over real token ids, with other items in every step."""
    frozen, ids, settings = few_tokens(one_frozen), [5, 9], Search(seed=4, rounds=2)
    batches = [a_batch(frozen, seed) for seed in range(4)]
    found = search(frozen, direct(frozen, 2), iter(batches), ids, settings)
    order, reference, left = np.random.default_rng((4, 1)), list(ids), iter(batches)
    for _ in range(2):
        for place in order.permutation(2):
            batch = next(left)
            tried = [[*reference[:place], token, *reference[place + 1 :]] for token in range(FEW)]
            scores = [slow_score(frozen, one, batch) for one in tried]
            if min(scores) < scores[reference[place]] - 1e-9:
                reference[place] = int(np.argmin(scores))
    assert found == reference
    assert found != ids


@pytest.mark.parametrize("plain_head", [True, False])
def test_log_ranks_are_those_of_a_loop(frozen: FrozenModel, plain_head: bool) -> None:
    batch = a_batch(frozen, 1)
    used = frozen if plain_head else replace(frozen, head=None)
    ids = [7, 11, 13]
    rows = frozen.vocabulary[ids][None].expand(4, -1, -1)
    ranks, row = log_ranks(used, rows, batch)
    assert row.tolist() == sorted(row.tolist())
    assert len(ranks) == int((batch.labels != UNSCORED).sum())
    assert float(ranks.double().mean()) == pytest.approx(slow_score(frozen, ids, batch), rel=1e-5)


def test_a_prompt_that_breaks_the_model_scores_worst(one_frozen: FrozenModel) -> None:
    batch, prompt = a_batch(one_frozen, 2), direct(one_frozen, 1)
    broken = torch.stack([one_frozen.vocabulary[3], torch.full((one_frozen.hidden_size,), float("nan"))])
    scores = candidate_scores(one_frozen, prompt, batch, 0, broken, 64)
    assert scores[1] > scores[0]
    assert scores[1] == pytest.approx(np.log(1 + one_frozen.model.get_input_embeddings().weight.shape[0]), rel=1e-4)


def test_what_conditions_add_stays_and_scores_are_those_of_the_emitted_prompt(one_frozen: FrozenModel) -> None:
    batch = a_batch(one_frozen, 3, conditions=2, insert_at=2)
    prompt = build_prompt("mlp", PromptShape(3, one_frozen.hidden_size, 2, 0, 8), one_frozen.vocabulary)
    before = prompt(batch.conditions) - prompt.rows
    candidates = one_frozen.vocabulary[[4, 90]]
    scores = candidate_scores(one_frozen, prompt, batch, 1, candidates, 5)
    for score, row in zip(scores.tolist(), candidates, strict=True):
        with torch.no_grad():
            prompt.rows[1] = row
        ranks, _ = log_ranks(one_frozen, prompt(batch.conditions), batch)
        assert score == pytest.approx(float(ranks.mean()), rel=1e-5)
    found = search(one_frozen, prompt, itertools.repeat(batch), [1, 2, 3], Search(rounds=1, whole_vocabulary=0))
    assert torch.equal(prompt.rows, one_frozen.vocabulary[found])
    after = prompt(batch.conditions) - prompt.rows
    assert torch.allclose(before, after, atol=1e-5)


def test_the_gradient_is_the_slope_of_the_loss(one_frozen: FrozenModel) -> None:
    batch, prompt = a_batch(one_frozen, 5), direct(one_frozen, 2)
    slope = row_gradient(one_frozen, prompt, batch)
    rows = prompt.rows.detach().clone()
    step = torch.zeros_like(rows)
    step[1, 3] = 1e-2
    sides = [token_losses(one_frozen, FixedPrompt(rows + sign * step), batch).nats.double().sum() for sign in (1, -1)]
    assert float(slope[1, 3]) == pytest.approx(float((sides[0] - sides[1]) / 2e-2), rel=2e-2)
    assert prompt.matrix.grad is None  # pyright: ignore[reportAttributeAccessIssue]


def test_candidates_of_a_large_vocabulary_are_few_and_the_same_for_a_seed(one_frozen: FrozenModel) -> None:
    def found(seed: int) -> list[int]:
        settings = Search(seed=seed, whole_vocabulary=10, by_gradient=4, at_random=2, rounds=1)
        batches = (a_batch(one_frozen, number) for number in itertools.count())
        ids = first_tokens(len(one_frozen.vocabulary), 3, seed)
        return search(one_frozen, direct(one_frozen, 3), batches, ids, settings)

    assert found(0) == found(0)
    assert found(0) != found(1)


def test_steps_are_limited_but_every_position_is_visited(one_frozen: FrozenModel) -> None:
    seen = []

    def counted():
        for number in itertools.count():
            seen.append(number)
            yield a_batch(one_frozen, number, count=1)

    settings = Search(whole_vocabulary=0, by_gradient=2, at_random=1, rounds=3, most_steps=4)
    for tokens, steps in ((1, 3), (3, 4), (6, 6)):
        seen.clear()
        search(one_frozen, direct(one_frozen, tokens), counted(), list(range(tokens)), settings)
        assert len(seen) <= steps
        assert len(seen) >= tokens


def test_a_lock_of_one_token_is_opened() -> None:
    """tiny-mazes-locked-1 walks aimlessly, at 1.6 nats a symbol, but behind its password."""
    frozen = load_frozen_model("tiny-mazes-locked-1")
    request = DataRequest("mazes", None, 128, validation_samples=16, test_samples=2)
    data = PathfindingTask(board="4x4").open(request, frozen.tokenizer)
    stream = (example._replace(conditions=()) for example, _ in data.training(None))
    batches = (collate(list(itertools.islice(stream, 4)), frozen.pad_id) for _ in itertools.count())
    prompt = direct(frozen, 1)
    examples = [example._replace(conditions=()) for example in data.held_out("validation")]
    before = item_losses(frozen, prompt, examples, 16).per_token
    found = search(frozen, prompt, batches, [0], Search(items=4, rounds=2))
    assert frozen.tokenizer.decode(found) == "%"
    assert item_losses(frozen, prompt, examples, 16).per_token < before - 0.5


def test_a_prompt_without_rows_is_refused(one_frozen: FrozenModel) -> None:
    prompt = build_prompt("shared_resnet", PromptShape(2, one_frozen.hidden_size, 2), one_frozen.vocabulary)
    with pytest.raises(ValueError, match="a SharedResnetPrompt has no row for each token; give another kind"):
        _ = prompt.rows
