"""Which runs make up a curve, and which of their items may be laid side by side?"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from soft_prompts.common.errors import InputError
from soft_prompts.results.files import read_items
from soft_prompts.results.schema import Metric, Result
from soft_prompts.stats.items import Items

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
    """Settings of the prompt itself that differ between runs of one token count and seed, by name."""


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
    others: list[Run] = field(default_factory=list)
    """Runs of a token count and seed that is there already, trained otherwise: prompts all the same."""


OPTIMISER = frozenset(
    (
        "learning_rate",
        "init",
        "snapshot",
        "steps",
        "warmup_steps",
        "schedule",
        "patience",
        "betas",
        "weight_decay",
        "clip",
        "batch_size",
    )
)
"""How a prompt was sought: prompts that differ in it are of one curve, and validation chooses among them."""


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
    draft.runs, draft.others = _newest(_same_items(whole, draft.warnings), draft.warnings)
    draft.warnings += _setting_warnings(draft.runs)
    units = [m.unit for run in draft.runs if (m := metric_of(run, draft.metric)).value is not None]
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


def _newest(runs: list[Run], warnings: list[str]) -> tuple[list[Run], list[Run]]:
    """One run a token count and seed, the one that finished last; and those that were trained otherwise."""
    cells: dict[tuple[int, int], list[Run]] = defaultdict(list)
    for run in runs:
        cells[run.tokens, run.seed].append(run)
    others = []
    for key, cell in cells.items():
        cell.sort(key=lambda run: run.result.environment.finished or "")
        if strangers := [run for run in cell if not _of_one_data(run, cell[-1])]:
            named = ", ".join(str(run.path) for run in strangers)
            warnings.append(
                f"{_place(cell[-1])} other data of the same name in {named}, which is left out; compare those files by "
                "themselves, and give data sets names of their own"
            )
            cell = cells[key] = [run for run in cell if _of_one_data(run, cell[-1])]
        others += [run for run in cell[:-1] if run.tokens and _sought(run) != _sought(cell[-1])]
        if same := [run for run in cell[:-1] if not run.tokens or _sought(run) == _sought(cell[-1])]:
            named = ", ".join(str(run.path) for run in same)
            warnings.append(
                f"{_place(cell[-1])} {len(same) + 1} runs: the newest, {cell[-1].path}, is used, not {named}"
            )
    return [cells[key][-1] for key in sorted(cells)], others


def _of_one_data(run: Run, other: Run) -> bool:
    return run.result.data.fingerprint == other.result.data.fingerprint


def _sought(run: Run) -> list[Any]:
    return [run.result.config.get(name) for name in sorted(OPTIMISER)]


UNKNOWN = "unknown"  # differs from nothing


PROMPT_SETTINGS: dict[str, Callable[[Result], object]] = {
    "steps": lambda result: result.training.steps,
    "batch size": lambda result: result.training.batch_size,
    "learning rate": lambda result: result.training.learning_rate,
    "weight decay": lambda result: result.training.weight_decay,
    "schedule": lambda result: result.training.schedule,
    "validation items": lambda result: validated_on(result) or UNKNOWN,
    "data": lambda result: _short(result.data.fingerprint),
}


SETTINGS: dict[str, Callable[[Result], object]] = {
    "test items": lambda result: _short(result.data.items_fingerprint),
    "model weights": lambda result: UNKNOWN if _names_files(result) else _short(result.model.fingerprint),
    "model files": lambda result: _short(result.model.fingerprint) if _names_files(result) else UNKNOWN,
    "model revision": lambda result: result.model.revision,
    "dtype": lambda result: result.model.dtype,
    "package version": lambda result: result.environment.package_version,
    "torch version": lambda result: result.environment.torch,
    "transformers version": lambda result: result.environment.transformers,
    "commit": lambda result: _short(result.environment.commit),
}


def validated_on(result: Result) -> int:
    """Items that its validation loss is the mean of; 0 where it has none."""
    metric = result.metrics.get("validation_loss")
    return 0 if metric is None or metric.value is None else metric.n


def _setting_warnings(runs: list[Run]) -> list[str]:
    """A line for every setting that is not the same in all runs of a curve."""
    warnings = []
    for name, setting in (PROMPT_SETTINGS | SETTINGS).items():
        values: dict[object, set[int]] = defaultdict(set)
        for run in runs:
            if run.tokens or name in SETTINGS:
                values[setting(run.result)].add(run.tokens)
        values.pop(UNKNOWN, None)
        if len(values) > 1:
            parts = (f"{value} at {token_counts(counts)}" for value, counts in values.items())
            warnings.append(f"{name} differ{'' if name.endswith('s') else 's'}: {'; '.join(parts)}")
    dirty = {run.tokens for run in runs if run.result.environment.dirty}
    return [*warnings, *([f"made with uncommitted changes to the code: {token_counts(dirty)}"] if dirty else [])]


def _load_items(draft: Draft) -> None:
    """Per-item losses that belong to the metric; a run whose items do not give its own metric again is left out."""
    wrong, told = [], dict[int, str]()
    for run in draft.runs:
        try:
            items = items_on(run, draft.metric)
        except InputError as error:
            draft.warnings.append(f"{error}; no paired differences with it")
            continue
        if items is not None and reproduces(run, draft.metric, items):
            draft.items[run.tokens][run.seed] = items
        elif items is not None and _is_loss_of(run, draft.metric, items):
            told[run.tokens] = str(run.result.outcome)
        elif items is not None:
            wrong.append(run)
    if told:
        names = ", ".join(dict.fromkeys(told.values()))
        draft.warnings.append(f"items do not add up to {names} at {token_counts(set(told))}; nothing is read of them")
    if wrong and draft.metric == wrong[0].result.headline:
        places = token_counts({run.tokens for run in wrong})
        draft.warnings.append(f"items do not add up to {draft.metric} at {places}; no paired differences with them")


def items_on(run: Run, metric: str) -> Items | None:
    """Losses per item with the units of `metric`; None where it is no loss per unit, or the run has no items.

    Raises InputError where the items' file is missing or broken.
    """
    found = metric_of(run, metric)
    if run.result.items is None or found.value is None or not found.unit.startswith("nats/"):
        return None
    items = read_items(run.path)
    return dataclasses.replace(items, scored_units=items.scored_tokens) if found.unit == "nats/token" else items


def reproduces(run: Run, metric: str, items: Items) -> bool:
    """Whether the items give the run's own value of the metric again, and of its outcome."""
    return _is_loss_of(run, metric, items) and _is_outcome_of(run, items)


def _is_loss_of(run: Run, metric: str, items: Items) -> bool:
    total, value = items.scored_units.sum(), metric_of(run, metric).value
    return bool(total and value is not None and abs(items.loss_nats.sum() / total - value) <= REPRODUCES * abs(value))


def _is_outcome_of(run: Run, items: Items) -> bool:
    value = metric_of(run, run.result.outcome or "").value
    if items.outcome is None or value is None or np.isnan(items.outcome).all():
        return True
    return abs(float(np.nanmean(items.outcome)) - value) <= REPRODUCES


def same_shape(items: Items, like: Items) -> bool:
    """Whether two lists of items have the same units and clusters, one by one."""
    return np.array_equal(items.scored_units, like.scored_units) and np.array_equal(items.cluster, like.cluster)


def metric_of(run: Run, name: str) -> Metric:
    return run.result.metrics.get(name, Metric(None, reason="the result has no such metric"))


def _place(run: Run) -> str:
    return f"{token_counts({run.tokens})}, seed {run.seed}:"


def token_counts(counts: set[int]) -> str:
    return f"{', '.join(map(str, sorted(counts)))} token{'' if counts == {1} else 's'}"


def next_count(runs: Sequence[Run], most: int) -> int | None:
    """Prompt tokens to ask next: four times as many, or as many as the model holds beside a sample; None: no more."""
    rooms = [
        run.result.model.context_length - sample
        for run in runs
        if run.result.model.context_length is not None
        and isinstance(sample := run.result.config.get("sample_tokens"), int)
    ]
    count = min([4 * most, *rooms])
    return count if count > most else None


def _names_files(result: Result) -> bool:
    """A fingerprint of every file of the model; earlier ones, of the weights and a few others, say nothing of it."""
    return (result.model.fingerprint or "").startswith("v2:")


def _short(text: str | None) -> str | None:
    return None if text is None else text.removeprefix("sha256:").removeprefix("v2:")[:12]
