"""What are models, prompts, units and groups called wherever they are shown?"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from soft_prompts.analysis.losses.curves import Curve, short_name

NATS = "nats/"


def grouped(curves: Iterable[Curve]) -> dict[tuple[Any, ...], list[Curve]]:
    """Curves that share a table or a figure: the same experiment, metric and unit."""
    groups: dict[tuple[Any, ...], list[Curve]] = defaultdict(list)
    for curve in curves:
        groups[curve.experiment, curve.metric, curve.unit].append(curve)
    return groups


def row_label(curve: Curve, members: Sequence[Curve]) -> str:
    """The model, and what else tells this curve from the others of its table."""
    subject = subject_label(curve, members)
    named = subject if len({other.model for other in members}) > 1 else model_label(curve, members)
    parts = (named, subject, kind_label(curve, members) if curve.prompt else "")
    return " · ".join(part for part in dict.fromkeys(parts) if part)


def subject_label(curve: Curve, members: Sequence[Curve]) -> str:
    """Model, variant and data, as far as they differ; the model where nothing does, and not where the variant says
    which it is."""
    subjects = {(other.model, other.variant, other.data) for other in members}
    said = len({other.variant for other in members}) > 1 and len(subjects) == len({subject[1:] for subject in subjects})
    parts = [
        own
        for own, others in (
            (model_label(curve, members), set() if said else {other.model for other in members}),
            (curve.variant, {other.variant for other in members}),
            (curve.data, {other.data for other in members}),
        )
        if own and len(others) > 1
    ]
    return " · ".join(parts) or model_label(curve, members)


def model_label(curve: Curve, members: Sequence[Curve]) -> str:
    """A folder's last part, unless another would be called the same; other names as they are."""
    return short_name(curve.model, (other.model for other in members))


def kind_label(curve: Curve, members: Sequence[Curve]) -> str:
    """Prompt kind, condition mode and settings, as far as they differ among the curves with a prompt."""
    prompted = [other for other in members if other.prompt]
    conditions = f"{'no' if curve.condition_mode in (None, 'none') else curve.condition_mode} conditions"
    settings = [
        f"{name.replace('_', ' ')} {value}"
        for name, value in curve.settings.items()
        if len({str(other.settings.get(name, value)) for other in prompted}) > 1
    ]
    parts = (
        curve.prompt if len({other.prompt for other in prompted}) > 1 else None,
        conditions if len({other.condition_mode for other in prompted}) > 1 else None,
        *settings,
    )
    return ", ".join(part for part in parts if part)


def unit_text(unit: str, in_bits: bool = False) -> str:
    """`nats per move` of nats/move; in bits where asked for and where it is a loss."""
    if in_bits and unit.startswith(NATS):
        unit = f"bits/{unit.removeprefix(NATS)}"
    return unit.replace("/", " per ")


def estimate_text(value: float | None, stderr: float | None, signed: bool = False) -> str:
    """`4.2134 ± .0031`: two digits of the error decide how many the value has."""
    if value is None:
        return "-"
    if not stderr:
        return f"{value:+.4g}" if signed else f"{value:.4f}"
    decimals = min(max(1 - math.floor(math.log10(stderr)), 0), 8)
    number = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    return f"{number} ± {stderr:.{decimals}f}".replace("± 0.", "± .")


def group_name(members: Sequence[Curve]) -> str:
    """Experiment, variant and data, as far as all the curves share them: the others name theirs in their rows."""
    first = members[0]
    one_variant = first.variant and len({curve.variant for curve in members}) == 1
    data = f" on {first.data}" if len({curve.data for curve in members}) == 1 else ""
    return first.experiment + (f" ({first.variant})" if one_variant else "") + data
