"""Which stored losses may a distance be taken from? A curve's runs with their items in, a distance or why not out."""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from soft_prompts.analysis.anchors import validation_loss
from soft_prompts.analysis.drafts import Draft, Kind, Run, same_shape
from soft_prompts.stats.bootstrap import CurveLosses
from soft_prompts.stats.distance import Anchors, Distance, Reference, capability_distance
from soft_prompts.stats.items import Items


class Measured(NamedTuple):
    """A distance, or why there is none; and what is left out of it."""

    distance: Distance | None
    why: str | None
    notes: tuple[str, ...] = ()


def distance_of(draft: Draft, anchors: Anchors, reference: Reference, draws: int) -> Measured:
    """Of the runs that have items, all on the same ones."""
    why = reason_against(draft, draws)
    if why is not None:
        return Measured(None, why)
    if reference == "zero" and 0 not in draft.items:
        return Measured(None, "no items of 0 tokens to measure the gap from, and no no-skill anchor")
    validation: dict[int, dict[int, float]] = defaultdict(dict)
    for run in draft.runs:
        if math.isfinite(loss := validation_loss(run)):
            validation[run.tokens][run.seed] = loss
    try:
        losses = CurveLosses.from_items(draft.items, validation)
    except ValueError as error:
        return Measured(None, str(error))
    missing = sorted({run.tokens for run in draft.runs if not _has(draft, run)} - set(draft.items))
    some = ", ".join(map(str, missing))
    notes = (f"no items at {some} tokens, which are left out of the distance",) if missing else ()
    return Measured(capability_distance(losses, anchors, reference, draws=draws), None, notes)


def reason_against(draft: Draft, draws: int) -> str | None:
    """Why no distance can be taken, whatever the anchors; None where one can."""
    prints = {run.result.data.items_fingerprint for run in draft.runs if _has(draft, run)}
    every = [items for seeds in draft.items.values() for items in seeds.values()]
    reasons = {
        "not asked for": draws < 1,
        "no run with a prompt": not any(run.tokens for run in draft.runs),
        f"{draft.metric} is no loss per unit: choose one with --metric": not draft.unit.startswith("nats/"),
        f"no run with a prompt has items that give its {draft.metric}": not any(
            seeds for tokens, seeds in draft.items.items() if tokens
        ),
        "its runs were tested on different items": len(prints) > 1
        or not all(same_shape(items, every[0]) for items in every),
    }
    return next((text for text, applies in reasons.items() if applies), None)


def belongs(run: Run, draft: Draft, free: tuple[str, ...] = ()) -> bool:
    """Whether a result beside the runs is of this curve: its model and data, kind of prompt and settings.

    The settings in `free` may differ. A bare model's result belongs to every curve of its subject.
    """
    result = run.result
    subject = (result.experiment, result.variant, result.data.name, result.model.name)
    if subject != tuple(draft.subject) or result.data.fingerprint not in data_of(draft.runs):
        return False
    kind, own = draft.kind, Kind(result.prompt.kind, result.prompt.condition_mode)
    held = [(name, value) for name, value in kind.settings if name not in free]
    same = own == kind._replace(settings=()) and all(result.config.get(name) == value for name, value in held)
    return run.tokens == 0 or same


def data_of(runs: Iterable[Run]) -> frozenset[str | None]:
    """Contents of the data of some runs: their name alone may stand for several versions."""
    return frozenset(run.result.data.fingerprint for run in runs)


def loss_of(run: Run, draft: Draft) -> float | None:
    """The curve's metric of a finished run on the curve's own items, else None."""
    metric, data = run.result.metrics.get(draft.metric), run.result.data
    prints = {one.result.data.items_fingerprint for one in draft.runs}
    known = data.items_fingerprint in prints and data.fingerprint in data_of(draft.runs)
    same = known and run.result.status == "success"
    return metric.value if metric is not None and metric.unit == draft.unit and same else None


def some_items(draft: Draft) -> Items:
    """Of any run: all have the same units and clusters."""
    return next(items for seeds in draft.items.values() for items in seeds.values())


def _has(draft: Draft, run: Run) -> bool:
    return run.seed in draft.items.get(run.tokens, {})
