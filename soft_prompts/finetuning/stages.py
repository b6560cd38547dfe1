"""What has a model to learn before a prompt is trained on it? Stage A trains weights, stage B is a run like any other.

A task that gives lessons gets its runs on the model that had the lesson: a cached folder, made where it is missing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.finetuning.fine_tuning import FineTuning, fine_tune_all, fine_tuned_folder
from soft_prompts.models.frozen import load_tokenizer
from soft_prompts.tasks.lesson import Lesson, LessonTask
from soft_prompts.training.apparatus import data_request


def wanted(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """The runs of a grid as their tasks want them; what the data cannot give is left out, and said. Raises
    InputError or UsageError where nothing is left."""
    runs: list[RunConfig] = []
    left_out: dict[str, dict[str | None, None]] = {}  # the variants that there is one reason for
    bare: dict[str | None, None] = {}  # the variants that are never asked with the grid's tokens
    lacking: dict[tuple[object, str], str | None] = {}
    for config in configs:
        task = config.task
        if not isinstance(task, LessonTask):
            runs.append(config)
            continue
        which = (task, config.data)
        lacking[which] = reason = lacking[which] if which in lacking else task.lacks(config.data)
        if reason is not None:
            left_out.setdefault(reason, {})[task.variant] = None
        elif (settings := task.wanted(config.tokens)) is not None:
            runs.append(replace(config, **settings))
        else:
            bare[task.variant] = None
    reasons = [f"{', '.join(map(str, variants))}: {reason}" for reason, variants in left_out.items()]
    if bare and not runs:
        what = ", ".join(map(str, bare))
        raise UsageError(f"no run can be made: {what} can only be asked without prompt tokens; add 0 to --tokens")
    if reasons and not runs:
        raise InputError(f"no run can be made. {'; '.join(reasons)}; give other data, or ask for something else")
    for reason in reasons:
        say(f"left out: {reason}")
    return runs


def after_lessons(configs: Sequence[RunConfig], jobs: int) -> list[RunConfig]:
    """The same runs on the models that had their lessons; every lesson is given once, `jobs` side by side.

    Raises InputError or UsageError for data that stage B could not use before stage A begins.
    """
    open_data([config for config in configs if isinstance(config.task, LessonTask)])
    fine_tune_all(list(dict.fromkeys(plan for plan in _plans(configs) if plan is not None)), jobs)
    return on_taught_models(configs)


def on_taught_models(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """The same runs on the models that their lessons make, which need not be there yet."""
    plans = _plans(configs)
    folders = {plan: str(fine_tuned_folder(plan)) for plan in dict.fromkeys(plans) if plan is not None}
    return [
        config if plan is None else replace(config, model=folders[plan], revision=None)
        for config, plan in zip(configs, plans, strict=True)
    ]


def open_data(configs: Sequence[RunConfig]) -> None:
    """Open whatever the runs will, each once; no model is needed for it. Raises InputError or UsageError for data that
    they could not use."""
    by_model = {(config.model, config.revision): config for config in configs}
    tokenizers = {
        which: load_tokenizer(config.model, config.revision, config.offline, config.trust_remote_code)
        for which, config in by_model.items()
    }
    opened = {(config.model, config.revision, config.task, data_request(config)): config for config in configs}
    for config in opened.values():
        config.task.open(data_request(config), tokenizers[config.model, config.revision])


def _plans(configs: Sequence[RunConfig]) -> list[FineTuning | None]:
    """Of each run its lesson, which is written once for all runs that have it."""
    lessons: dict[tuple[LessonTask, str, Path], Lesson | None] = {}
    plans: list[FineTuning | None] = []
    for config in configs:
        if not isinstance(config.task, LessonTask):
            plans.append(None)
            continue
        which = (config.task, config.data, config.folder / "snapshots" / "documents")
        if which not in lessons:
            lessons[which] = config.task.lesson(*which[1:])
        lesson = lessons[which]
        plans.append(None if lesson is None else _plan(config, lesson))
    return plans


def _plan(config: RunConfig, lesson: Lesson) -> FineTuning:
    return FineTuning(
        model=config.model,
        lesson=lesson,
        revision=config.revision,
        device=config.device,
        output_dir=config.folder,
        fresh=config.fresh,
        offline=config.offline,
        trust_remote_code=config.trust_remote_code,
    )
