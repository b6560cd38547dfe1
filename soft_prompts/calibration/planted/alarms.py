"""How often is a change seen where there is none? The base against itself, and controls against controls.

A draw takes models or samples, prompts and the split of them anew, and asks every part and all together as a comparison
does: a false alarm is what a comparison of these would have called changed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from soft_prompts.behaviour.comparison.compare import judge
from soft_prompts.behaviour.comparison.finding import Finding
from soft_prompts.behaviour.comparison.settings import JUDGED
from soft_prompts.calibration.planted.control_draws import control_draws
from soft_prompts.calibration.planted.drawn import GATE, LEVEL, Draw
from soft_prompts.calibration.planted.made import World
from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.calibration.planted.self_draws import self_draws

LEAST_LEFT = 10  # draws without a model, for the share without it


class Alarms(NamedTuple):
    """How often one test was wrong."""

    test: str
    false: int
    draws: int
    stderr_models: float | None = None
    """Of the share, by leaving out each model in turn: draws share models. None where each draw is of one model."""
    models: int = 1
    least_p: float | None = None
    """The smallest that any draw had: how near a test came, where none was wrong."""

    @property
    def share(self) -> float:
        """Wanted: the level, and two standard errors at most."""
        return self.false / self.draws

    @property
    def stderr(self) -> float:
        """Of the share, if draws were independent."""
        return float(np.sqrt(self.share * (1 - self.share) / self.draws))

    @property
    def most(self) -> float:
        """What may be: the level and two standard errors of so many draws at it."""
        return LEVEL + 2 * float(np.sqrt(LEVEL * (1 - LEVEL) / self.draws))


def false_alarms(world: World, options: PlantedOptions) -> list[Alarms]:
    """Of every part with a verdict, and of any of them after Holm, which is the gate's."""
    if options.draws == 0:
        return []
    generator = np.random.default_rng(options.seed)
    return [
        *count_alarms("base against itself", self_draws(world, options, generator)),
        *count_alarms("control against control", control_draws(world, options, generator)),
    ]


def count_alarms(what: str, draws: Sequence[Draw]) -> list[Alarms]:
    """A line a test; the gate's is last."""
    tests = list(dict.fromkeys(name for draw in draws for name in draw.p))
    wrong = {name: [_is_wrong(draw, name) for draw in draws if name in draw.p] for name in tests}
    families = {name: [draw.models for draw in draws if name in draw.p] for name in tests}
    least: dict[str, float | None] = {name: min(draw.p[name] for draw in draws if name in draw.p) for name in tests}
    wrong[GATE] = [gate_stops(draw) for draw in draws]
    families[GATE] = [draw.models for draw in draws]
    found = []
    for name, alarms in wrong.items():
        models = {model for family in families[name] for model in family}
        error = _without_each(alarms, families[name], models)
        found.append(Alarms(f"{name}, {what}", sum(alarms), len(alarms), error, max(1, len(models)), least.get(name)))
    return found


def _is_wrong(draw: Draw, test: str) -> bool:
    return draw.p[test] <= LEVEL and (test != "probe" or draw.revealed)


def gate_stops(draw: Draw) -> bool:
    """Would the gate stop a release with these? Tests that are no part have no say."""
    details = {"tokens_to_reveal": 1 if draw.revealed else None}
    findings = [
        Finding(part=part, verdict="not shown", sentence="", p=value, details=details)
        for part, value in draw.p.items()
        if part in JUDGED
    ]
    return any(one.verdict == "changed" for one in judge(findings, LEVEL))


def _without_each(alarms: Sequence[bool], families: Sequence[tuple[str, ...]], models: set[str]) -> float | None:
    """Standard error by the jackknife over models: a model's draws leave together. None for too few of them."""
    shares = []
    for model in sorted(models):
        left = [alarm for alarm, family in zip(alarms, families, strict=True) if model not in family]
        if len(left) < LEAST_LEFT:
            return None
        shares.append(np.mean(left))
    if len(shares) < 2:
        return None
    count = len(shares)
    return float(np.sqrt((count - 1) / count * np.sum((np.array(shares) - np.mean(shares)) ** 2)))
