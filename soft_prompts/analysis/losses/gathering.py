"""Which stored runs are of one curve? Those of one subject and one kind of prompt, whatever sought it."""

import difflib
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from soft_prompts.analysis.losses.drafts import OPTIMISER, Draft, Kind, Run, Subject, draft_curve
from soft_prompts.common.errors import UsageError
from soft_prompts.config import PROMPT_ONLY
from soft_prompts.results.files import Found


def drafts_of(found: Found, metric: str | None, reference: str | None) -> list[Draft]:
    """Every curve's runs with their items, in order of subject and kind; curves without the metric are left out."""
    runs = [Run(*pair) for pair in found.results if pair[1].role == "run"]
    check_asked(
        metric,
        reference,
        {name for run in runs for name in run.result.metrics},
        {run.result.model.name for run in runs},
    )
    return drafts_by(runs, metric)


def drafts_by(runs: Sequence[Run], metric: str | None) -> list[Draft]:
    """As `drafts_of`, whatever others have."""
    groups = runs_by_curve(runs)
    measured = [group for group in groups if metric is None or any(metric in run.result.metrics for run in group[2])]
    return [draft_curve(*group, metric) for group in measured]


def check_asked(metric: str | None, reference: str | None, metrics: Collection[str], models: Collection[str]) -> None:
    """Raise UsageError for a metric or a model that no run has, where there are runs."""
    if metric is not None and metric not in metrics and models:
        known = sorted(metrics)
        close = difflib.get_close_matches(metric, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UsageError(f"--metric is {metric}, which no result has{hint}; give one of {', '.join(known)}")
    if reference is not None and reference not in models and models:
        known = ", ".join(sorted(models))
        raise UsageError(f"--reference is {reference}, of which there is no result; give one of {known}")


def runs_by_curve(runs: Sequence[Run]) -> list[tuple[Subject, Kind, list[Run]]]:
    """Runs by curve; those of the bare model belong to every curve of their subject."""
    bare: dict[Subject, list[Run]] = defaultdict(list)
    prompted: dict[tuple[Subject, Kind], list[Run]] = defaultdict(list)
    for run in runs:
        result = run.result
        subject = Subject(result.experiment, result.variant, result.data.name, result.model.name)
        if run.tokens == 0:
            bare[subject].append(run)
        else:
            prompted[subject, Kind(result.prompt.kind, result.prompt.condition_mode)].append(run)
    groups = [
        (subject, kind._replace(settings=settings), bare[subject] + members)
        for (subject, kind), every in prompted.items()
        for settings, members in _by_settings(every).items()
    ]
    with_prompt = {subject for subject, _ in prompted}
    groups += [(subject, Kind(None, None), members) for subject, members in bare.items() if subject not in with_prompt]
    return sorted(groups, key=lambda group: [str(part or "") for part in (*group[0], *group[1])])


def _by_settings(runs: list[Run]) -> dict[tuple[tuple[str, Any], ...], list[Run]]:
    """One curve, unless runs of the same token count and seed differ in more than how they were sought: then one each.

    Settings that differ between token counts alone stay one curve, with a warning: somebody may choose them by count.
    """
    cells: dict[tuple[int, int], list[Run]] = defaultdict(list)
    for run in runs:
        cells[run.tokens, run.seed].append(run)
    names = sorted(PROMPT_ONLY - OPTIMISER - {"seed", "prompt", "condition", "validate_every"})
    differ = [
        name
        for name in names
        if any(len({str(run.result.config.get(name)) for run in cell}) > 1 for cell in cells.values())
    ]
    parts: dict[tuple[tuple[str, Any], ...], list[Run]] = defaultdict(list)
    for run in runs:
        parts[tuple((name, run.result.config.get(name)) for name in differ)].append(run)
    return parts
