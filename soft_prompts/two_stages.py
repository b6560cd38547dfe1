"""What has a model to learn before a prompt is trained on it? Stage A trains weights, stage B is a run like any other.

A task that gives lessons gets its runs on the model that had the lesson: a cached folder, made where it is missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from soft_prompts.config import RunConfig
from soft_prompts.fine_tuning import FineTuning, fine_tune_all
from soft_prompts.lesson import Lesson


@runtime_checkable
class GivesLessons(Protocol):
    """A task whose runs can ask for a fine-tuned model, and need not be all of a grid's."""

    def wanted(self, tokens: int) -> Mapping[str, Any] | None:
        """Settings that a run of so many prompt tokens has whatever the grid says; None: there is no such run."""
        ...

    def lesson(self, data: str, folder: Path) -> Lesson | None:
        """What the run's model learns first, its documents written below `folder`; None: it is asked as it is."""
        ...


def wanted(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """The runs of a grid as their tasks want them."""
    runs = []
    for config in configs:
        settings = config.task.wanted(config.tokens) if isinstance(config.task, GivesLessons) else {}
        if settings is not None:
            runs.append(replace(config, **settings))
    return runs


def after_lessons(configs: Sequence[RunConfig], jobs: int) -> list[RunConfig]:
    """The same runs on the models that had their lessons; every lesson is given once, `jobs` side by side."""
    plans = [_plan(config) for config in configs]
    different = list(dict.fromkeys(plan for plan in plans if plan is not None))
    folders = dict(zip(different, fine_tune_all(different, jobs), strict=True))
    return [
        config if plan is None else replace(config, model=str(folders[plan]), revision=None)
        for config, plan in zip(configs, plans, strict=True)
    ]


def _plan(config: RunConfig) -> FineTuning | None:
    if not isinstance(config.task, GivesLessons):
        return None
    lesson = config.task.lesson(config.data, config.output_dir / "snapshots" / "documents")
    if lesson is None:
        return None
    return FineTuning(
        model=config.model,
        lesson=lesson,
        revision=config.revision,
        device=config.device,
        output_dir=config.output_dir,
        fresh=config.fresh,
        offline=config.offline,
        trust_remote_code=config.trust_remote_code,
    )
