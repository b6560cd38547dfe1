"""What are models, prompts, units and groups called wherever they are shown?"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from soft_prompts.analysis.losses.curves import Curve, short_names

NATS = "nats/"


def grouped(curves: Iterable[Curve]) -> dict[tuple[Any, ...], list[Curve]]:
    """Curves that share a table or a figure: the same experiment, metric and unit."""
    groups: dict[tuple[Any, ...], list[Curve]] = defaultdict(list)
    for curve in curves:
        groups[curve.experiment, curve.metric, curve.unit].append(curve)
    return groups


class Labels:
    """What tells each of some curves from the others. In what they differ is found once: a table may have thousands."""

    def __init__(self, members: Iterable[Curve]) -> None:
        members = list(members)
        prompted = [curve for curve in members if curve.prompt]
        subjects = {(curve.model, curve.variant, curve.data) for curve in members}
        self.models = {curve.model for curve in members}
        self.variants = {curve.variant for curve in members}
        self.data = {curve.data for curve in members}
        self.variant_says_model = len(self.variants) > 1 and len(subjects) == len({one[1:] for one in subjects})
        self.short = short_names(self.models)
        self.prompts = {curve.prompt for curve in prompted}
        self.condition_modes = {curve.condition_mode for curve in prompted}
        self.settings: dict[str, set[str]] = defaultdict(set)
        for curve in prompted:
            for name, value in curve.settings.items():
                self.settings[name].add(str(value))

    def row(self, curve: Curve) -> str:
        """The model, and what else tells this curve from the others of its table."""
        subject = self.subject(curve)
        named = subject if len(self.models) > 1 else self.model(curve)
        parts = (named, subject, self.kind(curve))
        return " · ".join(part for part in dict.fromkeys(parts) if part)

    def subject(self, curve: Curve) -> str:
        """Model, variant and data, as far as they differ; the model where nothing does, and not where the variant says
        which it is."""
        parts = (
            self.model(curve) if len(self.models) > 1 and not self.variant_says_model else None,
            curve.variant if len(self.variants) > 1 else None,
            curve.data if len(self.data) > 1 else None,
        )
        return " · ".join(part for part in parts if part) or self.model(curve)

    def model(self, curve: Curve) -> str:
        """A folder's last part, unless another would be called the same; other names as they are."""
        return self.short[curve.model]

    def kind(self, curve: Curve) -> str:
        """Prompt kind, condition mode and settings, as far as they differ among the curves with a prompt; nothing
        without one."""
        if not curve.prompt:
            return ""
        conditions = f"{'no' if curve.condition_mode in (None, 'none') else curve.condition_mode} conditions"
        parts = (
            curve.prompt if len(self.prompts) > 1 else None,
            conditions if len(self.condition_modes) > 1 else None,
            *(
                f"{name.replace('_', ' ')} {value}"
                for name, value in curve.settings.items()
                if len(self.settings[name]) > 1
            ),
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
