"""How far is what cannot be learnt? Each control's own curve, measured as the task's is.

A control starts from its own bare model (reference "zero") or the task's no-skill anchor, and ends at the task's upper
anchor; where the task has none from outside, at the least loss that the task's prompts reached.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from soft_prompts.analysis.anchors import Chosen
from soft_prompts.analysis.distances import belongs, distance_of, some_items
from soft_prompts.analysis.drafts import Draft, Run, draft_curve, same_shape
from soft_prompts.results.roles import CONTROL
from soft_prompts.stats.admissibility import SELF
from soft_prompts.stats.bootstrap import Anchor
from soft_prompts.stats.contrasts import Selectivity, selectivity
from soft_prompts.stats.distance import Anchors, Distance


@dataclass(frozen=True)
class Control:
    """The distance of one control, and by how much it is farther than the task."""

    name: str
    """permuted_targets, random_weights or random_strings."""
    runs: tuple[Run, ...]
    distance: Distance | None
    no_distance: str | None
    selectivity: Selectivity
    """S by d_50."""


def read_controls(
    runs: Iterable[Run], draft: Draft, chosen: Chosen, distance: Distance, draws: int
) -> tuple[Control, ...]:
    """The controls of one curve, by name."""
    by_name: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.result.role.startswith(CONTROL) and belongs(run, draft):
            by_name[run.result.role.removeprefix(CONTROL)].append(run)
    task = _Task(draft, chosen, distance)
    return tuple(_read(name, members, task, draws) for name, members in sorted(by_name.items()))


def least_selectivity(controls: Iterable[Control]) -> float | None:
    """S, or its bound, of the control that lies nearest; None where none tells."""
    return min((one.selectivity.value for one in controls if one.selectivity.value is not None), default=None)


class _Task(NamedTuple):
    draft: Draft
    chosen: Chosen
    distance: Distance


def _read(name: str, runs: list[Run], task: _Task, draws: int) -> Control:
    control = draft_curve(task.draft.subject, task.draft.kind, runs, task.draft.metric)
    anchors = _anchors(control, task)
    found = distance_of(control, anchors, task.chosen.reference, draws)
    farther = Selectivity(None, False)
    if found.distance is not None:
        farther = selectivity(found.distance.d_50, task.distance.d_50)
    return Control(name, tuple(control.runs), found.distance, found.why, farther)


def _anchors(control: Draft, task: _Task) -> Anchors:
    """The task's, item by item where the control has the same units and clusters, else as constants."""
    used, anchors = task.distance.anchors, task.chosen.anchors
    upper, no_skill = anchors.saturation or Anchor(SELF, value=used.saturation), anchors.no_skill
    if any(control.items.values()) and same_shape(some_items(control), some_items(task.draft)):
        return Anchors(no_skill, upper)
    constant = None if no_skill is None else Anchor(no_skill.name, value=used.no_skill)
    return Anchors(constant, Anchor(upper.name, value=used.saturation))
