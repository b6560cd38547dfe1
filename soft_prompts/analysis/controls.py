"""Does the same prompt bring out what cannot be learnt? Each control on its own scale, from its own bare model.

    share of a control   (y_c(P) - y_c(0)) / (ceiling - y_c(0)),  y_c its outcome or minus its loss

and the same of the task, so that what any prompt gains (a format, frequencies) is gained by both.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from soft_prompts.analysis.losses.drafts import Draft, Run, same_shape
from soft_prompts.analysis.prompts import belongs, chosen_of, scores_of, whole_items
from soft_prompts.analysis.scales import Scale
from soft_prompts.results.roles import CONTROL
from soft_prompts.stats.bootstrap import Floats, Interval, drawn_means, interval
from soft_prompts.stats.items import Items
from soft_prompts.stats.scales import gained_share

EXACT_MATCH, WHOLE_MATCH = "exact_match", "whole_match"  # outcomes of tasks, and of controls with other labels


@dataclass(frozen=True, eq=False)
class Control:
    """What one control's prompts gain."""

    name: str
    """permuted_targets, random_weights or random_strings."""
    runs: tuple[Run, ...]
    shares: Mapping[int, Interval]
    """By prompt tokens, from its own bare model; none without a sound scale of the task."""
    behind: Mapping[int, Interval]
    """Share of the task, from its own bare model, minus the control's, at the same tokens."""


class Gains(NamedTuple):
    """[R] shares from the bare model by prompt tokens, and the clusters that they are drawn over."""

    rows: Mapping[int, Floats]
    clusters: int


def read_controls(
    runs: Iterable[Run], draft: Draft, prompts: Mapping[int, list[Run]], scale: Scale | None, draws: int
) -> tuple[Control, ...]:
    """The controls of one curve, by name."""
    by_name: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.result.role.startswith(CONTROL) and run.result.status == "success" and belongs(run, draft):
            by_name[run.result.role.removeprefix(CONTROL)].append(run)
    if scale is None or not scale.sound:
        return tuple(Control(name, tuple(members), {}, {}) for name, members in sorted(by_name.items()))
    task = _gains(prompts, draft, scale, draws)
    return tuple(_read(name, members, draft, scale, task, draws) for name, members in sorted(by_name.items()))


def _read(name: str, runs: list[Run], draft: Draft, scale: Scale, task: Gains, draws: int) -> Control:
    by_tokens: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_tokens[run.tokens].append(run)
    own = _gains(by_tokens, draft, scale, draws)
    shares = {count: interval(rows, own.clusters) for count, rows in own.rows.items()}
    both = own.rows.keys() & task.rows.keys()
    clusters = min(own.clusters, task.clusters)
    behind = {count: interval(task.rows[count] - own.rows[count], clusters) for count in sorted(both)}
    return Control(name, tuple(runs), shares, behind)


def _is_of_one_kind(outcomes: set[str | None], asked: str) -> bool:
    """Is a control judged as the task is? That all tokens of an item are right is an exact match, and no right move."""
    return outcomes == {asked} or (asked == EXACT_MATCH and outcomes == {WHOLE_MATCH})


def _is_on(items: Items, run: Run, bare: Run, draft: Draft) -> bool:
    """Whether a prompt was tested on the bare model's items, and not only says so."""
    own = whole_items(run, draft.metric)
    same = run.result.data.items_fingerprint == bare.result.data.items_fingerprint
    return same and own is not None and same_shape(own, items)


def _gains(prompts: Mapping[int, list[Run]], draft: Draft, scale: Scale, draws: int) -> Gains:
    """Of the prompt of each count that validation chooses, among those on the bare model's own items."""
    assert scale.ceiling is not None
    bare_run = chosen_of(prompts[0]) if 0 in prompts else None
    items = None if bare_run is None else whole_items(bare_run, draft.metric)
    if bare_run is None or items is None or scores_of(bare_run, draft.metric, scale.by) is None:
        return Gains({}, 0)
    alike = {count: [run for run in runs if _is_on(items, run, bare_run, draft)] for count, runs in prompts.items()}
    chosen = {0: bare_run} | {count: chosen_of(runs) for count, runs in sorted(alike.items()) if runs and count}
    scores = {count: one for count, run in chosen.items() if (one := scores_of(run, draft.metric, scale.by))}
    if scale.by == "deed" and not _is_of_one_kind({run.result.outcome for run in chosen.values()}, scale.unit):
        return Gains({}, 0)
    means = drawn_means(list(scores.values()), items.cluster, draws)
    bare, ceiling = means[:, list(scores).index(0)], scale.score(scale.ceiling.value)
    rows = {count: gained_share(means[:, at], bare, ceiling) for at, count in enumerate(scores) if count}
    return Gains(rows, len(np.unique(items.cluster)))
