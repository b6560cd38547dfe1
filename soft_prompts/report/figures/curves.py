"""What do shares, losses and brackets of a group look like? Readings in, scenes out: one panel, or one a curve."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from soft_prompts.analysis.points import Point
from soft_prompts.analysis.readings import Reading
from soft_prompts.analysis.scales import Scale
from soft_prompts.report.drawing.forest import NARROW, Row, forest_scene
from soft_prompts.report.drawing.layout import stacked
from soft_prompts.report.drawing.panels import LEFT, Box, Datum, Level, Look, Panel, Series, share_panel
from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.figures.groups import TOGETHER, Group, has_scale
from soft_prompts.report.labels import NATS, unit_text
from soft_prompts.report.text import Number, count_text, interval_text, plain_name, value_text
from soft_prompts.stats.bootstrap import Interval

INTERVAL = 1.96  # standard errors either side: 95 % of a normal distribution
SAME = 1e-3  # relative: ends nearer than this are one line
SHARE, LOSS, CHANGE, SMALL = Box(360, 290), Box(360, 142), Box(360, 148), Box(264, 178)

Links = Callable[[Path], str]


def unlinked(path: Path) -> str:
    """A figure in a file leads nowhere."""
    return ""


def share_scenes(group: Group, links: Links = unlinked) -> list[Scene]:
    """Shares on each curve's leading scale; empty where none has a sound one."""
    scaled = [one for one in group.drawn().singly() if has_scale(one.readings[0]) and _shares(one, links)]
    if not scaled:
        return []
    make = functools.partial(share_panel, f"{group.place}-share", f"{group.title}, share of the skill")
    if len(scaled) <= TOGETHER:
        panel = make(f"share of the skill, {_by(scaled)}", [_shares(one, links)[0] for one in scaled])
        return [_sized(panel, SHARE).scene()]
    return [_sized(make(f"share, {_by([one])}", _shares(one, links)), SMALL, one).scene() for one in scaled]


def _by(scaled: Sequence[Group]) -> str:
    ways = {one.readings[0].lead.by for one in scaled if one.readings[0].lead}
    return f"by {' or '.join(sorted(ways))}"


def loss_scenes(group: Group, links: Links = unlinked) -> list[Scene]:
    """Losses above their paired change from 0 tokens; the change alone where each curve has a panel."""
    drawn = group.drawn()
    if len(drawn.readings) > TOGETHER:
        panels = [_change(one, links) or _loss(one, links) for one in drawn.singly()]
        small = zip(panels, drawn.singly(), strict=True)
        return [_sized(panel, SMALL, one).scene() for panel, one in small]
    if not drawn.readings:
        return []
    loss, change = _loss(drawn, links), _change(drawn, links)
    if change is None:
        return [_sized(loss, SHARE).scene()]
    left = max(loss.room, change.room)
    return [
        stacked(
            [
                _sized(one, size, along=along, left=left).scene()
                for one, size, along in ((loss, LOSS, ""), (change, CHANGE, "prompt tokens"))
            ]
        )
    ]


def bracket_scene(group: Group, links: Links = unlinked, width: Number = NARROW) -> Scene:
    """A row for every curve that has a scale."""
    rows = [
        _row(reading, lead, name, links)
        for reading, name in zip(group.readings, group.names, strict=True)
        if (lead := reading.lead) is not None and has_scale(reading)
    ]
    return forest_scene(f"{group.place}-brackets", rows, width)


def no_scale_names(group: Group) -> list[str]:
    """Curves of the group that no share can be given for."""
    return [name for name, reading in zip(group.names, group.readings, strict=True) if not has_scale(reading)]


def _sized(
    panel: Panel, size: Box, one: Group | None = None, along: str = "prompt tokens", left: Number = LEFT
) -> Panel:
    """In its size; with the name of its only curve above, where it has one."""
    return dataclasses.replace(panel, size=size, along=along, left=left, heading=one.names[0] if one else "")


def _shares(one: Group, links: Links) -> list[Series]:
    reading, name = one.readings[0], one.names[0]
    lead = reading.lead
    if lead is None:
        return []
    doubt = {*lead.half.in_doubt, *lead.nine_tenths.in_doubt}
    data = [
        _datum(point, share, f"{name}, {count_text(point.tokens, 'token')}: share {interval_text(share)}", links)
        for point in reading.points
        if (share := lead.shares.get(point.tokens)) is not None
    ]
    data = [datum._replace(is_sure=datum.tokens not in doubt) for datum in data]
    return [Series(name, one.looks[0], tuple(data))] if data else []


def _datum(point: Point, found: Interval, title: str, links: Links, seeds: Sequence[Number] = ()) -> Datum:
    low, high = (found.value if end is None else end for end in (found.low, found.high))
    return Datum(point.tokens, found.value, low, high, tuple(seeds), title, links(point.chosen.path))


def _loss(group: Group, links: Links) -> Panel:
    first = group.readings[0].curve
    parts = zip(group.readings, group.names, group.looks, strict=True)
    series = tuple(_losses(reading, name, look, links) for reading, name, look in parts)
    title = f"{group.title}, {plain_name(first.metric)}"
    upright = group.unit if first.unit.startswith(NATS) else plain_name(first.metric)
    return Panel(f"{group.place}-loss", title, upright, series, tuple(_levels(group)))


def _losses(reading: Reading, name: str, look: Look, links: Links) -> Series:
    """Chosen prompts with their 95 % interval over items, and each seed of the grid."""
    seeds = {point.tokens: [one.value for one in point.seeds if one.value is not None] for point in reading.curve.curve}
    data = []
    for point in reading.points:
        if point.value is not None:
            spread = INTERVAL * (point.stderr or 0.0)
            found = Interval(point.value, point.value - spread, point.value + spread)
            title = f"{name}, {count_text(point.tokens, 'token')}: {value_text(point.value, point.stderr)}"
            title += f" ± {value_text(spread, point.stderr)}" if spread else ""
            data.append(_datum(point, found, title, links, seeds.get(point.tokens, ())))
    return Series(name, look, tuple(data))


def _levels(group: Group) -> list[Level]:
    """Both ends of the scale by loss; one line and no colour where all the curves share it."""
    levels: list[Level] = []
    for end in ("floor", "ceiling"):
        found: list[tuple[str, Number, Look]] = []
        for reading, look in zip(group.readings, group.looks, strict=True):
            scale: Scale | None = reading.loss
            one = getattr(scale, end) if scale is not None and reading.curve.metric == reading.curve.headline else None
            if one is not None and one.kind != "bare":
                found.append((one.kind, one.value, look))
        values = [value for _, value, _ in found]
        if values and max(values) - min(values) <= SAME * max(map(abs, values)):
            levels.append(Level(found[0][0], values[0]))
        else:
            levels += [Level(kind, value, look.role) for kind, value, look in found]
    return levels


def _change(group: Group, links: Links) -> Panel | None:
    """Paired with the bare model item by item; None where nothing is, or the metric is no loss."""
    if not group.readings[0].curve.unit.startswith(NATS):
        return None
    parts = zip(group.readings, group.names, group.looks, strict=True)
    series = tuple(one for reading, name, look in parts if (one := _changes(reading, name, look, links)) is not None)
    if not series:
        return None
    upright = f"change from 0 tokens, {_unit_of_change(group)}"
    title = f"{group.title}, change from 0 tokens"
    return Panel(f"{group.place}-loss", title, upright, series, (Level("", 0.0),))


def _unit_of_change(group: Group) -> str:
    """With the loss that it starts from, where that is one."""
    reading = group.readings[0]
    bare = next((point.value for point in reading.points if point.tokens == 0), None)
    if len(group.readings) > 1 or bare is None:
        return group.unit
    short = unit_text(reading.curve.unit).split(" per ")[0]
    return f"{short} (from {value_text(bare)})"


def _changes(reading: Reading, name: str, look: Look, links: Links) -> Series | None:
    gains: Mapping[int, Interval] = {point.tokens: point.gain for point in reading.points if point.gain is not None}
    if not any(gains):
        return None
    zero = Interval(0.0, 0.0, 0.0)
    data = []
    for point in reading.points:
        gain = zero if point.tokens == 0 else gains.get(point.tokens)
        if gain is not None:
            low, high = (gain.value if end is None else end for end in (gain.high, gain.low))
            title = f"{name}, {count_text(point.tokens, 'token')}: {value_text(-gain.value, signed=True)}"
            data.append(_datum(point, Interval(-gain.value, -low, -high), title, links))
    return Series(name, look, tuple(data)) if len(data) > 1 else None


def _row(reading: Reading, lead: Scale, name: str, links: Links) -> Row:
    counts = tuple(point.tokens for point in reading.points)
    witness = [lead.witness.get(mark.mark) for mark in (lead.half, lead.nine_tenths)]
    addresses = tuple(links(run.path) if run is not None else "" for run in witness)
    last = links(reading.points[-1].chosen.path) if reading.points else ""
    return Row(name, lead.half, lead.nine_tenths, counts, (addresses[0], addresses[1]), last)
