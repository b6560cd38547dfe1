"""How many soft-prompt tokens does it take to bring a behaviour out of a frozen language model?

The public names, for a notebook: `import soft_prompts as sp`. Each is loaded when it is first used, so that reading
results never waits for torch.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soft_prompts.commands.sweep import sweep
    from soft_prompts.config import RunConfig
    from soft_prompts.engine.evaluation import evaluate
    from soft_prompts.engine.generation import generate
    from soft_prompts.engine.insertion import insert_prompt
    from soft_prompts.exchange.export import export_prompt
    from soft_prompts.exchange.imports import import_prompt
    from soft_prompts.experiments.experiment import Experiment
    from soft_prompts.experiments.grid import Grid
    from soft_prompts.experiments.notebook import run
    from soft_prompts.models.frozen import load_frozen_model
    from soft_prompts.prompts.build import build_prompt
    from soft_prompts.prompts.kinds import PROMPTS
    from soft_prompts.prompts.snapshot import load_snapshot
    from soft_prompts.report.notebook import compare, plot, to_frame, verdicts
    from soft_prompts.results.files import read_result, read_results
    from soft_prompts.tasks.listed import ListedData
    from soft_prompts.tasks.registry import TASKS
    from soft_prompts.tasks.task import Example, Query, Task, TaskData
    from soft_prompts.training.gradients import batch_loss
    from soft_prompts.training.loop import train

    __version__: str

if sys.version_info < (3, 11):  # noqa: UP036 - before anything that an older one cannot read
    raise SystemExit("error: soft_prompts needs Python 3.11 or later, and this is " + sys.version.split()[0])

_HOME = {
    "Example": "tasks.task",
    "Experiment": "experiments.experiment",
    "Grid": "experiments.grid",
    "ListedData": "tasks.listed",
    "PROMPTS": "prompts.kinds",
    "Query": "tasks.task",
    "RunConfig": "config",
    "TASKS": "tasks.registry",
    "Task": "tasks.task",
    "TaskData": "tasks.task",
    "batch_loss": "training.gradients",
    "build_prompt": "prompts.build",
    "compare": "report.notebook",
    "evaluate": "engine.evaluation",
    "export_prompt": "exchange.export",
    "generate": "engine.generation",
    "import_prompt": "exchange.imports",
    "insert_prompt": "engine.insertion",
    "load_frozen_model": "models.frozen",
    "load_snapshot": "prompts.snapshot",
    "plot": "report.notebook",
    "read_result": "results.files",
    "read_results": "results.files",
    "run": "experiments.notebook",
    "sweep": "commands.sweep",
    "to_frame": "report.notebook",
    "train": "training.loop",
    "verdicts": "report.notebook",
}

__all__ = [
    "PROMPTS",
    "TASKS",
    "Example",
    "Experiment",
    "Grid",
    "ListedData",
    "Query",
    "RunConfig",
    "Task",
    "TaskData",
    "__version__",
    "batch_loss",
    "build_prompt",
    "compare",
    "evaluate",
    "export_prompt",
    "generate",
    "import_prompt",
    "insert_prompt",
    "load_frozen_model",
    "load_snapshot",
    "plot",
    "read_result",
    "read_results",
    "run",
    "sweep",
    "to_frame",
    "train",
    "verdicts",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # a tenth of a second

        return version("soft_prompts")
    if name not in _HOME:
        raise AttributeError(f"soft_prompts has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"soft_prompts.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
