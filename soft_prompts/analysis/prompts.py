"""Which prompts does a curve have at each token count, and which of them is it judged by?

All prompts of P tokens on the curve's own items count, however they were sought: seeds, trials of the battery, search
and grown starts. The one with the least validation loss is chosen; test items never choose.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from soft_prompts.analysis.losses.drafts import (
    OPTIMISER,
    Draft,
    Kind,
    Run,
    items_on,
    reproduces,
    same_shape,
    validated_on,
)
from soft_prompts.common.errors import InputError
from soft_prompts.results.roles import BATTERY
from soft_prompts.stats.bootstrap import Scores
from soft_prompts.stats.items import Items
from soft_prompts.stats.scales import By


def prompts_of(draft: Draft, beside: Iterable[Run]) -> dict[int, list[Run]]:
    """Every finished prompt of the curve by token count, the runs of the grid first; the bare model at 0."""
    tried = [run for run in beside if run.result.role.startswith(BATTERY) and belongs(run, draft)]
    found: dict[int, list[Run]] = defaultdict(list)
    for run in [*draft.runs, *(run for run in (*draft.others, *tried) if _is_like_the_grid(run, draft))]:
        if run.result.status == "success" and _on_own_items(run, draft):
            found[run.tokens].append(run)
    return dict(sorted(found.items()))


def chosen_of(prompts: Sequence[Run]) -> Run:
    """The prompt of the least validation loss, of those that were validated on the most items: losses on others are no
    match for it. One without any only where none has one."""
    most = max(validated_on(run.result) for run in prompts)
    return min((run for run in prompts if validated_on(run.result) == most), key=validation_loss)


def validation_loss(run: Run) -> float:
    """Of a stored result; infinite where it has none."""
    metric = run.result.metrics.get("validation_loss")
    return math.inf if metric is None or metric.value is None else metric.value


def belongs(run: Run, draft: Draft) -> bool:
    """Whether a result beside the runs is of this curve: its model and data, and kind of prompt, however sought.

    A bare model's result belongs to every curve of its subject.
    """
    result = run.result
    subject = (result.experiment, result.variant, result.data.name, result.model.name)
    if subject != tuple(draft.subject) or result.data.fingerprint not in data_of(draft.runs):
        return False
    if not is_of_model(run, draft):
        return False
    kind, own = draft.kind, Kind(result.prompt.kind, result.prompt.condition_mode)
    held = [(name, value) for name, value in kind.settings if name not in OPTIMISER]
    same = own == kind._replace(settings=()) and all(result.config.get(name) == value for name, value in held)
    return run.tokens == 0 or same


def is_of_model(run: Run, draft: Draft) -> bool:
    """Is a result of the very model files that the curve is of? A fingerprint of an older kind tells nothing."""
    own = {one.result.model.fingerprint or "" for one in draft.runs}
    mark = run.result.model.fingerprint or ""
    known = {one for one in own if one.startswith("v2:")}
    return not mark.startswith("v2:") or not known or mark in known


def data_of(runs: Iterable[Run]) -> frozenset[str | None]:
    """Contents of the data of some runs: their name alone may stand for several versions."""
    return frozenset(run.result.data.fingerprint for run in runs)


def loss_of(run: Run, draft: Draft) -> float | None:
    """The curve's metric of a finished run on the curve's own items, else None."""
    metric = run.result.metrics.get(draft.metric)
    known = _on_own_items(run, draft) and run.result.data.fingerprint in data_of(draft.runs)
    same = known and run.result.status == "success"
    return metric.value if metric is not None and metric.unit == draft.unit and same else None


def scores_of(run: Run, metric: str, by: By) -> Scores | None:
    """Of a result's items; None where it has none that tell, or none that give its own metric again."""
    items = whole_items(run, metric)
    if items is None:
        return None
    scores = None
    if by == "loss":
        scores = Scores.of_loss(items)
    elif items.outcome is not None:
        scores = Scores.of_outcome(items)
    return scores if scores is not None and scores.weights.any() else None


def whole_items(run: Run, metric: str) -> Items | None:
    """Items that give their run's own value of the metric again."""
    try:
        items = items_on(run, metric)
    except InputError:
        return None
    return items if items is not None and reproduces(run, metric, items) else None


def some_items(draft: Draft) -> Items | None:
    """Of any run: all have the same units and clusters."""
    return next((items for seeds in draft.items.values() for items in seeds.values()), None)


def reason_against(draft: Draft) -> str | None:
    """Why nothing can be read of the curve beyond its losses, whatever the anchors; None where something can."""
    prints = {run.result.data.items_fingerprint for run in draft.runs if run.seed in draft.items.get(run.tokens, {})}
    every = [items for seeds in draft.items.values() for items in seeds.values()]
    models = {one for run in draft.runs if (one := run.result.model.fingerprint or "").startswith("v2:")}
    precisions = {run.result.model.dtype for run in draft.runs} - {None}
    has_prompt = any(run.tokens for run in draft.runs)
    reasons = {
        "its runs are of different versions of the data": len(data_of(draft.runs) - {None}) > 1,
        "its runs are of different model files": len(models) > 1,
        "its runs are of models in different precisions": len(precisions) > 1,
        f"{draft.metric} is no loss per unit": not draft.unit.startswith("nats/"),
        f"no run{' with a prompt' if has_prompt else ''} has items that give its {draft.metric}": not any(
            seeds for tokens, seeds in draft.items.items() if tokens or not has_prompt
        ),
        "its runs were tested on different items": len(prints) > 1
        or not all(same_shape(items, every[0]) for items in every),
    }
    return next((text for text, applies in reasons.items() if applies), None)


def by_seed(draft: Draft, tokens: int, by: By) -> Mapping[int, Scores]:
    """Of the grid's own runs at a token count."""
    runs = {run.seed: run for run in draft.runs if run.tokens == tokens}
    found = {seed: scores_of(run, draft.metric, by) for seed, run in runs.items()}
    return {seed: scores for seed, scores in found.items() if scores is not None}


def _is_like_the_grid(run: Run, draft: Draft) -> bool:
    """Items that claim to be the curve's may still be others."""
    like, items = some_items(draft), whole_items(run, draft.metric)
    return like is None or items is None or same_shape(items, like)


def _on_own_items(run: Run, draft: Draft) -> bool:
    return run.result.data.items_fingerprint in {one.result.data.items_fingerprint for one in draft.runs}
