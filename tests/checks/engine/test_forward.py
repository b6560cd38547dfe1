"""Does the frozen model say about text with a prompt in it what it says about plain text?"""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, Gemma2Config, Gemma2ForCausalLM

from soft_prompts.engine import forward
from soft_prompts.engine.batch import collate
from soft_prompts.engine.forward import token_losses
from soft_prompts.engine.loss import Scores, head_loss
from soft_prompts.models.batching import Batching
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.tasks.task import UNSCORED, Example

MakeExamples = Callable[..., list[Example]]
MakeDirect = Callable[..., DirectPrompt]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def losses_of(
    frozen: FrozenModel, prompt: torch.nn.Module, examples: list[Example], score_first: bool = False
) -> Tensor:
    with torch.no_grad():
        return token_losses(frozen, prompt, collate(examples, frozen.pad_id, score_first)).nats


def bare_losses(frozen: FrozenModel, example: Example) -> Tensor:
    """Nats of the scored tokens of one sample by the bare model's logits."""
    with torch.no_grad():
        logits = frozen.model(input_ids=torch.tensor([example.input_ids])).logits[0, :-1]
    labels = torch.tensor(list(example.labels))[1:]
    return cross_entropy(logits, labels, reduction="none")[labels != UNSCORED]


def concatenated_losses(frozen: FrozenModel, matrix: Tensor, example: Example) -> Tensor:
    """The same with `matrix` put before position `insert_at` by plain concatenation."""
    at, unscored = example.insert_at, [UNSCORED] * len(matrix)
    text = frozen.embed(torch.tensor([example.input_ids]))[0]
    with torch.no_grad():
        embeds = torch.cat([text[:at], matrix, text[at:]])[None]
        logits = frozen.model(inputs_embeds=embeds).logits[0, :-1]
    labels = torch.tensor([*example.labels[:at], *unscored, *example.labels[at:]])[1:]
    return cross_entropy(logits, labels, reduction="none")[labels != UNSCORED]


def test_without_prompt_tokens_it_is_the_bare_model(
    frozen: FrozenModel, make_examples: MakeExamples, make_direct: MakeDirect
) -> None:
    examples, empty = make_examples(6), make_direct(frozen, 0)
    expected = torch.cat([bare_losses(frozen, example) for example in examples])
    assert losses_of(frozen, empty, examples).allclose(expected, **CLOSE)
    for example in examples:  # and Hugging Face's own loss, a mean over the scored tokens
        arguments = {"input_ids": torch.tensor([example.input_ids]), "labels": torch.tensor([list(example.labels)])}
        own = frozen.model(**arguments).loss
        assert float(losses_of(frozen, empty, [example]).mean()) == pytest.approx(float(own), rel=1e-5)


def test_real_embeddings_as_a_prompt_are_the_real_tokens(
    frozen: FrozenModel, make_examples: MakeExamples, make_direct: MakeDirect
) -> None:
    for example in make_examples(5):
        words = torch.randint(1, 256, (4,), generator=torch.Generator().manual_seed(len(example.input_ids)))
        prompt = make_direct(frozen, 4, frozen.embed(words[None])[0])
        longer = Example([*words.tolist(), *example.input_ids], [*[UNSCORED] * 4, *example.labels])
        expected = bare_losses(frozen, longer)
        assert losses_of(frozen, prompt, [example], score_first=True).allclose(expected, **CLOSE)


def test_every_position_equals_plain_concatenation(
    frozen: FrozenModel, make_examples: MakeExamples, make_direct: MakeDirect
) -> None:
    [example] = make_examples(1, seed=3, shortest=9, longest=9)
    prompt = make_direct(frozen, 3)
    places = [example._replace(insert_at=at) for at in range(10)]
    apart = [concatenated_losses(frozen, prompt.matrix.detach(), place) for place in places]
    assert losses_of(frozen, prompt, places, score_first=True).allclose(torch.cat(apart), **CLOSE)


def test_a_batch_equals_its_samples_one_by_one(
    frozen: FrozenModel, make_examples: MakeExamples, make_direct: MakeDirect
) -> None:
    examples, prompt = make_examples(8, inserted=True), make_direct(frozen, 5)
    batch = token_losses(frozen, prompt, collate(examples, frozen.pad_id))
    alone = [losses_of(frozen, prompt, [example]) for example in examples]
    assert batch.nats.allclose(torch.cat(alone), **CLOSE)
    assert batch.row.tolist() == [row for row, nats in enumerate(alone) for _ in nats]


@pytest.mark.parametrize("pad_id", [0, 7, 255])
def test_padding_changes_nothing(
    frozen: FrozenModel, make_examples: MakeExamples, make_direct: MakeDirect, pad_id: int
) -> None:
    prompt = make_direct(frozen, 2)
    filler = Example([5] * 40, [UNSCORED] * 40)  # the rest of the batch decides how much padding there is
    for length in range(1, 40, 3):
        [example] = make_examples(1, seed=length, shortest=length, longest=length, inserted=True)
        padded = token_losses(
            frozen, prompt, collate([example, filler._replace(conditions=example.conditions)], pad_id, score_first=True)
        )
        alone = losses_of(frozen, prompt, [example], score_first=True)
        assert padded.nats.allclose(alone, **CLOSE)


def test_the_road_over_all_logits_gives_the_same(
    frozen: FrozenModel, make_examples: MakeExamples, make_direct: MakeDirect
) -> None:
    assert frozen.head is not None  # else this compares a road with itself
    results = []
    for model in (frozen, replace(frozen, head=None)):
        prompt = make_direct(frozen, 3)
        losses = token_losses(model, prompt, collate(make_examples(5, inserted=True), frozen.pad_id))
        losses.nats.sum().backward()
        results.append((losses.nats.detach(), prompt.matrix.grad))
    (nats, gradient), (all_nats, all_gradient) = results
    assert nats.allclose(all_nats, **CLOSE)
    assert gradient.allclose(all_gradient, rtol=1e-4, atol=1e-5)


def test_only_scored_positions_reach_the_vocabulary_matrix(
    monkeypatch: pytest.MonkeyPatch, one_frozen: FrozenModel, make_examples: MakeExamples, make_direct: MakeDirect
) -> None:
    rows: list[int] = []

    def counted(hidden: Tensor, head: torch.nn.Linear, targets: Tensor) -> Scores:
        rows.append(len(hidden))
        return head_loss(hidden, head, targets)

    monkeypatch.setattr(forward, "head_loss", counted)
    batch = collate(make_examples(5), one_frozen.pad_id)
    token_losses(one_frozen, make_direct(one_frozen, 4), batch)
    assert rows == [int((batch.labels != UNSCORED).sum())]


def test_a_head_that_is_more_than_a_matrix_is_noticed(
    tmp_path: Path, one_frozen: FrozenModel, make_examples: MakeExamples, make_direct: MakeDirect
) -> None:
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        initializer_range=1.0,
        final_logit_softcapping=5.0,
        max_position_embeddings=64,
    )
    Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(one_frozen.name).save_pretrained(tmp_path)
    capped = load_frozen_model(str(tmp_path))
    assert capped.head is None
    assert torch.equal(capped.vocabulary, capped.embed(torch.arange(len(capped.vocabulary))[None])[0])  # it scales them
    examples, prompt = make_examples(3, inserted=True), make_direct(capped, 2)
    with torch.no_grad():
        expected = [concatenated_losses(capped, prompt.matrix, example) for example in examples]
    assert losses_of(capped, prompt, examples, score_first=True).allclose(torch.cat(expected), **CLOSE)


def test_loss_and_gradient_equal_pefts_prompt_tuning(frozen: FrozenModel, make_examples: MakeExamples) -> None:
    tokens, examples = 4, make_examples(6, seed=5)
    shape = PromptShape(tokens, frozen.hidden_size, 0)
    prompt = build_prompt("direct", shape, frozen.vocabulary)
    batch = collate([example._replace(conditions=()) for example in examples], frozen.pad_id, score_first=True)
    ours = token_losses(frozen, prompt, batch).nats.mean()
    ours.backward()

    settings = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=tokens)
    theirs = peft.get_peft_model(copy.deepcopy(frozen.model), settings).eval()
    weight = theirs.prompt_encoder["default"].embedding.weight
    weight.data = prompt.matrix.detach().clone()
    their_loss = theirs(input_ids=batch.input_ids, attention_mask=batch.mask.long(), labels=batch.labels).loss
    their_loss.backward()

    assert not batch.mask.all()
    assert float(ours.detach()) == pytest.approx(float(their_loss.detach()), rel=1e-5)
    assert (prompt.matrix.grad - weight.grad).norm() / weight.grad.norm() < 1e-4


def test_gradient_reaches_the_prompt_and_no_weight(frozen: FrozenModel, make_examples: MakeExamples) -> None:
    prompt = build_prompt("mlp", PromptShape(2, frozen.hidden_size, 2), frozen.vocabulary)
    token_losses(frozen, prompt, collate(make_examples(4), frozen.pad_id)).nats.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in prompt.parameters())
    assert all(weight.grad is None and not weight.requires_grad for weight in frozen.model.parameters())


def test_nothing_scored_gives_no_loss(one_frozen: FrozenModel, make_direct: MakeDirect) -> None:
    batch = collate([Example([3], [3]), Example([4, 5], [UNSCORED, UNSCORED])], one_frozen.pad_id)
    losses = token_losses(one_frozen, make_direct(one_frozen, 2), batch)
    assert losses.nats.shape == losses.row.shape == (0,)


@pytest.mark.parametrize("tokens", [0, 3])
@pytest.mark.parametrize("score_first", [False, True])
def test_weights_go_with_their_tokens(
    one_frozen: FrozenModel, make_direct: MakeDirect, tokens: int, score_first: bool
) -> None:
    """A text's first token is scored, with its weight, only where a prompt token stands before it."""
    texts = [[5, 9, 7], [3, 8, 4, 6]]
    examples = [
        Example(ids, ids, (), at, weights=[1.0 * i for i in ids]) for ids, at in zip(texts, (0, 1), strict=True)
    ]
    losses = token_losses(one_frozen, make_direct(one_frozen, tokens), collate(examples, 0, score_first))
    first = [5.0] if score_first and tokens else []
    assert losses.weights is not None
    assert losses.weights.tolist() == [*first, 9.0, 7.0, 8.0, 4.0, 6.0]
    assert len(losses.nats) == len(losses.weights)


def test_parts_that_go_apart_come_back_in_order(
    one_frozen: FrozenModel, make_examples: MakeExamples, make_direct: MakeDirect
) -> None:
    examples, prompt = make_examples(7, inserted=True), make_direct(one_frozen, 3)
    weighted = [one._replace(weights=[float(i) for i in range(len(one.input_ids))]) for one in examples]
    batch = collate(weighted, one_frozen.pad_id)
    whole = token_losses(one_frozen, prompt, batch)
    whole.nats.sum().backward()
    gradient, prompt.matrix.grad = prompt.matrix.grad, None
    for batching in (Batching("equal"), Batching("alone"), Batching("sides", 15)):
        apart = token_losses(replace(one_frozen, batching=batching), prompt, batch)
        assert torch.equal(apart.row, whole.row)
        assert torch.equal(apart.weights, whole.weights)
        assert apart.nats.allclose(whole.nats, **CLOSE)
        apart.nats.sum().backward()
        assert prompt.matrix.grad.allclose(gradient, rtol=1e-4, atol=1e-5)
        prompt.matrix.grad = None
        with torch.no_grad():
            hits = [
                token_losses(model, prompt, batch).hits
                for model in (one_frozen, replace(one_frozen, batching=batching))
            ]
        assert torch.equal(*hits)


def test_what_is_said_in_float32_is_near_float64(
    frozen: FrozenModel, make_examples: MakeExamples, make_direct: MakeDirect
) -> None:
    exact = replace(frozen, model=copy.deepcopy(frozen.model).double(), head=None)
    prompt, batch = make_direct(frozen, 3), collate(make_examples(6, inserted=True), frozen.pad_id)
    with torch.no_grad():
        assert (
            token_losses(frozen, prompt, batch)
            .nats.double()
            .allclose(token_losses(exact, prompt, batch).nats.double(), rtol=1e-5, atol=1e-5)
        )
