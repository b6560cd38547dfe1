"""Did the optimiser fail, or is there nothing to find? Other learning rates and starts at one token count, fresh seeds
of the best of them, and twice the steps.

First every rate with every start, one seed; then, by validation loss, the best setting: five fresh seeds, for the best
of many trials is partly luck, and a rerun twice as long.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from soft_prompts.common.errors import InputError
from soft_prompts.config import RunConfig
from soft_prompts.prompts.kinds import FROM_ROWS, Initialisation
from soft_prompts.results import roles
from soft_prompts.results.files import read_result
from soft_prompts.training.apparatus import run_paths, snapshot_name

RATES = (0.25, 0.5, 1.0, 2.0)  # times the run's own
STARTS: tuple[Initialisation, ...] = ("vocabulary", "mean_noise", "grown", "search")
SEEDS = 5


def battery_bases(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Of each curve the run that is tried again: the largest token count, the first seed."""
    first: dict[RunConfig, RunConfig] = {}
    for config in configs:
        subject = replace(config, tokens=1, seed=0)
        if config.tokens > first.get(subject, replace(config, tokens=0)).tokens:
            first[subject] = config
    return list(first.values())


def halves(base: RunConfig, configs: Sequence[RunConfig]) -> list[RunConfig]:
    """The run that a grown prompt grows from, where the grid has it not."""
    half = half_of(base, configs)
    return [] if base.tokens < 2 or "grown" not in starts_of(base) or half in configs else [half]


def half_of(base: RunConfig, configs: Sequence[RunConfig]) -> RunConfig:
    """The run of half the tokens: what a grown base grew from, or the grid's own if it has one."""
    own = replace(base, tokens=base.tokens // 2)
    if base.init == "grown":
        return replace(own, init="vocabulary")
    return own if own in configs else replace(own, init="vocabulary", role=roles.Half())


def trials(base: RunConfig, configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Every rate with every start, but for the run itself."""
    half = snapshot_name(half_of(base, configs))
    runs = []
    for start, factor in itertools.product(starts_of(base), RATES):
        trial = roles.OtherRate if start == base.init else roles.OtherStart
        role = trial(half if start == "grown" else None)
        run = replace(base, init=start, learning_rate=base.learning_rate * factor, role=role)
        runs += [] if start == base.init and factor == 1 else [run]
    return runs


def starts_of(base: RunConfig) -> list[Initialisation]:
    """The run's own start and the others that its prompt can have."""
    return [
        start
        for start in dict.fromkeys((base.init, *STARTS))
        if not (start in FROM_ROWS and not base.has_rows) and not (start == "grown" and base.tokens < 2)
    ]


def second_round(base: RunConfig, tried: Sequence[RunConfig], configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Five fresh seeds of the best setting of run and trials, and the base's seed for twice the steps; none where all
    failed."""
    best = min((base, *tried), key=validation_loss)
    if validation_loss(best) == math.inf:
        return []
    half = snapshot_name(half_of(base, configs)) if best.init == "grown" else None
    fresh = [replace(best, seed=base.seed + number, role=roles.FreshSeed(half)) for number in range(1, SEEDS + 1)]
    return [*fresh, replace(best, steps=2 * best.steps, role=roles.Longer(half))]


def validation_loss(config: RunConfig) -> float:
    """Of a finished run; inf where it failed, or its result cannot be read."""
    try:
        metric = read_result(run_paths(config).result).metrics.get("validation_loss")
    except InputError:
        return math.inf
    return math.inf if metric is None or metric.value is None else metric.value
