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
    from soft_prompts.engine.activations.module_map import Inside
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
    from soft_prompts.steering.causes.comparison import compare_models, compare_prompts
    from soft_prompts.steering.causes.pairs import aligned, pairs_of_choices
    from soft_prompts.steering.concepts import concept_network
    from soft_prompts.steering.data.sources import find_choices
    from soft_prompts.steering.evaluation import evaluate_vectors
    from soft_prompts.steering.fitting import Wanted, fit_vectors
    from soft_prompts.steering.items import vector_on_items
    from soft_prompts.steering.tokens import worth_in_tokens
    from soft_prompts.steering.vectors.files import read_vector, write_vector
    from soft_prompts.steering.writing import write_steered
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
    "Inside": "engine.activations.module_map",
    "ListedData": "tasks.listed",
    "PROMPTS": "prompts.kinds",
    "Query": "tasks.task",
    "RunConfig": "config",
    "TASKS": "tasks.registry",
    "Task": "tasks.task",
    "TaskData": "tasks.task",
    "Wanted": "steering.fitting",
    "aligned": "steering.causes.pairs",
    "batch_loss": "training.gradients",
    "build_prompt": "prompts.build",
    "compare": "report.notebook",
    "compare_models": "steering.causes.comparison",
    "compare_prompts": "steering.causes.comparison",
    "concept_network": "steering.concepts",
    "evaluate": "engine.evaluation",
    "evaluate_vectors": "steering.evaluation",
    "export_prompt": "exchange.export",
    "find_choices": "steering.data.sources",
    "fit_vectors": "steering.fitting",
    "generate": "engine.generation",
    "import_prompt": "exchange.imports",
    "insert_prompt": "engine.insertion",
    "load_frozen_model": "models.frozen",
    "load_snapshot": "prompts.snapshot",
    "pairs_of_choices": "steering.causes.pairs",
    "plot": "report.notebook",
    "read_result": "results.files",
    "read_results": "results.files",
    "read_vector": "steering.vectors.files",
    "run": "experiments.notebook",
    "sweep": "commands.sweep",
    "to_frame": "report.notebook",
    "train": "training.loop",
    "vector_on_items": "steering.items",
    "verdicts": "report.notebook",
    "worth_in_tokens": "steering.tokens",
    "write_steered": "steering.writing",
    "write_vector": "steering.vectors.files",
}

__all__ = [
    "PROMPTS",
    "TASKS",
    "Example",
    "Experiment",
    "Grid",
    "Inside",
    "ListedData",
    "Query",
    "RunConfig",
    "Task",
    "TaskData",
    "Wanted",
    "__version__",
    "aligned",
    "batch_loss",
    "build_prompt",
    "compare",
    "compare_models",
    "compare_prompts",
    "concept_network",
    "evaluate",
    "evaluate_vectors",
    "export_prompt",
    "find_choices",
    "fit_vectors",
    "generate",
    "import_prompt",
    "insert_prompt",
    "load_frozen_model",
    "load_snapshot",
    "pairs_of_choices",
    "plot",
    "read_result",
    "read_results",
    "read_vector",
    "run",
    "sweep",
    "to_frame",
    "train",
    "vector_on_items",
    "verdicts",
    "worth_in_tokens",
    "write_steered",
    "write_vector",
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
