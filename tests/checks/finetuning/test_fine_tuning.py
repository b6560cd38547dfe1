"""Does fine-tuning change what it should, and end the same however often it is stopped?"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from soft_prompts.common.errors import InputError, Interrupted, OutOfRoom, UsageError
from soft_prompts.engine.batch import collate
from soft_prompts.finetuning import fine_tuning
from soft_prompts.finetuning.documents import document_batch, read_documents
from soft_prompts.finetuning.fine_tuning import FineTuning, fine_tune, fine_tune_all
from soft_prompts.finetuning.weights import alike, take_step, unfreeze
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.lesson import LearningRule, Lesson
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training import checkpoint
from soft_prompts.training.events import PATTERN
from tests.checks.made.disturbances import no_room

LINES = [{"prompt": f"Q: {number}?", "completion": f" answer {number}\n\n<END>"} for number in range(10)]
FAST = LearningRule(learning_rate=1e-2, warmup_steps=2)
Plan = Callable[..., FineTuning]


@pytest.fixture
def plan(tmp_path: Path, tiny_folders: dict[str, Path]) -> Plan:
    """A short fine-tuning in a folder of its own; settings of the lesson by name."""
    documents = tmp_path / "documents.jsonl"
    documents.write_text("".join(json.dumps(line) + "\n" for line in LINES))

    def make(architecture: str = "gpt_neox", output: str = "out", **lesson: Any) -> FineTuning:
        settings = {"rule": FAST, "epochs": 2, "batch_size": 4, "shuffled": True} | lesson
        return FineTuning(
            model=str(tiny_folders[architecture]),
            lesson=Lesson(documents, **settings),
            output_dir=tmp_path / output,
            checkpoint_every=2,
        )

    return make


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def loss_of(model: PreTrainedModel, frozen: FrozenModel) -> float:
    ids = frozen.tokenizer(LINES[0]["prompt"] + LINES[0]["completion"], return_tensors="pt").input_ids
    return float(model(input_ids=ids, labels=ids).loss)


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


def stop_after(step: int, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls `act` when so many steps are taken."""
    taken, real = [0], fine_tuning.take_step

    def take(*arguments: Any) -> dict[str, float]:
        curves = real(*arguments)
        taken[0] += 1
        if taken[0] == step:
            act()
        return curves

    monkeypatch.setattr(fine_tuning, "take_step", take)


class Killed(BaseException):
    """What no handler of ours catches."""


def kill() -> None:
    raise Killed


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_killed_training_ends_in_the_same_bits(
    plan: Plan, optimiser: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the first state, between two, and after the last step."""
    rule = LearningRule(optimiser=optimiser, learning_rate=1e-2, warmup_steps=2)  # pyright: ignore
    asked = plan(rule=rule, leading_tokens=4)
    whole = fine_tune(asked)
    again = plan(output="again", rule=rule, leading_tokens=4)
    with monkeypatch.context() as patch:
        stop_after(step, kill, patch)
        with pytest.raises(Killed):
            fine_tune(again)
    assert (fine_tune(again) / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("layers", ["all", "last:1"])
@pytest.mark.parametrize("architecture", ["gpt_neox", "llama", "gpt2"])
def test_a_killed_training_ends_in_the_same_bits_on_every_architecture(
    plan: Plan, tmp_path: Path, architecture: str, layers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With tied weights, dropout in the configuration, and weights that were stored in half precision."""
    half = tmp_path / "half"
    model = AutoModelForCausalLM.from_pretrained(plan(architecture).model, tie_word_embeddings=True)
    for name in ("attention_dropout", "attn_pdrop", "hidden_dropout", "resid_pdrop", "embd_pdrop"):
        if name in model.config.to_dict():
            setattr(model.config, name, 0.1)
    model.half().save_pretrained(half)
    AutoTokenizer.from_pretrained(plan(architecture).model).save_pretrained(half)
    assert json.loads((half / "config.json").read_text())["dtype"] == "float16"
    asked = [replace(plan(output=output, rule=replace(FAST, layers=layers)), model=str(half)) for output in ("a", "b")]
    whole = fine_tune(asked[0])
    with monkeypatch.context() as patch:
        stop_after(3, kill, patch)
        with pytest.raises(Killed):
            fine_tune(asked[1])
    assert (fine_tune(asked[1]) / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert {weight.dtype for weight in weights(whole).values()} == {torch.float32}
    assert json.loads((whole / "config.json").read_text())["dtype"] == "float32"
    before, after = load_frozen_model(str(half)), load_frozen_model(str(whole))
    assert loss_of(after.model, after) < loss_of(before.model, before)
    tied = after.model.get_output_embeddings().weight is after.model.get_input_embeddings().weight
    assert tied == (before.model.get_output_embeddings().weight is before.model.get_input_embeddings().weight)


def test_a_training_that_died_while_publishing_its_model_ends_the_same(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, again = fine_tune(plan()), plan(output="again")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: kill())
        with pytest.raises(Killed):
            fine_tune(replace(again, checkpoint_every=1000))
    assert weights(fine_tune(again)).keys() == weights(whole).keys()
    assert (fine_tune(again) / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_signal_publishes_the_last_whole_step(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, again = fine_tune(plan()), plan(output="again")
    with monkeypatch.context() as patch:
        stop_after(3, lambda: os.kill(os.getpid(), signal.SIGTERM), patch)
        with pytest.raises(Interrupted, match="after step 3"):
            fine_tune(again)
    assert list((again.output_dir / "snapshots").rglob("step-3"))
    assert (fine_tune(again) / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_finished_model_is_not_trained_again(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fine_tune(plan())
    monkeypatch.setattr(fine_tuning, "_train", lambda *_: pytest.fail("trained again"))
    assert fine_tune(plan()) == folder
    assert fine_tune_all([plan(), plan()], jobs=2) == [folder, folder]


def test_the_last_missing_of_several_has_a_process_too(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started again, a training has as many threads as before: with others its sums would differ."""
    plans, given = [plan(), plan(epochs=1)], []

    class Pool:
        def __init__(self, jobs: int, *_: Any, initargs: tuple[int], **__: Any) -> None:
            given.append((jobs, *initargs))

        def map(self, act: Callable[[FineTuning], Path], missing: list[FineTuning]) -> list[Path]:
            given.append(missing)
            return list(map(act, missing))

        def shutdown(self, **_: Any) -> None: ...

    folder = fine_tune(plans[0])
    monkeypatch.setattr(fine_tuning, "ProcessPoolExecutor", Pool)
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.setattr("soft_prompts.common.machine.cores", lambda: 8)
    copied = plans[1].lesson.documents.parent / "elsewhere" / "documents.jsonl"
    copied.parent.mkdir()
    copied.write_bytes(plans[1].lesson.documents.read_bytes())
    copy = replace(plans[1], lesson=replace(plans[1].lesson, documents=copied))
    assert fine_tune_all([*plans, copy], jobs=2)[0] == folder
    assert given == [(2, 4), [copy]]  # once: two processes at one model would refuse each other
    assert fine_tune_all(plans, jobs=2) == fine_tune_all(plans[:1], jobs=2) + fine_tune_all(plans[1:], jobs=2)
    assert len(given) == 2  # nothing was missing

    assert fine_tune_all(
        [replace(plan(seed=3), fresh=True), replace(copy, fresh=True), replace(plans[1], fresh=True)], 2
    )
    assert [len(part) for part in given[2:]] == [2, 2]
    assert fine_tune_all([plan(seed=2)], jobs=2)[0].is_dir()
    assert given[4:] == [(2, 4), [plan(seed=2)]]  # a single one too


def test_equal_documents_are_learnt_afresh_once(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    one, trained = replace(plan(), fresh=True), []
    copied = one.lesson.documents.with_name("copy.jsonl")
    copied.write_bytes(one.lesson.documents.read_bytes())
    other = replace(one, lesson=replace(one.lesson, documents=copied, label="documents"))
    monkeypatch.setattr(fine_tuning, "_train", lambda plan, *_: trained.append(plan))
    folders = fine_tune_all([one, other], jobs=1)
    assert folders[0] == folders[1]
    assert len(trained) == 1


ORPHAN = """
import multiprocessing, os, signal, time
from soft_prompts.engine.batch import collate
from soft_prompts.finetuning import fine_tuning
from soft_prompts.common.signals import stop_signals
from soft_prompts.common.errors import Interrupted

def work(plans):
    fine_tuning._begin_worker(1)
    for _ in range(plans):  # each has a long step, and then stops
        try:
            with stop_signals() as stop, stop.after_whole_steps():
                print("begun", flush=True)
                while not stop.asked():
                    time.sleep(.05)
                time.sleep(1.5)
        except Interrupted:
            print("whole", flush=True)
    print("idle", os.getpid(), flush=True)
    time.sleep(600)

multiprocessing.get_context("fork").Process(target=work, args=({plans},)).start()
time.sleep(600)
"""


@pytest.mark.parametrize("plans", [0, 2])
def test_a_worker_whose_parent_was_killed_ends(plans: int) -> None:
    """After the whole step of whatever it is at; and where it idles."""
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN.replace("{plans}", str(plans))], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    said = [parent.stdout.readline()]
    parent.kill()
    began = time.monotonic()
    said += parent.stdout.read().splitlines(keepends=True)  # to the end of the worker
    assert time.monotonic() - began < 60
    assert [line.split()[0] for line in said if not line.startswith("idle")] == ["begun", "whole"] * plans
    parent.wait()


def test_a_damaged_model_is_made_again(plan: Plan) -> None:
    folder = fine_tune(plan())
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert (fine_tune(plan()) / "model.safetensors").read_bytes() == whole


def test_other_settings_or_documents_are_another_model(plan: Plan) -> None:
    asked = plan()
    others = [plan(epochs=1), plan(shuffled=False), plan(completion_only=True), plan(leading_tokens=3), plan(seed=1)]
    folders = {fine_tuning._place(one).model for one in [asked, *others]}
    asked.lesson.documents.write_text(json.dumps(LINES[0]) + "\n")
    assert len(folders | {fine_tuning._place(asked).model}) == 7


@pytest.mark.slow
def test_side_by_side_is_one_after_another(plan: Plan) -> None:
    alone = [fine_tune(plan(epochs=epochs)) for epochs in (1, 2)]
    beside = fine_tune_all([plan(output="beside", epochs=epochs) for epochs in (1, 2)], jobs=2)
    for one, other in zip(alone, beside, strict=True):
        assert one.name == other.name
        assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


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


def test_a_fresh_training_keeps_its_lock(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that holds the lock of this very training stays."""
    asked = replace(plan(), fresh=True)
    fine_tune(asked)
    states = fine_tuning._place(asked).states
    stop_after(1, lambda: (states / "lock").stat(), monkeypatch)
    fine_tune(asked)


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


def test_curves_of_a_resumed_training_have_no_gap(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = plan()
    with monkeypatch.context() as patch:
        stop_after(3, kill, patch)
        with pytest.raises(Killed):
            fine_tune(asked)
    fine_tune(asked)
    [file] = (asked.output_dir / "runs").rglob(PATTERN)
    events = [Event.FromString(record) for record in RawEventFileLoader(str(file)).Load()]
    steps = [event.step for event in events for value in event.summary.value if value.tag == "train/loss"]
    assert steps == [1, 2, 3, 4, 5, 6]
