"""What is a curve held against? The anchors among stored results, of its own model or shared with others.

Models are compared on one scale: where the items of another model's anchor carry the same units and clusters as the
curve's (moves and bytes, which no tokenizer decides), the lowest Lns and the lowest Lsat of all the models hold for
each of them. A source that is known exactly goes before trained weights. Placebos are a model's own.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from soft_prompts.analysis.drafts import Draft, Run, Subject, items_on, reproduces, same_shape
from soft_prompts.common.errors import InputError
from soft_prompts.results.roles import ANCHOR, Exact, FullFineTune, Lora, NoSkill, Placebo, PlaceboBos
from soft_prompts.stats.bootstrap import Anchor
from soft_prompts.stats.distance import Anchors, Reference
from soft_prompts.stats.items import Items

TRAINED = {FullFineTune.kind: "full", Lora.kind: "lora"}
PLACEBOS = {Placebo.kind: "random tokens", PlaceboBos.kind: "BOS"}


class Chosen(NamedTuple):
    """Anchors of one curve, the share that leads, and whose anchors they are."""

    anchors: Anchors
    reference: Reference
    notes: tuple[str, ...]


class _Candidate(NamedTuple):
    anchor: Anchor
    loss: float
    model: str


@dataclass
class AnchorPool:
    """Every stored anchor, found by what it is an anchor of; items are read once."""

    runs: dict[tuple[str, str | None, str], list[Run]]
    """By experiment, variant and data."""
    items: dict[tuple[Path, str], Items | None] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: Iterable[Run]) -> "AnchorPool":
        """Those that were made, the newest first."""
        found: dict[tuple[str, str | None, str], list[Run]] = defaultdict(list)
        made = (run for run in runs if run.result.role.startswith(ANCHOR) and run.result.status == "success")
        for run in sorted(made, key=lambda run: run.result.environment.finished or "", reverse=True):
            result = run.result
            found[result.experiment, result.variant, result.data.name].append(run)
        return cls(dict(found))

    def own(self, subject: Subject) -> dict[str, tuple[Run, ...]]:
        """Anchors of the subject's own model, by role."""
        by_role: dict[str, list[Run]] = defaultdict(list)
        for run in self.runs.get(subject[:3], ()):
            if run.result.model.name == subject.model:
                by_role[run.result.role].append(run)
        return {role: tuple(runs) for role, runs in sorted(by_role.items())}

    def usable(self, role: str, draft: Draft, like: Items) -> list[tuple[Run, Items]]:
        """Anchors of a role with items like the curve's; those of its own model first."""
        found = []
        for run in self.runs.get(draft.subject[:3], ()):
            metric = run.result.metrics.get(draft.metric)
            if run.result.role == role and metric and metric.unit == draft.unit and _same_data(run, draft):
                items = self._items(run, draft.metric)
                if items is not None and same_shape(items, like) and _on_own_items(run, draft):
                    found.append((run, items))
        return sorted(found, key=lambda pair: pair[0].result.model.name != draft.subject.model)

    def _items(self, run: Run, metric: str) -> Items | None:
        key = run.path, metric
        if key not in self.items:
            try:
                items = items_on(run, metric)
            except InputError:
                items = None
            self.items[key] = items if items is not None and reproduces(run, metric, items) else None
        return self.items[key]


def choose_anchors(draft: Draft, like: Items, pool: AnchorPool) -> Chosen:
    """Anchors whose items are like those of the curve."""
    frequencies = _each(pool, NoSkill.kind, draft, like)
    no_skill = _lowest(_single(pair, "frequencies") for pair in frequencies)
    from_bare = any(run.result.config.get("share_from") == "bare" for run, _ in frequencies)  # the task's own word
    upper = _lowest(_single(pair, "exact") for pair in _each(pool, Exact.kind, draft, like))
    if upper is None:
        trained = [_trials(pool.usable(role, draft, like), name) for role, name in TRAINED.items()]
        upper = _lowest(one for candidates in trained for one in candidates)
    placebos = [_placebo(pool.usable(role, draft, like), name, draft.subject) for role, name in PLACEBOS.items()]
    reference: Reference = "zero" if no_skill is None or from_bare else "no_skill"
    notes = [
        f"{what} is that of {found.model} ({found.anchor.name}), shared by the models on these items"
        for what, found in (("no-skill anchor", no_skill), ("upper anchor", upper))
        if found is not None and found.model != draft.subject.model
    ]
    anchors = Anchors(
        no_skill and no_skill.anchor, upper and upper.anchor, tuple(one for one in placebos if one is not None)
    )
    return Chosen(anchors, reference, tuple(notes))


def _on_own_items(run: Run, draft: Draft) -> bool:
    """An anchor of the curve's own model is on its very items; another tokenizer's can only be alike."""
    result = run.result
    own = {one.result.data.items_fingerprint for one in draft.runs}
    return result.model.name != draft.subject.model or result.data.items_fingerprint in own


def _same_data(run: Run, draft: Draft) -> bool:
    prints = {one.result.data.fingerprint for one in draft.runs} - {None}
    own = run.result.data.fingerprint
    return own is None or not prints or own in prints


def _each(pool: AnchorPool, role: str, draft: Draft, like: Items) -> list[tuple[Run, Items]]:
    """The newest of a role of each model."""
    first: dict[str, tuple[Run, Items]] = {}
    for run, items in pool.usable(role, draft, like):
        first.setdefault(run.result.model.name, (run, items))
    return list(first.values())


def _single(pair: tuple[Run, Items], name: str) -> _Candidate:
    run, items = pair
    return _candidate((items,), name, run.result.model.name)


def _candidate(items: Sequence[Items], name: str, model: str) -> _Candidate:
    losses = tuple(one.loss_nats for one in items)
    least = min(float(loss.sum() / items[0].scored_units.sum()) for loss in losses)
    return _Candidate(Anchor(name, losses), least, model)


def _lowest(candidates: Iterable[_Candidate]) -> _Candidate | None:
    """The first of the lowest, so that a model's own goes before another's equal one."""
    return min(candidates, key=lambda candidate: candidate.loss, default=None)


def _trials(pairs: Sequence[tuple[Run, Items]], name: str) -> list[_Candidate]:
    """Of each model the learning rate with the least validation loss, all its seeds; the test loss never chooses.

    A trial without a validation loss counts only where none has one.
    """
    by_model: dict[str, list[tuple[Run, Items]]] = defaultdict(list)
    for pair in pairs:
        by_model[pair[0].result.model.name].append(pair)
    found = []
    for model, trials in by_model.items():
        best = min(trials, key=lambda pair: validation_loss(pair[0]))
        rate = best[0].result.training.learning_rate
        same = [pair for pair in trials if pair[0].result.training.learning_rate == rate]
        seeds = {run.seed: items for run, items in reversed(same)}
        found.append(_candidate([seeds[seed] for seed in sorted(seeds)], name, model))
    return found


def _placebo(pairs: Sequence[tuple[Run, Items]], name: str, subject: Subject) -> Anchor | None:
    """Its draws of one token, each once."""
    own = [pair for pair in pairs if pair[0].tokens == 1 and pair[0].result.model.name == subject.model]
    draws = {run.seed: items.loss_nats for run, items in reversed(own)}
    return Anchor(name, tuple(draws[seed] for seed in sorted(draws))) if draws else None


def validation_loss(run: Run) -> float:
    """Of a stored result; infinite where it has none."""
    metric = run.result.metrics.get("validation_loss")
    return math.inf if metric is None or metric.value is None else metric.value
