"""How does the loss of one model and prompt kind fall with prompt tokens, and which runs may be laid side by side?

Seeds are never averaged away: a point shows their mean and keeps each of them. Differences between token counts are
paired on the same test items, which takes most of the noise out of them.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from soft_prompts.errors import InputError
from soft_prompts.paired import SeedValue, Share, mean_over_seeds, paired_difference, share_closed
from soft_prompts.results import Items, Metric, Result, read_items

REPRODUCES = 1e-4  # relative: items that miss their run's own metric by more are another run's, or another metric's


class Run(NamedTuple):
    path: Path
    result: Result

    @property
    def tokens(self) -> int:
        return self.result.prompt.tokens

    @property
    def seed(self) -> int:
        return self.result.training.seed


class Subject(NamedTuple):
    """What a bare model's run is shared by."""

    experiment: str
    variant: str | None
    data: str
    model: str


class Kind(NamedTuple):
    """What tells two curves of one subject apart."""

    prompt: str | None
    condition_mode: str | None
    settings: tuple[tuple[str, Any], ...] = ()
    """Settings of training that differ between runs of one token count and seed, by name."""


@dataclass(frozen=True)
class Point:
    tokens: int
    value: float | None
    stderr: float | None
    seeds: tuple[SeedValue, ...]


@dataclass(frozen=True)
class Difference:
    """Loss per unit at `tokens` minus that at `against` tokens, on the same items."""

    tokens: int
    against: int
    value: float
    stderr: float | None
    items: int
    clusters: int
    seeds: tuple[SeedValue, ...]


@dataclass(frozen=True)
class Gap:
    """Loss per unit at `tokens` minus that of a reference model on the same items."""

    tokens: int
    reference: str
    to_bare: Difference
    """To the reference model without a prompt."""
    to_prompted: Difference | None
    """To the reference model with as many tokens."""
    closed: Share | None
    """Share of the gap between the two bare models that these tokens close."""


@dataclass(frozen=True)
class Curve:
    """One model, prompt kind and condition mode: losses over token counts, lowest first."""

    experiment: str
    variant: str | None
    data: str
    model: str
    prompt: str | None
    condition_mode: str | None
    settings: Mapping[str, Any]
    """What else differs from the other curves of the same prompt kind and condition mode."""
    headline: str
    metric: str
    unit: str
    curve: tuple[Point, ...]
    paired: tuple[Difference, ...] = ()
    condition_information: tuple[Difference, ...] = ()
    """Loss of the prompts trained without conditions minus loss of these, at equal token counts (`against`)."""
    gaps: "tuple[Gap, ...]" = ()
    """How far this model is from the reference model that was asked for."""
    scored_units: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass
class Draft:
    """A curve in the making: its runs by token count, and what is found wrong with them."""

    subject: Subject
    kind: Kind
    runs: list[Run]
    metric: str
    unit: str = ""
    warnings: list[str] = field(default_factory=list)
    items: dict[int, dict[int, Items]] = field(default_factory=lambda: defaultdict(dict))


def draft_curve(subject: Subject, kind: Kind, runs: list[Run], metric: str | None) -> Draft:
    headlines = list(dict.fromkeys(run.result.headline for run in reversed(runs)))
    draft = Draft(subject, kind, [], metric or headlines[0])
    if metric is None and len(headlines) > 1:
        draft.warnings.append(f"headlines differ: {', '.join(headlines)}; {headlines[0]} is shown")
    whole = []
    for run in runs:
        if run.result.status == "success":
            whole.append(run)
        else:
            draft.warnings.append(f"{_place(run)} {run.result.status}: {run.result.reason}")
    draft.runs = _newest(_same_items(whole, draft.warnings), draft.warnings)
    draft.warnings += _setting_warnings(draft.runs)
    units = [m.unit for run in draft.runs if (m := _metric(run, draft.metric)).value is not None]
    draft.unit = units[0] if units else ""
    if len(set(units)) > 1:
        draft.warnings.append(f"units of {draft.metric} differ: {', '.join(sorted(set(units)))}")
    _load_items(draft)
    return draft


def _same_items(runs: list[Run], warnings: list[str]) -> list[Run]:
    """Without those runs of the bare model that were tested on other items than the prompts, if any others are left."""
    tested = {run.result.data.items_fingerprint for run in runs if run.tokens}
    fitting = [run for run in runs if run.tokens or run.result.data.items_fingerprint in tested]
    has_bare = any(run.tokens == 0 for run in runs)
    if not has_bare and runs:
        warnings.append("no run with 0 tokens: nothing to measure the gain from")
    return fitting if any(run.tokens == 0 for run in fitting) or not has_bare else runs


def _newest(runs: list[Run], warnings: list[str]) -> list[Run]:
    """One run a token count and seed: the one that finished last."""
    cells: dict[tuple[int, int], list[Run]] = defaultdict(list)
    for run in runs:
        cells[run.tokens, run.seed].append(run)
    for cell in cells.values():
        cell.sort(key=lambda run: run.result.environment.finished or "")
        if len(cell) > 1:
            others = ", ".join(str(run.path) for run in cell[:-1])
            warnings.append(f"{_place(cell[-1])} {len(cell)} runs: the newest, {cell[-1].path}, is used, not {others}")
    return [cells[key][-1] for key in sorted(cells)]


PROMPT_SETTINGS: dict[str, Callable[[Result], object]] = {
    "steps": lambda result: result.training.steps,
    "batch size": lambda result: result.training.batch_size,
    "learning rate": lambda result: result.training.learning_rate,
    "weight decay": lambda result: result.training.weight_decay,
    "schedule": lambda result: result.training.schedule,
    "data": lambda result: _short(result.data.fingerprint),
}
SETTINGS: dict[str, Callable[[Result], object]] = {
    "test items": lambda result: _short(result.data.items_fingerprint),
    "model weights": lambda result: _short(result.model.fingerprint),
    "model revision": lambda result: result.model.revision,
    "dtype": lambda result: result.model.dtype,
    "package version": lambda result: result.environment.package_version,
    "commit": lambda result: _short(result.environment.commit),
}


def _setting_warnings(runs: list[Run]) -> list[str]:
    """A line for every setting that is not the same in all runs of a curve."""
    warnings = []
    for name, setting in (PROMPT_SETTINGS | SETTINGS).items():
        values: dict[object, set[int]] = defaultdict(set)
        for run in runs:
            if run.tokens or name in SETTINGS:
                values[setting(run.result)].add(run.tokens)
        if len(values) > 1:
            parts = (f"{value} at {_tokens(counts)}" for value, counts in values.items())
            warnings.append(f"{name} differ{'' if name.endswith('s') else 's'}: {'; '.join(parts)}")
    dirty = {run.tokens for run in runs if run.result.environment.dirty}
    return [*warnings, *([f"made with uncommitted changes to the code: {_tokens(dirty)}"] if dirty else [])]


def _load_items(draft: Draft) -> None:
    """Per-item losses that belong to the metric; a run whose items do not give its own metric again is left out."""
    wrong = []
    for run in draft.runs:
        try:
            items = items_on(run, draft.metric)
        except InputError as error:
            draft.warnings.append(f"{error}; no paired differences with it")
            continue
        if items is not None and reproduces(run, draft.metric, items):
            draft.items[run.tokens][run.seed] = items
        elif items is not None:
            wrong.append(run)
    if wrong and draft.metric == wrong[0].result.headline:
        places = _tokens({run.tokens for run in wrong})
        draft.warnings.append(f"items do not add up to {draft.metric} at {places}; no paired differences with them")


def items_on(run: Run, metric: str) -> Items | None:
    """Losses per item with the units of `metric`; None where it is no loss per unit, or the run has no items.

    Raises InputError where the items' file is missing or broken.
    """
    found = _metric(run, metric)
    if run.result.items is None or found.value is None or not found.unit.startswith("nats/"):
        return None
    items = read_items(run.path)
    return dataclasses.replace(items, scored_units=items.scored_tokens) if found.unit == "nats/token" else items


def reproduces(run: Run, metric: str, items: Items) -> bool:
    """Whether the items give the run's own value of the metric again."""
    total, value = items.scored_units.sum(), _metric(run, metric).value
    return bool(total and value is not None and abs(items.loss_nats.sum() / total - value) <= REPRODUCES * abs(value))


def finished_curve(draft: Draft) -> Curve:
    counts = sorted({run.tokens for run in draft.runs})
    points = []
    for tokens in counts:
        metrics = {run.seed: _metric(run, draft.metric) for run in draft.runs if run.tokens == tokens}
        seeds = tuple(SeedValue(seed, metric.value, metric.stderr) for seed, metric in metrics.items())
        points.append(Point(tokens, *mean_over_seeds(seeds), seeds))
        missing = {f"no {draft.metric} at {_tokens({tokens})}: {m.reason}" for m in metrics.values() if m.value is None}
        draft.warnings += sorted(missing)
    pairs = [(tokens, 0) for tokens in counts if tokens and 0 in counts]
    pairs += [(after, before) for before, after in itertools.pairwise(counts) if before]
    paired = (difference(draft, tokens, draft, against) for tokens, against in sorted(pairs))
    totals = [int(items.scored_units.sum()) for seeds in draft.items.values() for items in seeds.values()]
    return Curve(
        *draft.subject,
        prompt=draft.kind.prompt,
        condition_mode=draft.kind.condition_mode,
        settings=dict(draft.kind.settings),
        headline=draft.runs[-1].result.headline if draft.runs else draft.metric,
        metric=draft.metric,
        unit=draft.unit,
        curve=tuple(points),
        paired=tuple(difference for difference in paired if difference is not None),
        scored_units=totals[0] if totals else None,
        warnings=tuple(draft.warnings),
    )


def gap(draft: Draft, tokens: int, reference: Draft) -> Gap | None:
    """Paired over the items, or None where the reference model was not tested on the same ones."""
    to_bare = difference(draft, tokens, reference, 0)
    if to_bare is None:
        return None
    like = next(iter(draft.items[tokens].values()))
    prompted, bare, goal = (
        [items.loss_nats for items in side.items.get(count, {}).values()]
        for side, count in ((draft, tokens), (draft, 0), (reference, 0))
    )
    closed = share_closed(prompted, bare, goal, like.cluster) if bare else None
    return Gap(tokens, reference.subject.model, to_bare, difference(draft, tokens, reference, tokens), closed)


def difference(draft: Draft, tokens: int, other: Draft, against: int) -> Difference | None:
    """Paired over the items, or None where they are not the same items."""
    first, second = draft.items.get(tokens, {}), other.items.get(against, {})
    prints = {
        run.result.data.items_fingerprint
        for side, count in ((draft, tokens), (other, against))
        for run in side.runs
        if run.tokens == count and run.seed in side.items.get(count, {})
    }
    if not first or not second or len(prints) > 1 or None in prints:
        return None
    every = [*first.values(), *second.values()]
    like = every[0]
    if not all(same_shape(items, like) for items in every):
        draft.warnings.append(f"items of {_tokens({tokens, against})} claim to be the same and are not: not paired")
        return None
    losses, base = ({seed: items.loss_nats for seed, items in side.items()} for side in (first, second))
    paired = paired_difference(losses, base, like.scored_units, like.cluster)
    return None if paired is None else Difference(tokens, against, *paired[0], paired[1])


def same_shape(items: Items, like: Items) -> bool:
    """Whether two lists of items have the same units and clusters, one by one."""
    return np.array_equal(items.scored_units, like.scored_units) and np.array_equal(items.cluster, like.cluster)


def _metric(run: Run, name: str) -> Metric:
    return run.result.metrics.get(name, Metric(None, reason="the result has no such metric"))


def _place(run: Run) -> str:
    return f"{_tokens({run.tokens})}, seed {run.seed}:"


def _tokens(counts: set[int]) -> str:
    return f"{', '.join(map(str, sorted(counts)))} token{'' if counts == {1} else 's'}"


def _short(text: str | None) -> str | None:
    return None if text is None else text.removeprefix("sha256:")[:12]
