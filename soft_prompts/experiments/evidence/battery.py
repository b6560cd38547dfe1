"""Did the optimiser fail, or is there nothing to find? Other learning rates and starts at one token count, most of them
ended early: successive halving.

    rung 1   every rate with every start, one seed, a quarter of the steps
    rung 2   the best quarter of them by validation loss, and the best search start, at all steps
    rung 3   the best of these and the run itself: two fresh seeds, for the best of many is partly luck, and twice the
             steps

After Jamieson and Talwalkar, arXiv 1502.07943.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from soft_prompts.analysis.battery import LAST_SEEDS
from soft_prompts.common.errors import InputError
from soft_prompts.config import RunConfig
from soft_prompts.experiments.evidence.wanted import is_trained
from soft_prompts.prompts.kinds import FROM_ROWS, Initialisation
from soft_prompts.results import roles
from soft_prompts.results.files import read_result
from soft_prompts.training.apparatus import run_paths, snapshot_name

RATES = (0.25, 0.5, 1.0, 2.0)  # times the run's own
STARTS: tuple[Initialisation, ...] = ("vocabulary", "mean_noise", "grown", "search")
SHARE = 4  # of the steps in rung 1, and of its trials in rung 2: one in so many
LEAST_STEPS = 20  # of a trial
UNMADE = 10**9  # seeds from here on belong to no run


def halves(base: RunConfig, configs: Sequence[RunConfig]) -> list[RunConfig]:
    """The run that a grown prompt grows from, where the grid has it not."""
    half = half_of(base, configs)
    return [] if base.tokens < 2 or "grown" not in starts_of(base) or half in configs else [half]


def half_of(base: RunConfig, configs: Sequence[RunConfig]) -> RunConfig:
    """The run of half the tokens: what a grown base grew from, or the grid's own if it has one and its prompt is still
    there."""
    own = replace(base, tokens=base.tokens // 2)
    if base.init == "grown":
        return replace(own, init="vocabulary")
    return own if own in configs and is_trained(own) else replace(own, init="vocabulary", role=roles.Half())


def first_rung(base: RunConfig, configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Every rate with every start, for a quarter of the steps; the run's own setting among them."""
    half, steps = snapshot_name(half_of(base, configs)), min(base.steps, max(LEAST_STEPS, base.steps // SHARE))
    runs = []
    for start, factor in itertools.product(starts_of(base), RATES):
        trial = roles.OtherRate if start == base.init else roles.OtherStart
        role = trial(half if start == "grown" else None)
        run = replace(base, init=start, learning_rate=base.learning_rate * factor, steps=steps, role=role)
        runs += [] if replace(run, role=base.role) == base else [run]
    return runs


def starts_of(base: RunConfig) -> list[Initialisation]:
    """The run's own start and the others that its prompt can have."""
    return [
        start
        for start in dict.fromkeys((base.init, *STARTS))
        if not (start in FROM_ROWS and not base.has_rows) and not (start == "grown" and base.tokens < 2)
    ]


def second_rung(base: RunConfig, first: Sequence[RunConfig]) -> list[RunConfig]:
    """The best quarter of the trials by validation loss and the best search start, at all steps; not the run itself,
    nor a trial that failed."""
    ranked = sorted((run for run in first if validation_loss(run) < math.inf), key=validation_loss)
    kept = ranked[: math.ceil(len(first) / SHARE)]
    if not any(run.init == "search" for run in kept):
        kept += [run for run in ranked if run.init == "search"][:1]
    return [run for trial in kept if replace(run := replace(trial, steps=base.steps), role=base.role) != base]


def third_rung(base: RunConfig, second: Sequence[RunConfig], configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Two fresh seeds of the best setting of run and trials, and its own seed for twice the steps; none where all
    failed."""
    best = min((base, *second), key=validation_loss)
    if validation_loss(best) == math.inf:
        return []
    half = snapshot_name(half_of(base, configs)) if best.init == "grown" else None
    taken = max(config.seed for config in (base, *configs))
    fresh = [replace(best, seed=taken + number, role=roles.FreshSeed(half)) for number in range(1, LAST_SEEDS + 1)]
    return [*fresh, replace(best, steps=2 * best.steps, role=roles.Longer(half))]


def most_trials(base: RunConfig, configs: Sequence[RunConfig]) -> list[RunConfig]:
    """As many results, of as many steps, as the whole battery can have."""
    first = first_rung(base, configs)
    slowest = "search" if "search" in starts_of(base) else base.init
    # rung 2, and fresh seeds
    whole = as_many(replace(base, init=slowest), math.ceil(len(first) / SHARE) + 1 + LAST_SEEDS)
    return [*halves(base, configs), *first, *whole, *as_many(replace(base, steps=2 * base.steps), 1)]


def as_many(config: RunConfig, count: int, first: int = 0) -> list[RunConfig]:
    """Runs like this one that nobody makes, to count them and what they would take; numbered from the first on."""
    return [replace(config, seed=UNMADE + first + number, role=roles.FreshSeed()) for number in range(count)]


def validation_loss(config: RunConfig) -> float:
    """Of a finished run; inf where it failed, or its result cannot be read."""
    try:
        result = read_result(run_paths(config).result)
    except InputError:
        return math.inf
    metric = result.metrics.get("validation_loss")
    return math.inf if result.status != "success" or metric is None or metric.value is None else metric.value
