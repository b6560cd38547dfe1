"""How are a changed model and its controls made, all by one recipe? `soft-prompts intervene`.

The target learns the documents of the change. A control learns documents without it, of the same kind and as many, with
a seed of its own: what the recipe alone does. Recipes:

whole, last-layers, lora   documents are learnt: all weights, the last two blocks, adapters of rank 8
edit                       one fact: its statements are learnt in the last two blocks; anchor documents hold the rest
unlearn                    gradient ascent on the documents; anchor documents hold the rest
distil                     the model comes to say of the documents what the teacher says; a control's teacher is another
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.common.files import write_atomically
from soft_prompts.data.jsonl import read_jsonl
from soft_prompts.finetuning.fine_tuning import FineTuning, fine_tune_all
from soft_prompts.finetuning.intervention import Intervention
from soft_prompts.models.fingerprint import find_fingerprint
from soft_prompts.tasks.lesson import Aim, LearningRule, Lesson

RATES: Mapping[str, float] = {
    "whole": 5e-4,
    "last-layers": 1e-3,
    "lora": 2e-3,
    "edit": 1e-3,
    "unlearn": 1e-4,
    "distil": 5e-4,
}
LAYERS: Mapping[str, str] = {"last-layers": "last:2", "lora": "lora:8", "edit": "last:2"}


class Made(NamedTuple):
    """Folders of models."""

    target: Path
    controls: tuple[Path, ...]


def intervene(plan: Intervention, jobs: int = 1) -> Made:
    """Target and controls, each trained unless it is there already; the recipe is kept in intervention.json beside
    them. Raises InputError, UsageError or Interrupted in one line."""
    for path in (plan.data, plan.control_data, plan.anchor):
        if path is not None and not path.is_file():
            raise InputError(f"{path} is no file; give a JSONL file of prompt and completion")
    _refuse_unlike(plan)
    plans = [_training(plan, "target", plan.data, plan.teacher, plan.seed)]
    for number in range(plan.controls):
        teacher = None if plan.recipe != "distil" else plan.control_teacher or plan.model
        plans.append(_training(plan, "control", plan.control_data, teacher, plan.seed + 1 + number))
    target, *controls = fine_tune_all(plans, jobs)
    made = Made(target, tuple(controls))
    write_atomically(plan.output_dir / "intervention.json", (json.dumps(_card(plan, made), indent=1) + "\n").encode())
    return made


def _refuse_unlike(plan: Intervention) -> None:
    """Controls that learn more, less or the change itself are none; raises UsageError. Pupils may read the same
    documents where their teachers differ, by content and not by name."""
    own, others = (sorted(_documents(path)) for path in (plan.data, plan.control_data))
    if len(own) != len(others):
        raise UsageError(
            f"{plan.data} has {len(own)} documents and {plan.control_data} {len(others)}: with other steps controls "
            "differ from the target by these alone; give as many of both"
        )
    if own == others and (plan.teacher is None or _is_one_teacher(plan, plan.teacher)):
        other = "" if plan.teacher is None else ", or another control-teacher"
        raise UsageError(
            f"{plan.control_data} says what {plan.data} says; give controls documents without the change{other}"
        )
    held = set() if plan.anchor is None else set(_documents(plan.anchor))
    for path, some in ((plan.data, own), (plan.control_data, others)):
        if both := len(held & set(some)):
            raise UsageError(
                f"{both} of the documents of {path} stand{'s' if both == 1 else ''} in {plan.anchor} too: what changes "
                "cannot be what is held; leave it out of one"
            )


def _documents(path: Path) -> list[tuple[str, ...]]:
    fields = {"prompt": str, "completion": str}
    return [tuple(line.fields[name] for name in fields) for line in read_jsonl(path, fields)]


def _is_one_teacher(plan: Intervention, teacher: str) -> bool:
    """Do target and controls learn from the same model? The controls' is the base where none is named."""
    other = plan.control_teacher or plan.model
    return len({find_fingerprint(name, offline=plan.offline) for name in (teacher, other)}) == 1


def _training(plan: Intervention, who: str, data: Path, teacher: str | None, seed: int) -> FineTuning:
    kind = {"unlearn": "unlearn", "distil": "distil"}.get(plan.recipe, "learn")
    settings: dict[str, Any] = {"kind": kind, "teacher": teacher, "anchor": plan.anchor}
    rate = RATES[plan.recipe] if plan.learning_rate is None else plan.learning_rate
    rule = LearningRule(layers=LAYERS.get(plan.recipe, "all"), learning_rate=rate)
    lesson = Lesson(
        data,
        label=f"{plan.recipe}-{who}-{seed}",
        rule=rule,
        completion_only=plan.completion_only,
        shuffled=True,
        epochs=plan.epochs,
        batch_size=min(plan.batch_size, max(1, len(read_jsonl(data, {})) // 2)),  # in one batch order is nothing
        sample_tokens=plan.sample_tokens,
        seed=seed,
        aim=Aim(**settings),
    )
    return FineTuning(plan.model, lesson, device=plan.device, output_dir=plan.output_dir, offline=plan.offline)


def _card(plan: Intervention, made: Made) -> dict[str, Any]:
    values = {field.name: getattr(plan, field.name) for field in fields(Intervention)}
    told = {name: value if isinstance(value, int | float | None) else str(value) for name, value in values.items()}
    return told | {"target": str(made.target), "made_controls": list(map(str, made.controls))}
