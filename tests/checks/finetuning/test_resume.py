"""Does a fine-tuning that is stopped, killed or started twice end in the same bits, made once?"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from transformers import AutoModelForCausalLM, AutoTokenizer

from soft_prompts.common.errors import Interrupted
from soft_prompts.engine import workers
from soft_prompts.finetuning import fine_tuning
from soft_prompts.finetuning.fine_tuning import fine_tune, fine_tune_all
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.tasks.lesson import LearningRule
from soft_prompts.training.events import PATTERN
from tests.checks.made.fine_tunings import FAST, LINES, Plan, loss_of, weights


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

    class Pool(Executor):
        def __init__(self, jobs: int, *_: Any, initargs: tuple[int], **__: Any) -> None:
            given.extend([(jobs, *initargs), []])

        def submit(self, work: Any, /, *_: Any, **__: Any) -> Future[Any]:
            done = Future[Path]()
            if isinstance(work, partial):
                given[-1].append(work.args[0])
                done.set_result(work())
            return done

        def shutdown(self, **_: Any) -> None: ...

    folder = fine_tune(plans[0])
    monkeypatch.setattr(workers, "ProcessPoolExecutor", Pool)
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.setattr("soft_prompts.common.machine.cores", lambda: 8)
    copied = plans[1].lesson.documents.parent / "elsewhere" / "documents.jsonl"
    copied.parent.mkdir()
    copied.write_bytes(plans[1].lesson.documents.read_bytes())
    copy = replace(plans[1], lesson=replace(plans[1].lesson, documents=copied))
    assert fine_tune_all([*plans, copy], jobs=2)[0] == folder
    assert given == [(1, 4), [copy]]  # once: two processes at one model would refuse each other
    assert fine_tune_all(plans, jobs=2) == fine_tune_all(plans[:1], jobs=2) + fine_tune_all(plans[1:], jobs=2)
    assert len(given) == 2  # nothing was missing

    assert fine_tune_all(
        [replace(plan(seed=3), fresh=True), replace(copy, fresh=True), replace(plans[1], fresh=True)], 2
    )
    assert [len(part) for part in given[2:]] == [2, 2]
    assert fine_tune_all([plan(seed=2)], jobs=2)[0].is_dir()
    assert given[4:] == [(1, 4), [plan(seed=2)]]  # a single one too


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
from soft_prompts.engine import workers
from soft_prompts.common.signals import stop_signals
from soft_prompts.common.errors import Interrupted

def work(plans):
    workers.begin_worker(1)
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


def test_a_fresh_training_keeps_its_lock(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that holds the lock of this very training stays."""
    asked = replace(plan(), fresh=True)
    fine_tune(asked)
    states = fine_tuning._place(asked).states
    stop_after(1, lambda: (states / "lock").stat(), monkeypatch)
    fine_tune(asked)


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
