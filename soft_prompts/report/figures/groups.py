"""Which curves belong into one figure, what are they called there, and how do they look?"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from soft_prompts.analysis.readings import Reading
from soft_prompts.report.drawing.panels import Look, look_of
from soft_prompts.report.labels import Labels, group_name, unit_text
from soft_prompts.report.text import anchor_id, plain_name

TOGETHER = 6  # curves in one panel: more have a panel each


@dataclass(frozen=True)
class Group:
    """Readings of one experiment, metric and unit."""

    readings: tuple[Reading, ...]
    names: tuple[str, ...]
    looks: tuple[Look, ...]

    @property
    def place(self) -> str:
        """Its name in addresses and file names."""
        first = self.readings[0].curve
        return anchor_id(first.experiment, first.metric if first.metric != first.headline else None)

    @property
    def title(self) -> str:
        return plain_name(group_name([reading.curve for reading in self.readings]))

    @property
    def unit(self) -> str:
        return unit_text(self.readings[0].curve.unit)

    def drawn(self) -> "Group":
        """Those with values at two token counts or more: a bare model alone makes no curve."""
        parts = zip(self.readings, self.names, self.looks, strict=True)
        kept = [part for part in parts if len(valued(part[0])) > 1]
        readings, names, looks = zip(*kept, strict=True) if kept else ((), (), ())
        return Group(readings, names, looks)

    def singly(self) -> "list[Group]":
        """One group a curve."""
        parts = zip(self.readings, self.names, self.looks, strict=True)
        return [Group((reading,), (name,), (look,)) for reading, name, look in parts]


def groups_of(readings: Sequence[Reading]) -> list[Group]:
    found: dict[tuple[str, str, str], list[Reading]] = defaultdict(list)
    for reading in readings:
        found[reading.curve.experiment, reading.curve.metric, reading.curve.unit].append(reading)
    return [_group(members) for members in found.values()]


def valued(reading: Reading) -> list[int]:
    """Token counts that have a value."""
    return [point.tokens for point in reading.points if point.value is not None]


def has_scale(reading: Reading) -> bool:
    """Whether its shares are of a sound scale from outside."""
    return reading.lead is not None and reading.lead.sound


def _group(members: Sequence[Reading]) -> Group:
    curves = [reading.curve for reading in members]
    return Group(tuple(members), tuple(map(Labels(curves).row, curves)), _looks(members))


def _looks(members: Sequence[Reading]) -> tuple[Look, ...]:
    """Curves that are drawn come first, so that no two of them look alike; of the metric that verdicts are about, those
    without a scale are grey."""
    counted = {True: 0, False: 0}
    looks: dict[int, Look] = {}
    for place, reading in sorted(enumerate(members), key=lambda one: len(valued(one[1])) < 2):
        is_coloured = has_scale(reading) or reading.curve.metric != reading.curve.headline
        looks[place] = look_of(counted[is_coloured], is_coloured)
        counted[is_coloured] += 1
    return tuple(looks[place] for place in range(len(members)))
