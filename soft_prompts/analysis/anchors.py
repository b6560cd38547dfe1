"""What is a curve held against? The anchors among stored results: those of its own model, or a model named for it.

A scale has two ends. Its floor is what can be had without the skill: by deed the best constant answer or random tokens,
by loss frequencies; of a task that the bare model is said to know, that model, unless frequencies tell more. Its
ceiling, the first that there is: a source that is known exactly, a reference model, trained weights. Another model's
anchors count only where they are asked for.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from soft_prompts.analysis.losses.drafts import Draft, Run, Subject, same_shape
from soft_prompts.analysis.prompts import chosen_of, data_of, is_of_model, scores_of, whole_items
from soft_prompts.results.roles import ANCHOR, Exact, FullFineTune, Lora, NoSkill, Placebo, PlaceboBos
from soft_prompts.stats.bootstrap import Scores
from soft_prompts.stats.items import Items
from soft_prompts.stats.scales import Anchor, By

PLACEBO, BARE = "placebo", "bare"  # kinds of a floor
TRAINED = {FullFineTune.kind: "full", Lora.kind: "lora"}


class Candidate(NamedTuple):
    """One end of a scale, and the results that it is made of."""

    anchor: Anchor
    runs: tuple[Run, ...] = ()
    wrong: str | None = None
    """Why it cannot be relied on."""


class Chosen(NamedTuple):
    """Both ends of a scale, or why one is missing."""

    floors: tuple[Candidate, ...]
    ceiling: Candidate | None


@dataclass
class AnchorPool:
    """Every stored anchor, found by what it is an anchor of; items are read once."""

    runs: dict[tuple[str, str | None, str], list[Run]]
    """By experiment, variant and data."""
    bare: dict[Subject, list[Run]]
    """Runs without a prompt: what a reference model does."""
    named: str | None = None
    """The reference model that was asked for; None: the one that a curve's runs name."""
    shared: bool = False
    """Models on the same items share their anchors."""
    items: dict[tuple[Path, str], Items | None] = field(default_factory=dict)
    kinds: dict[Subject, int] = field(default_factory=dict)
    """How many kinds of prompt there are of a subject."""
    models: set[str] = field(default_factory=set)
    """Names of all that are read."""

    @classmethod
    def of(cls, runs: Iterable[Run], named: str | None = None, shared: bool = False) -> "AnchorPool":
        """Those that were made, the newest first."""
        found: dict[tuple[str, str | None, str], list[Run]] = defaultdict(list)
        bare: dict[Subject, list[Run]] = defaultdict(list)
        made = [run for run in runs if run.result.status == "success"]
        for run in sorted(made, key=lambda run: run.result.environment.finished or "", reverse=True):
            result = run.result
            if result.role.startswith(ANCHOR):
                found[result.experiment, result.variant, result.data.name].append(run)
            elif result.role == "run" and run.tokens == 0:
                bare[Subject(result.experiment, result.variant, result.data.name, result.model.name)].append(run)
        return cls(dict(found), dict(bare), named, shared)

    def own(self, subject: Subject) -> dict[str, tuple[Run, ...]]:
        """Anchors of the subject's own model, by role."""
        by_role: dict[str, list[Run]] = defaultdict(list)
        for run in self.runs.get(subject[:3], ()):
            if run.result.model.name == subject.model:
                by_role[run.result.role].append(run)
        return {role: tuple(runs) for role, runs in sorted(by_role.items())}

    def usable(self, role: str, draft: Draft, like: Items) -> list[Run]:
        """Anchors of a role with items like the curve's; those of its own model first, and alone unless shared."""
        found = [
            run
            for run in self.runs.get(draft.subject[:3], ())
            if run.result.role == role and (self.shared or run.result.model.name == draft.subject.model)
            if run.result.model.name != draft.subject.model or is_of_model(run, draft)
            if self._is_like(run, draft, like)
        ]
        return sorted(found, key=lambda run: run.result.model.name != draft.subject.model)

    def reference(self, draft: Draft, like: Items) -> list[Run]:
        """Runs of the curve's reference model without a prompt, on the curve's items."""
        told = [run.result.config.get("reference") for run in reversed(draft.runs)]
        name = self.named or next((one for one in told if isinstance(one, str)), None)
        if name is None or name == draft.subject.model:
            return []
        return [run for run in self.bare.get(draft.subject._replace(model=name), ()) if self._is_like(run, draft, like)]

    def _is_like(self, run: Run, draft: Draft, like: Items) -> bool:
        """Of the same data and unit, item by item; an anchor of the curve's own model is on its very items."""
        result, metric = run.result, run.result.metrics.get(draft.metric)
        if metric is None or metric.unit != draft.unit or not _same_data(run, draft):
            return False
        own = {one.result.data.items_fingerprint for one in draft.runs}
        if result.model.name == draft.subject.model and result.data.items_fingerprint not in own:
            return False
        key = run.path, draft.metric
        if key not in self.items:
            self.items[key] = whole_items(run, draft.metric)
        items = self.items[key]
        return items is not None and same_shape(items, like)


def choose_ends(by: By, draft: Draft, like: Items, pool: AnchorPool) -> Chosen:
    """Floors and ceiling of the curve's scale by deed or by loss."""
    floors = _deed_floors(draft, like, pool) if by == "deed" else _loss_floors(draft, like, pool)
    return Chosen(tuple(floors), _ceiling(by, draft, like, pool))


def starts_from_bare(draft: Draft, pool: AnchorPool) -> bool:
    """Does the bare model know the task, so that shares are of what it lacks? The word of the model's own results."""
    told = [run.result.config.get("share_from") for runs in pool.own(draft.subject).values() for run in runs]
    return "bare" in told or any(run.result.data.from_bare for run in draft.runs)


def _deed_floors(draft: Draft, like: Items, pool: AnchorPool) -> list[Candidate]:
    floors = []
    for run in pool.usable(NoSkill.kind, draft, like)[:1]:
        if scores := scores_of(run, draft.metric, "deed"):
            floors.append(Candidate(Anchor("constant", (scores,)), (run,)))
    return floors + placebos(draft, like, pool)


def placebos(draft: Draft, like: Items, pool: AnchorPool) -> list[Candidate]:
    """By deed: the median of the draws of each token count, and tokens that begin a text."""
    floors = []
    for role in (Placebo.kind, PlaceboBos.kind):
        by_tokens: dict[int, list[tuple[Run, Scores]]] = defaultdict(list)
        for run in pool.usable(role, draft, like):
            if scores := scores_of(run, draft.metric, "deed"):
                by_tokens[run.tokens].append((run, scores))
        for found in by_tokens.values():
            runs, draws = zip(*found, strict=True)
            floors.append(Candidate(Anchor(PLACEBO, draws), runs))
    return floors


def _loss_floors(draft: Draft, like: Items, pool: AnchorPool) -> list[Candidate]:
    found = {"frequencies": pool.usable(NoSkill.kind, draft, like)}
    if starts_from_bare(draft, pool):
        found[BARE] = [run for run in draft.runs if run.tokens == 0]
    firsts = [(kind, run) for kind, runs in found.items() for run in runs[:1]]
    scored = [(kind, run, scores) for kind, run in firsts if (scores := scores_of(run, draft.metric, "loss"))]
    return [Candidate(Anchor(kind, (scores,)), (run,)) for kind, run, scores in scored]


def _ceiling(by: By, draft: Draft, like: Items, pool: AnchorPool) -> Candidate | None:
    if by == "deed" and all(run.result.data.determined for run in draft.runs):
        return Candidate(Anchor("exact", known=1.0))
    exact = pool.usable(Exact.kind, draft, like) if by == "loss" else []
    for runs, kind in ((exact, "exact"), (pool.reference(draft, like), "reference")):
        for run in runs[:1]:
            if scores := scores_of(run, draft.metric, by):
                return Candidate(Anchor(kind, (scores,)), (run,))
    trained = [_trained(by, draft, pool.usable(role, draft, like), name) for role, name in TRAINED.items()]
    known = [one for one in trained if one is not None]  # what still gets better is no ceiling while another is there
    sure = [one for one in known if one.wrong is None] or known
    best = chosen_of([one.runs[0] for one in sure]) if sure else None
    return next((one for one in sure if one.runs[0] is best), None)


def _trained(by: By, draft: Draft, runs: Sequence[Run], name: str) -> Candidate | None:
    """The trial with the least validation loss; the test items never choose."""
    known = [run for run in runs if scores_of(run, draft.metric, by)]
    if not known:
        return None
    best = chosen_of(known)
    scores = scores_of(best, draft.metric, by)
    assert scores is not None
    training = best.result.training
    wrong = None
    if training.ended_early is None and training.best_step == training.steps:
        wrong = f"the {name} fine-tune that is the ceiling was still getting better at its last step"
    return Candidate(Anchor(name, (scores,)), (best,), wrong)


def _same_data(run: Run, draft: Draft) -> bool:
    own = run.result.data.fingerprint
    prints = data_of(draft.runs) - {None}
    return own is None or not prints or own in prints
