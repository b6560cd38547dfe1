"""Do samples that begin alike cost, behind one beginning, what they cost one by one?"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from soft_prompts.behaviour.likelihood import no_prompt
from soft_prompts.engine import beginnings
from soft_prompts.engine.beginnings import LEAST, nats_of
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import LinearPrompt, PromptShape
from soft_prompts.tasks.task import UNSCORED, Example


def drawn_prompt(frozen: FrozenModel, tokens: int) -> nn.Module:
    """A prompt whose vectors depend on two conditions."""
    torch.manual_seed(1)
    if tokens == 0:
        return no_prompt(frozen)
    prompt = LinearPrompt(PromptShape(tokens, frozen.hidden_size, 2))
    for parameter in prompt.parameters():
        nn.init.normal_(parameter, std=0.5)
    return prompt.to(frozen.device)


def answers(rng: np.random.Generator, count: int, length: int, **fields: object) -> list[Example]:
    """Samples of one beginning and different endings, of which one token in the middle is not asked."""
    start = rng.integers(1, 250, length).tolist()
    samples = []
    for _ in range(count):
        ending = rng.integers(1, 250, rng.integers(1, 7)).tolist()
        labels = [UNSCORED] * length + ending
        if len(ending) > 3:
            labels[length + 1] = UNSCORED
        samples.append(Example(start + ending, labels, units=1, **{"conditions": (1.0, 0.0)} | fields))
    return samples


def many(length: int = 9) -> list[Example]:
    """Groups that differ in text, conditions and the prompt's place, with others in between, in any order."""
    rng = np.random.default_rng(0)
    groups = [
        answers(rng, 6, length),
        answers(rng, LEAST, length + 4, conditions=(0.0, 1.0)),
        answers(rng, LEAST, 7, insert_at=3),
        answers(rng, LEAST, 7, insert_at=7),  # the prompt stands right before the answers
        answers(rng, LEAST - 1, 5),
        [one._replace(conditions=(0.0, 1.0)) for one in answers(np.random.default_rng(0), 5, length)],
    ]
    whole = [Example(ids := rng.integers(1, 250, 11).tolist(), ids, (0.0, 0.0)) for _ in range(LEAST)]
    samples = [sample for group in [*groups, whole, groups[0][:3], groups[4][:1]] for sample in group]  # some twice
    return [samples[place] for place in rng.permutation(len(samples))]


@pytest.mark.parametrize("score_first", [False, True])
@pytest.mark.parametrize("tokens", [0, 1, 3])
def test_the_same_as_one_by_one(frozen: FrozenModel, tokens: int, score_first: bool) -> None:
    prompt, samples = drawn_prompt(frozen, tokens), many()
    expected = np.concatenate([item_losses(frozen, prompt, [one], 1, score_first).nats for one in samples])
    assert frozen.caches
    assert nats_of(frozen, prompt, samples, 3, score_first) == pytest.approx(expected, rel=1e-5)
    assert nats_of(replace(frozen, caches=False), prompt, samples, 64, score_first) == pytest.approx(expected, rel=1e-5)


def test_one_token_before_the_answers_and_no_prompt(frozen: FrozenModel) -> None:
    """There is nothing whose keys and values could be kept."""
    prompt, samples = drawn_prompt(frozen, 0), answers(np.random.default_rng(3), 5, 1)
    expected = item_losses(frozen, prompt, samples, 5).nats
    assert nats_of(frozen, prompt, samples, 5) == pytest.approx(expected, rel=1e-5)


def test_a_beginning_goes_through_the_model_once(one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in positions: those of the beginning once, those of the answers for each; never more rows than asked.
    What is asked twice is computed once."""
    seen: list[tuple[int, int]] = []
    go_on = FrozenModel.go_on

    def counted(self: FrozenModel, embeds: torch.Tensor, *rest: object, **named: object) -> object:
        seen.append(embeds.shape[:2])
        return go_on(self, embeds, *rest, **named)

    monkeypatch.setattr(FrozenModel, "go_on", counted)
    monkeypatch.setattr(beginnings, "item_losses", None)  # the plain road is not taken
    samples = answers(np.random.default_rng(0), 7, 40)
    nats_of(one_frozen, drawn_prompt(one_frozen, 2), [*samples, *samples], 3)
    assert seen[0] == (1, 2 + 40 - 1)
    assert [rows for rows, _ in seen[1:]] == [3, 3, 1]
    assert max(length for _, length in seen[1:]) <= 7


def test_no_samples(one_frozen: FrozenModel) -> None:
    assert len(nats_of(one_frozen, drawn_prompt(one_frozen, 1), [], 8)) == 0
