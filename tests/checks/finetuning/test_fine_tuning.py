"""Does fine-tuning change what it should, and end the same however often it is stopped?"""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedModel

from soft_prompts.common.errors import InputError, OutOfRoom, UsageError
from soft_prompts.engine.batch import collate
from soft_prompts.finetuning import fine_tuning
from soft_prompts.finetuning.documents import document_batch, read_documents
from soft_prompts.finetuning.fine_tuning import fine_tune
from soft_prompts.finetuning.weights import alike, take_step, unfreeze
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.lesson import LearningRule
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training import checkpoint
from tests.checks.made.disturbances import no_room
from tests.checks.made.fine_tunings import FAST, LINES, Plan, loss_of, weights


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama", "gpt2"])
@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_model_learns_its_documents(plan: Plan, architecture: str, optimiser: str) -> None:
    rule = LearningRule(optimiser=optimiser, learning_rate=1e-2, warmup_steps=2)  # pyright: ignore
    before = load_frozen_model(plan(architecture).model)
    after = load_frozen_model(str(fine_tune(plan(architecture, rule=rule, epochs=8))))
    assert loss_of(after.model, after) < loss_of(before.model, before) - 0.5
    assert after.fingerprint != before.fingerprint
    assert after.tokenizer.get_vocab() == before.tokenizer.get_vocab()


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama", "gpt2"])
def test_documents_of_like_length_teach_what_the_whole_batch_does(plan: Plan, architecture: str) -> None:
    """A short and a long document apart: loss and gradient are those of one padded batch."""
    taught = load_frozen_model(plan(architecture).model)
    ids = [list(range(5, 9)), list(range(4, 124)), [7, 8, 9]]
    batch = collate([Example(row, row) for row in ids], taught.pad_id)
    assert len(alike([4, 120, 3], 128)) == 2
    learner = unfreeze(taught.model, LearningRule(optimiser="adamw", learning_rate=1e-30, clip=1e9))
    logits = taught.model(input_ids=batch.input_ids).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch.labels[:, 1:], ignore_index=UNSCORED)
    gradients = torch.autograd.grad(loss, list(learner.weights.values()))
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
    curves = take_step(learner, batch, (0, 10), False)
    moments = [learner.optimisers[0].state[weight]["exp_avg"] for weight in learner.weights.values()]
    for moment, gradient in zip(moments, gradients, strict=True):
        torch.testing.assert_close(moment, 0.1 * gradient, rtol=1e-4, atol=1e-7)
    assert curves["train/loss"] == pytest.approx(float(loss), rel=1e-5)
    assert curves["train/gradient_norm"] == pytest.approx(float(norm), rel=1e-4)
    assert curves["train/target_tokens"] == 3 + 119 + 2


@pytest.mark.parametrize("price", [0, 3, 10, 1000])
def test_groups_of_like_length_are_the_cheapest_of_all(price: int) -> None:
    lengths = [7, 30, 8, 31, 7, 12]

    def cost(groups: list[list[int]]) -> int:
        return sum(max(lengths[place] for place in group) * len(group) + price for group in groups)

    groups = alike(lengths, price)
    assert sorted(place for group in groups for place in group) == list(range(6))
    numbered = itertools.product(range(6), repeat=6)
    every = ([[place for place in range(6) if of[place] == group] for group in set(of)] for of in numbered)
    assert cost(groups) == min(map(cost, every))


@pytest.mark.parametrize(
    ("architecture", "last"), [("gpt_neox", "layers.1."), ("llama", "layers.1."), ("gpt2", "h.1.")]
)
def test_only_the_last_layers_move(plan: Plan, architecture: str, last: str) -> None:
    rule = replace(FAST, layers="last:1")
    before = weights(Path(plan(architecture).model))
    after = weights(fine_tune(plan(architecture, rule=rule)))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(last in name for name in moved)


def test_more_layers_than_there_are(plan: Plan) -> None:
    with pytest.raises(UsageError, match=r"layers is last:3; the model has 2"):
        fine_tune(plan(rule=replace(FAST, layers="last:3")))


@pytest.mark.parametrize("layers", ["last", "last:", "last:0", "last:-1", "first:1", ""])
def test_layers_that_are_none(layers: str) -> None:
    with pytest.raises(UsageError, match=r"give all, or last:N"):
        LearningRule(layers=layers)


@pytest.mark.parametrize(
    "settings", [{"epochs": 0}, {"batch_size": 0}, {"sample_tokens": 1}, {"leading_tokens": -1}, {"seed": -1}]
)
def test_settings_out_of_range(plan: Plan, settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings)).replace("_", "-")):
        plan(**settings)


def test_every_matrix_is_muons_but_the_ends(frozen: FrozenModel) -> None:
    learner = unfreeze(load_frozen_model(frozen.name).model, LearningRule(optimiser="muon"))
    names = {id(weight): name for name, weight in learner.weights.items()}
    muons, others = ([names[id(p)] for g in o.param_groups for p in g["params"]] for o in learner.optimisers)
    assert len(muons) + len(others) == len(learner.weights)
    assert not [name for name in muons if "embed" in name or "wte" in name or "wpe" in name or "lm_head" in name]
    assert not [name for name in others if learner.weights[name].ndim == 2 and ("layers." in name or ".h." in name)]


def test_labels_of_a_completion(plan: Plan, frozen: FrozenModel) -> None:
    """The completion and the end token; of whole documents every token."""
    path, tokenizer = plan().lesson.documents, frozen.tokenizer
    part, whole = read_documents(path, tokenizer, True, 100)[3], read_documents(path, tokenizer, False, 100)[3]
    assert part.input_ids == whole.input_ids == whole.labels
    assert part.input_ids[-1] == tokenizer.eos_token_id
    scored = [token for token in part.labels[:-1] if token != UNSCORED]
    assert tokenizer.decode(scored) == LINES[3]["completion"]
    assert part.labels[: len(part.labels) - len(scored) - 1] == [UNSCORED] * (len(part.labels) - len(scored) - 1)


def test_leading_tokens_are_never_scored(plan: Plan, one_frozen: FrozenModel) -> None:
    lesson = replace(plan().lesson, leading_tokens=5)
    documents = read_documents(lesson.documents, one_frozen.tokenizer, False, 100)
    batches = [document_batch(lesson, documents, step, one_frozen) for step in range(40)]
    plain = {tuple(document.labels[1:]) for document in documents}
    leads = set()
    for batch in batches:
        for ids, labels in zip(batch.input_ids.tolist(), batch.labels.tolist(), strict=True):
            first = next(place for place, label in enumerate(labels) if label != UNSCORED)
            text = tuple(label for label in labels if label != UNSCORED)
            leads.add(first)
            assert text in plain or text[1:] in plain
            assert [token for token, label in zip(ids, labels, strict=True) if label != UNSCORED] == list(text)
    assert leads == {1, 2, 3, 4, 5}  # without any, the document's first token has nothing before it


def test_leading_tokens_stand_behind_a_bos_and_fit_the_model(plan: Plan, one_frozen: FrozenModel) -> None:
    tokenizer = AutoTokenizer.from_pretrained(one_frozen.name)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|end|> $A", special_tokens=[("<|end|>", 0)]
    )
    lesson = replace(plan().lesson, leading_tokens=5)
    documents = read_documents(lesson.documents, tokenizer, False, 100)
    batches = [document_batch(lesson, documents, step, replace(one_frozen, tokenizer=tokenizer)) for step in (0, 1)]
    batches += [document_batch(lesson, documents, step, replace(one_frozen, tokenizer=tokenizer)) for step in (2, 3)]
    assert len({batch.input_ids.shape for batch in batches}) > 1
    for batch in batches:
        assert set(batch.input_ids[:, 0].tolist()) == {0}
        assert (batch.labels[:, 0] == UNSCORED).all()
    with pytest.raises(UsageError, match=r"leading-tokens is 255, but .* has 256 positions"):
        fine_tune(plan(leading_tokens=255))
    assert fine_tune(plan("gpt2", leading_tokens=250, epochs=1)).is_dir()  # a longer text would leave its positions


def test_no_room_for_the_model_is_one_line_and_leaves_nothing(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, again = fine_tune(plan()), plan(output="again")
    for owner, name in ((checkpoint, "save_file"), (fine_tuning, "sync"), (PreTrainedModel, "save_pretrained")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, lambda *_, **__: no_room())
            with pytest.raises(OutOfRoom, match="is full; make room"):
                fine_tune(again)
            assert not list((again.output_dir / "snapshots").rglob(".tmp-*"))
    assert (fine_tune(again) / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_the_order_of_the_file(plan: Plan, one_frozen: FrozenModel) -> None:
    lesson = replace(plan().lesson, shuffled=False)
    documents = read_documents(lesson.documents, one_frozen.tokenizer, False, 100)
    for epoch in range(2):
        rows = [row for step in range(3) for row in document_batch(lesson, documents, 3 * epoch + step, one_frozen)
                .labels.tolist()]  # fmt: skip
        read = [[label for label in row if label != UNSCORED] for row in rows]
        assert read == [document.labels[1:] for document in documents]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "a"}', "'completion' is missing"),
        ('{"prompt": "a", "completion": 3}', "'completion' is 3"),
        ('{"prompt": "a", "compl', "no whole JSON object"),
        ('{"prompt": "", "completion": ""}', "no token to learn"),
        ("[1]", "give an object"),
    ],
)
def test_a_bad_line_is_named(plan: Plan, line: str, message: str) -> None:
    asked = plan()
    asked.lesson.documents.write_text(json.dumps(LINES[0]) + "\n" + line + "\n")
    with pytest.raises(InputError, match=rf"documents\.jsonl, line 2.*{message}"):
        fine_tune(asked)


def test_no_documents(plan: Plan) -> None:
    asked = plan()
    asked.lesson.documents.write_text("")
    with pytest.raises(InputError, match="is empty"):
        fine_tune(asked)
    asked.lesson.documents.unlink()
    with pytest.raises(InputError, match="is no file"):
        fine_tune(asked)


def test_a_rate_without_a_number_ends_in_one_line(plan: Plan) -> None:
    with pytest.raises(RuntimeError, match="not finite"):
        fine_tune(plan(rule=LearningRule(learning_rate=1e30, warmup_steps=0, clip=1e30)))
