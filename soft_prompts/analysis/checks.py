"""May a verdict be believed? Four checks, each passed, failed or unknown, each with its figure.

scale         floor and ceiling come from outside, lie apart, and no prompt beats the ceiling
generalises   test loss minus that of training samples, beyond what their content costs, is under 10 % of
              (floor - ceiling), beyond doubt
specific      share of the task minus share of every control, at the same tokens: above .25 beyond doubt where the
              mark is reached; where it is not, control and task do not differ by so much
search        the last round of other rates, starts and steps moved the share by at most .05, a search start was
              among them, and such searches find secrets planted in this model, or open locks taught to copies of it;
              a model that has learnt the training samples by heart leaves a prompt nothing to be searched by
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from soft_prompts.analysis.battery import LEAST_SECRETS, Power, Tried
from soft_prompts.analysis.controls import Control
from soft_prompts.analysis.losses.drafts import Run, metric_of, same_shape, token_counts
from soft_prompts.analysis.scales import Scale
from soft_prompts.common.errors import InputError
from soft_prompts.results.files import read_items
from soft_prompts.stats.bootstrap import LEAST_CLUSTERS
from soft_prompts.stats.generalisation import Trained, behind_training
from soft_prompts.stats.proportions import Z_95

CHECKS = ("scale", "generalises", "specific", "search")
OVERFIT = 0.1  # of (floor - ceiling)
SPECIFIC = 0.25  # share of the task beyond that of a control
MOVED = 0.05  # share by which the last round of a search may move
LEARNT = 0.02  # nats a unit, and as a share of the bare model's test loss: a training loss of less teaches nothing
RELIABLE = 0.8  # of planted secrets that have to be found
NO_PROMPT = "no prompt was tried"
NOT_SOUGHT = "no other rates, starts or steps were tried"
State = Literal["passed", "failed", "unknown"]


class Check(NamedTuple):
    """One of the four."""

    state: State
    figure: float | None
    text: str
    items_tell: bool | None = None
    """In doubt: would more test items tell? Not where the training samples alone leave it open. None: not in doubt."""
    was_stopped: bool = False
    """What full evidence tells of it is not there, or not all of it: the command that asked for it goes on."""

    @property
    def is_final(self) -> bool:
        """Failed before anything was measured: more of the same tells no more."""
        return self.state == "failed" and self.figure is None

    def to_json(self) -> dict[str, str | float | None]:
        """Plain values."""
        return {"state": self.state, "figure": self.figure, "text": self.text}


def scale_holds(scale: Scale | None) -> Check:
    """Is there a floor and a ceiling from outside?"""
    if scale is None:
        return Check("unknown", None, "no items to measure on")
    if scale.floor is None or scale.ceiling is None:
        return Check("unknown", None, scale.why or "no scale")
    distance = scale.score(scale.ceiling.value) - scale.score(scale.floor.value)
    ends = f"{scale.floor.kind} {scale.floor.value:.3g} to {scale.ceiling.kind} {scale.ceiling.value:.3g}"
    return Check("passed" if scale.sound else "failed", distance, ends if scale.sound else scale.why or ends)


def generalises(run: Run, metric: str, gap: float | None, bare: Run | None) -> Check:
    """Is the prompt as good on new samples as on those that it was trained on? `gap` in nats per unit.

    What tells test from training samples for the bare model too is their content, not what was learnt by heart; what
    may lie on either side of the mark is unknown.
    """
    test, training = metric_of(run, metric), run.result.metrics.get("training_loss")
    if run.tokens == 0:
        return Check("passed", 0.0, "nothing was trained")
    if training is not None and training.value is not None and training.unit != test.unit:
        return Check("unknown", None, f"the training loss is in {training.unit}, not {test.unit}")
    if (own := _trained(run, metric)) is None:
        return Check("unknown", None, "the loss on training samples is not known: run again with this version")
    beside = None if bare is None else _trained(bare, metric)
    beside = beside if beside is not None and same_shape(beside.test, own.test) else None
    behind = behind_training(own, beside)
    if gap is None or gap <= 0:
        return Check("unknown", None, f"{behind.value:+.3g} nats, of a gap that is not known")
    figure, error = behind.value / gap, behind.stderr / gap
    text = f"test minus training loss is {figure:.3f}{'' if math.isnan(error) else f' ± {error:.3f}'} of the gap"
    text += "" if beside is None else ", beyond the bare model's"
    if (clusters := len(np.unique(own.test.cluster))) < LEAST_CLUSTERS:
        return Check("unknown", figure, f"{text}: of {clusters} clusters of items", items_tell=True)
    if (distance := abs(figure - OVERFIT)) < Z_95 * error:
        return Check("unknown", figure, f"{text}: in doubt", items_tell=Z_95 * behind.of_training / gap < distance)
    return Check("passed" if figure < OVERFIT else "failed", figure, text)


def _trained(run: Run, metric: str) -> Trained | None:
    """The run's items, and its loss on training samples; None where one is not known, or of another unit."""
    losses = _losses(run, metric)
    try:
        return None if losses is None else Trained(read_items(run.path), losses.training, losses.clusters, run.seed)
    except InputError:
        return None


class _Losses(NamedTuple):
    """In nats per unit of the metric."""

    test: float
    training: float
    clusters: int
    """Of the training samples."""


def _losses(run: Run, metric: str) -> _Losses | None:
    """None where one is not known, or where they are of different units."""
    test, training = metric_of(run, metric), run.result.metrics.get("training_loss")
    if training is None or training.value is None or test.value is None or training.unit != test.unit:
        return None
    return _Losses(test.value, training.value, max(1, training.n))


def specific(controls: Sequence[Control], tokens: int, is_reached: bool) -> Check:
    """Does the prompt bring out the task, and not what any labels or any model would give?"""
    found = {one.name: one.behind[tokens] for one in controls if tokens in one.behind}
    known = {name: behind for name, behind in found.items() if not math.isnan(behind.value)}  # nothing was to gain
    if not known:
        return Check("unknown", None, f"no control at {token_counts({tokens})}")
    holds = {name: one.is_at_least(SPECIFIC) if is_reached else one.is_below(SPECIFIC) for name, one in known.items()}
    first = sorted(known, key=lambda name: (holds[name], known[name].value * (1 if is_reached else -1)))[0]
    behind = known[first].value  # of the control that decides
    text = f"{first.replace('_', ' ')} gain {behind:.2f} of the scale less at {token_counts({tokens})}"
    return Check("passed" if all(holds.values()) else "failed", behind, text)


def nothing_to_learn(bare: Run | None, metric: str) -> Check | None:
    """A failed search, where the bare model has the training samples already; None: a prompt can be searched for."""
    losses = None if bare is None else _losses(bare, metric)
    if bare is None or losses is None or losses.training > LEARNT * min(1.0, losses.test):
        return None
    told = f"{losses.training:.2g} {metric_of(bare, metric).unit}; {losses.test:.2g} on test samples"
    text = f"with nothing in front the training samples are solved ({told}), and teach a prompt nothing"
    return Check("failed", None, text)


def search_sufficed(tried: Tried | None, power: Power | None, smaller: int | None) -> Check:
    """Was there a better prompt to be found? `smaller`: the count at which the search failed, None: there is none."""
    if not smaller:
        return Check("passed", None, "no count was tried at which a prompt could have been missed")
    if tried is None:
        return Check("unknown", None, f"{NOT_SOUGHT} at {token_counts({smaller})}", was_stopped=True)
    if not tried.finished:
        ended = f"{tried.trials} trial{'' if tried.trials == 1 else 's'} at {token_counts({smaller})}"
        return Check("unknown", None, f"{ended}, stopped before the last round", was_stopped=True)
    if tried.moved is None:
        return Check("unknown", None, f"what {tried.trials} trials at {token_counts({smaller})} reached is not known")
    text = f"{tried.trials} trials at {token_counts({smaller})}, the last round moved the share by {tried.moved:.3f}"
    if abs(tried.moved) > MOVED:
        return Check("failed", tried.moved, text)
    if not tried.searched:
        return Check("unknown", tried.moved, f"{text}; no search start was tried")
    if power is None:
        return Check("unknown", tried.moved, f"{text}; power unknown", was_stopped=True)
    if power.tried < LEAST_SECRETS:
        few = f"{text}; power unknown: {power.too_few}"
        return Check("unknown", tried.moved, few, was_stopped=power.stopped)
    reliable = power.recovered >= RELIABLE * power.tried
    return Check("passed" if reliable else "failed", tried.moved, f"{text}; {power.text}")


def passed(checks: Mapping[str, Check]) -> int:
    """How many are."""
    return sum(check.state == "passed" for check in checks.values())
