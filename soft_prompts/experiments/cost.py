"""How long may a result take that stands beside the runs of a grid? What the runs took says it."""

from collections.abc import Sequence

from soft_prompts.common.errors import InputError
from soft_prompts.config import RunConfig
from soft_prompts.experiments.evidence.locks import taught_samples
from soft_prompts.results import roles
from soft_prompts.results.files import read_result
from soft_prompts.results.schema import TimingSection
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.starts import SEARCH

FORWARD_AND_BACK = 3  # times what a pass without a gradient costs
WEIGHTS_TOO = 1.5  # times what a step of a prompt costs, where weights have gradients


def expected_seconds(config: RunConfig, runs: Sequence[RunConfig]) -> float:
    """What a result may take, by the grid's run of this model whose token count is nearest: training by its steps, the
    rest as it is."""
    alike = [run for run in runs if (run.model, run.task) == (config.model, config.task)] or list(runs)
    searched = searched_samples(config)
    works = config.trains or searched > 0
    timings = {run: timing for run in alike if (timing := _timing(run)) is not None}
    if not timings:
        return 0.0
    nearest = min(timings, key=lambda run: (run.trains != works, abs(run.tokens - config.tokens)))
    timing = timings[nearest]
    took = timing.wall_seconds or 0.0
    if not works or not nearest.trains:
        return took
    trained = took if timing.training_seconds is None else timing.training_seconds
    steps = config.steps * config.trains + searched / (FORWARD_AND_BACK * nearest.batch_size)
    steps += WEIGHTS_TOO * taught_samples(config) / nearest.batch_size
    return trained * steps / nearest.steps + max(0.0, took - trained)


def _timing(config: RunConfig) -> TimingSection | None:
    try:
        return read_result(run_paths(config).result).timing
    except InputError:  # it is named elsewhere
        return None


def searched_samples(config: RunConfig) -> int:
    """Samples that a search passes through the model, about."""
    if config.init != "search" and config.role != roles.HardPrompt("search"):
        return 0
    return SEARCH.steps(config.tokens) * SEARCH.items * (SEARCH.by_gradient + SEARCH.at_random)
