"""How does a causal language model learn from documents? The only code that trains a model's own weights.

Any causal model, on a JSONL file of `prompt` and `completion`: a document is the two joined, with the tokenizer's end
token behind them. What comes out is a folder in Hugging Face form, one for each (model, data, settings) by their
fingerprints; asked for again it is there already, and a training that was stopped or killed goes on to the same bits.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from transformers import PreTrainedModel

from soft_prompts.common.console import StepProgress, say
from soft_prompts.common.errors import InputError, Interrupted, UsageError
from soft_prompts.common.files import fingerprint_files, sync, writing_to
from soft_prompts.common.signals import StopSignals, stop_signals
from soft_prompts.engine.processes import told_by_first
from soft_prompts.engine.workers import side_by_side
from soft_prompts.finetuning.aims import aim_identity, find_towards
from soft_prompts.finetuning.documents import document_batch, read_documents
from soft_prompts.finetuning.weights import Learner, put_back, state_tensors, take_step, unfreeze
from soft_prompts.models.fingerprint import FIRST, find_fingerprint
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.loading.quiet import quiet
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.paths import model_slug, settings_hash, slug
from soft_prompts.tasks.lesson import Lesson
from soft_prompts.training.apparatus import Paths, find_device
from soft_prompts.training.checkpoint import State, newest, publish
from soft_prompts.training.events import EventLog
from soft_prompts.training.loop import out_of_memory_is_out_of_room
from soft_prompts.training.resume import only_writer

CARD = "fine_tuning.json"


@dataclass(frozen=True)
class FineTuning:
    """One model and what it is taught."""

    model: str
    """Embedded name, local folder or hub id."""
    lesson: Lesson
    """Documents, and how they are read."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model trains."""
    output_dir: Path = Path(".")
    """Its snapshots/ gets the model, its runs/ the tensorboard events."""
    checkpoint_every: int = 100
    """Steps between two resumable states."""
    fresh: bool = False
    """Start over."""
    offline: bool = False
    """Never ask a model hub."""
    trust_remote_code: bool = False
    """Let a model run its own code."""

    def __post_init__(self) -> None:
        if self.checkpoint_every < 1:
            raise UsageError(f"checkpoint-every is {self.checkpoint_every}; give 1 or more")


class Place(NamedTuple):
    """Where a fine-tuning keeps its things."""

    model: Path
    states: Path
    paths: Paths
    identity: dict[str, Any]


def fine_tune(plan: FineTuning) -> Path:
    """The folder of the fine-tuned model, which `load_frozen_model` loads; trained unless it is there already.

    Raises InputError for data or a model that cannot be used, Interrupted after the last whole step is published.
    """
    device = find_device(plan.device)
    place = _place(plan)
    with only_writer(place.paths), stop_signals() as stop, out_of_memory_is_out_of_room():
        told_by_first(lambda: _learn(plan, place, device, stop))
    return place.model


def _learn(plan: FineTuning, place: Place, device: torch.device, stop: StopSignals) -> None:
    """The model, unless it is there already."""
    if not plan.fresh and _is_finished(place):
        return
    if plan.fresh:
        shutil.rmtree(place.states / "state", ignore_errors=True)  # the lock beside it is held
    with stop.after_whole_steps():
        _train(plan, place, device, stop.asked)


def fine_tuned_folder(plan: FineTuning) -> Path:
    """Where `fine_tune` puts the model, or has put it: known before anything is trained."""
    return _place(plan).model


def fine_tune_all(plans: Sequence[FineTuning], jobs: int = 1) -> list[Path]:
    """The folders of several models, in order; `jobs` trainings side by side, each in a process of its own.

    A single one has a process too: with more threads its sums would differ, whatever else is asked for beside it.
    """
    folders = [fine_tuned_folder(plan) for plan in plans]
    different = dict(zip(folders, plans, strict=True)).values()  # the same documents may lie in two places
    if jobs == 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        for plan in different:
            fine_tune(plan)
        return folders
    missing = [plan for plan in different if plan.fresh or not _is_finished(_place(plan))]
    if not missing:
        return folders
    side_by_side([partial(fine_tune, plan) for plan in missing], jobs)
    return folders


def _place(plan: FineTuning) -> Place:
    """Folders, and what they belong to: settings, and the contents of model and documents."""
    documents = plan.lesson.documents
    if not documents.is_file():
        raise InputError(f"{documents} is no file; give a JSONL file of prompt and completion")
    named_apart = ("documents", "label", "aim")
    settings = {name: value for name, value in asdict(plan.lesson).items() if name not in named_apart}
    settings |= aim_identity(plan.lesson.aim, plan.offline)
    identity = settings | {
        "precision": _precision(plan, find_device(plan.device)),
        "model_fingerprint": find_fingerprint(plan.model, revision=plan.revision, offline=plan.offline, like=FIRST),
        "data_fingerprint": fingerprint_files([documents]),
    }
    name = f"{model_slug(plan.model)}-{slug(plan.lesson.name)}-{settings_hash(identity)}"
    folder = plan.output_dir / "snapshots" / "fine_tuned"
    states = folder / f"{name}.training"
    return Place(
        model=folder / name,
        states=states,
        paths=Paths(plan.output_dir / "runs" / "fine_tuned" / name, states / CARD, states),
        identity=identity,
    )


def _precision(plan: FineTuning, device: torch.device) -> str:
    if plan.lesson.precision != "auto":
        return plan.lesson.precision
    return "bfloat16" if device.type == "cuda" else "float32"


def _is_finished(place: Place) -> bool:
    """Is the model there, whole and unchanged?"""
    try:
        card = json.loads((place.model / CARD).read_text())
        return card["fingerprint"] == find_fingerprint(str(place.model), like=card["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _train(plan: FineTuning, place: Place, device: torch.device, stop_asked: Callable[[], bool]) -> None:
    """Train to the last step and put the model in its place."""
    loaded = load_frozen_model(
        plan.model,
        revision=plan.revision,
        dtype="float32",
        device=device,
        offline=plan.offline,
        trust_remote_code=plan.trust_remote_code,
    )
    lesson = plan.lesson
    room = (loaded.context_length or math.inf) - lesson.leading_tokens
    if room < 2:
        raise UsageError(
            f"leading-tokens is {lesson.leading_tokens}, but {loaded.name} has {loaded.context_length} positions; give "
            "fewer"
        )
    most = int(min(lesson.sample_tokens, room))
    documents = read_documents(lesson.documents, loaded.tokenizer, lesson.completion_only, most)
    learner = unfreeze(loaded.model, lesson.rule, find_towards(lesson, loaded, most), lesson.seed)
    done = _resume(learner, place)
    steps = lesson.epochs * math.ceil(len(documents) / lesson.batch_size)
    events, title = EventLog(place.paths.events, done), f"fine-tuning {place.model.name}"
    began, first = time.perf_counter(), done
    with StepProgress(title, steps) as show:
        while done < steps:
            batch = document_batch(lesson, documents, done, loaded)
            curves = take_step(learner, batch, (done, steps), _precision(plan, device) == "bfloat16")
            done += 1
            events.scalars(curves, done)
            show(done, curves["train/loss"], (time.perf_counter() - began) / (done - first))
            stopped = stop_asked()
            if stopped or done % plan.checkpoint_every == 0 or done == steps:
                events.flush()
                publish(place.states / "state", State(done, state_tensors(learner), {"identity": place.identity}))
            if stopped:
                raise Interrupted(f"{title} stopped after step {done}; the same command goes on from there")
    events.close()
    _publish_model(loaded, learner.whole(), place, steps)


def _resume(learner: Learner, place: Place) -> int:
    """Put the newest whole state back; returns the steps that are done."""
    state, problems = newest(place.states / "state")
    for problem in problems:
        say(problem)
    if state is None:
        return 0
    put_back(learner, state.tensors)
    say(f"fine-tuning {place.model.name}: goes on after step {state.step}")
    return state.step


def _publish_model(frozen: FrozenModel, model: PreTrainedModel, place: Place, steps: int) -> None:
    """The whole folder at once, written beside its place; then the states go."""
    temporary = place.model.with_name(f".tmp-{place.model.name}")
    with writing_to(place.model), quiet():
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            model.save_pretrained(temporary)
            frozen.tokenizer.save_pretrained(temporary)
            card = place.identity | {"steps": steps, "fingerprint": find_fingerprint(str(temporary))}
            card |= {name: version(name) for name in ("torch", "transformers")}
            (temporary / CARD).write_text(json.dumps(card, indent=2) + "\n")
            for path in (*temporary.iterdir(), temporary):
                sync(path)
        except Exception:
            shutil.rmtree(temporary, ignore_errors=True)  # room for whatever made it run out
            raise
        shutil.rmtree(place.model, ignore_errors=True)  # damaged, or to be made afresh
        temporary.rename(place.model)
        sync(place.model.parent)
        shutil.rmtree(place.states / "state", ignore_errors=True)
