"""How many soft-prompt tokens does it take to bring a behaviour out of a frozen language model?

The public names; each is loaded when it is first used, so that reading results never waits for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soft_prompts.config import RunConfig
    from soft_prompts.engine.evaluation import evaluate
    from soft_prompts.engine.generation import generate
    from soft_prompts.engine.insertion import insert_prompt
    from soft_prompts.experiments.run import run
    from soft_prompts.models.frozen import load_frozen_model
    from soft_prompts.prompts.build import build_prompt
    from soft_prompts.prompts.snapshot import load_snapshot
    from soft_prompts.results.files import read_result
    from soft_prompts.stats.distance import capability_distance
    from soft_prompts.tasks.registry import TASKS
    from soft_prompts.training.loop import batch_loss, train

_HOME = {
    "capability_distance": "stats.distance",
    "RunConfig": "config",
    "evaluate": "engine.evaluation",
    "load_frozen_model": "models.frozen",
    "generate": "engine.generation",
    "insert_prompt": "engine.insertion",
    "build_prompt": "prompts.build",
    "read_result": "results.files",
    "run": "experiments.run",
    "load_snapshot": "prompts.snapshot",
    "TASKS": "tasks.registry",
    "batch_loss": "training.loop",
    "train": "training.loop",
}

__all__ = [
    "TASKS",
    "RunConfig",
    "batch_loss",
    "build_prompt",
    "capability_distance",
    "evaluate",
    "generate",
    "insert_prompt",
    "load_frozen_model",
    "load_snapshot",
    "read_result",
    "run",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"soft_prompts has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"soft_prompts.{_HOME[name]}"), name)
