"""What stands beside a run, without the run: small enough for a check."""

from soft_prompts.config import RunConfig
from soft_prompts.engine.search import Search
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.task import TaskData
from soft_prompts.training.apparatus import Apparatus, prompt_for, run_paths

SHORT_SEARCH = Search(items=2, whole_vocabulary=0, by_gradient=3, at_random=2, rounds=1)


def apparatus(config: RunConfig, frozen: FrozenModel, data: TaskData) -> Apparatus:
    """Of a run that has not begun, with data that is open already."""
    return Apparatus(config, run_paths(config), frozen, data, prompt_for(config, frozen))
