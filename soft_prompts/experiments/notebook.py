"""How is a single run started from Python? From a task, by name or as an object, and the settings that differ.

A name stands for what its experiment runs with no flags: `run("chess", model="tiny-chess", tokens=4)` is one of the
runs of `soft-prompts run chess`, and finds its result.
"""

from dataclasses import MISSING, fields, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from soft_prompts.common.errors import UsageError, near_match
from soft_prompts.config import RunConfig
from soft_prompts.experiments import catalogue
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.run import run as run_config
from soft_prompts.finetuning.stages import after_lessons, wanted
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.kinds import UNCONDITIONAL
from soft_prompts.results.files import read_result
from soft_prompts.results.schema import Result
from soft_prompts.tasks.registry import TASKS
from soft_prompts.tasks.task import Task
from soft_prompts.training.apparatus import run_paths


def run(task: RunConfig | Task | str, frozen: FrozenModel | None = None, **settings: Any) -> Result:
    """Train and test one prompt, and read its result; a finished run is only read, an interrupted one goes on.

    `settings` are fields of RunConfig: `run("chess", model="tiny-chess", tokens=4)`. `frozen` saves loading the model
    again. Raises UsageError, InputError, Interrupted or OutOfRoom, each in one line.
    """
    [config] = after_lessons(wanted([as_config(task, settings)]), jobs=1)
    run_config(config, frozen)
    return read_result(run_paths(config).result)


def as_config(task: RunConfig | Task | str, settings: dict[str, Any]) -> RunConfig:
    """The settings of a run; raises UsageError for a name that is unknown or missing."""
    if isinstance(task, RunConfig):
        if settings:
            raise UsageError(f"{next(iter(settings))} is given beside a RunConfig; change it there")
        return task
    known = {field.name: field for field in fields(RunConfig) if field.name != "task"}
    if unknown := [name for name in settings if name not in known]:
        near = near_match(unknown[0], list(known))
        raise UsageError(f"{unknown[0]} is no setting; {near}give one of {', '.join(known)}")
    needed = [name for name, field in known.items() if field.default is MISSING]
    if missing := [name for name in needed if name not in settings]:
        raise UsageError(f"{missing[0]} is missing; give {' and '.join(needed)}")
    if isinstance(task, str) and task in {found.name for found in iter_modules(catalogue.__path__)}:
        return replace(_default(task), **settings)
    task = _named(task) if isinstance(task, str) else task
    plain: dict[str, Any] = {} if task.condition_names else {"prompt": UNCONDITIONAL}  # the default needs conditions
    return RunConfig(task, **(plain | settings))


def _default(name: str) -> RunConfig:
    """The settings that the experiment's runs share with no flags, of the first of its tasks and data."""
    grid: Grid = import_module(f"{catalogue.__name__}.{name}").EXPERIMENT.presets["default"]
    return replace(grid.settings, task=grid.task.each()[0], data=grid.data[0])


def _named(name: str) -> Task:
    if name not in TASKS:
        known = list(TASKS)
        raise UsageError(f"task is {name!r}; {near_match(name, known)}give one of {', '.join(known)}")
    return TASKS[name]()
