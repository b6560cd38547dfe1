"""Which test items did a prompt unlock? Each item by its loss a unit with 0 tokens and with the best prompt."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.prompts import chosen_of
from soft_prompts.analysis.readings import Reading
from soft_prompts.common.errors import InputError
from soft_prompts.report.drawing.items import Item, items_scene
from soft_prompts.report.drawing.panels import Look
from soft_prompts.report.drawing.scene import Scene
from soft_prompts.report.labels import unit_text
from soft_prompts.report.page.table import Links
from soft_prompts.report.text import anchor_id, count_text, value_text
from soft_prompts.results.files import read_items
from soft_prompts.stats.items import Items

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DRAWN = 600  # items in a figure: more lie on each other
NAMED = 5  # items that changed most, marked and listed


@dataclass(frozen=True)
class Changed:
    """One of the items that changed most; losses per unit."""

    number: int
    """Place among the held-out items, from 0."""
    cluster: int
    before: str
    after: str
    change: str


@dataclass(frozen=True)
class Unlocked:
    name: str
    scene: Scene
    caption: str
    changed: tuple[Changed, ...]
    bare_href: str
    best_href: str


class _Pair(NamedTuple):
    """Items with a scored unit; losses per unit [N]."""

    before: Floats
    after: Floats
    number: Integers
    cluster: Integers

    @property
    def gain(self) -> Floats:
        return self.before - self.after


def unlocked(reading: Reading, name: str, look: Look, links: Links) -> Unlocked | None:
    """None where either side has no items, or they are not the same ones."""
    runs = _bare_and_best(reading)
    pair = _pair(*runs, reading.curve.unit) if runs else None
    if runs is None or pair is None:
        return None
    bare, best = runs
    most = np.argsort(-np.abs(pair.gain), kind="stable")[:NAMED].tolist()
    count = len(pair.gain)
    drawn = sorted({*most, *np.linspace(0, count - 1, min(DRAWN, count)).astype(int).tolist()})
    items = [_item(pair, at, at in most) for at in drawn]
    unit = unit_text(reading.curve.unit)
    axes = (f"{unit}, 0 tokens", f"{unit}, {count_text(best.tokens, 'token')}")
    file_name = anchor_id(reading.curve.experiment, reading.curve.variant, reading.curve.data, name, "items")
    caption = f"{np.mean(pair.gain > 0):.0%} of {count:,} items became likelier{_half_of_gain(pair)}."
    if len(drawn) < count:
        caption += f" {len(drawn):,} are drawn, evenly over the file and those that changed most."
    scene = items_scene(file_name, f"{name}: items", items, look.role, axes)
    changed = tuple(_changed(pair, at) for at in most)
    return Unlocked(name, scene, caption, changed, links.to(bare.path), links.to(best.path))


def _item(pair: _Pair, at: int, changed: bool) -> Item:
    before, after = float(pair.before[at]), float(pair.after[at])
    change = value_text(after - before, signed=True)
    title = f"item {pair.number[at]}, cluster {pair.cluster[at]}: {value_text(before)} to {value_text(after)}, {change}"
    return Item(before, after, changed, title if changed else "")


def _changed(pair: _Pair, at: int) -> Changed:
    before, after = float(pair.before[at]), float(pair.after[at])
    texts = value_text(before), value_text(after), value_text(after - before, signed=True)
    return Changed(int(pair.number[at]), int(pair.cluster[at]), *texts)


def _bare_and_best(reading: Reading) -> tuple[Run, Run] | None:
    """The bare model's run, and of the chosen prompts the one with the least validation loss; without any, the last."""
    chosen = [point.chosen for point in reading.points if point.value is not None and point.chosen.result.items]
    bare = next((run for run in chosen if run.tokens == 0), None)
    prompted = [run for run in chosen if run.tokens]
    if bare is None or not prompted:
        return None
    best = chosen_of([*reversed(prompted)])
    same = bare.result.data.items_fingerprint == best.result.data.items_fingerprint
    return (bare, best) if same else None


def _pair(bare: Run, best: Run, unit: str) -> _Pair | None:
    try:
        first, second = read_items(bare.path), read_items(best.path)
    except InputError:
        return None  # the curve's own warnings name the file
    units = _units(first, unit)
    if not np.array_equal(units, _units(second, unit)) or not units.any():
        return None
    scored = units > 0
    before, after = (items.loss_nats[scored] / units[scored] for items in (first, second))
    return _Pair(before, after, np.flatnonzero(scored).astype(np.int64), first.cluster[scored])


def _units(items: Items, unit: str) -> Integers:
    return items.scored_tokens if unit == "nats/token" else items.scored_units


def _half_of_gain(pair: _Pair) -> str:
    """How few clusters hold half of the gain, where there is any."""
    names, index = np.unique(pair.cluster, return_inverse=True)
    by_cluster = np.sort(np.bincount(index, weights=pair.gain))[::-1]
    total = by_cluster.sum()
    if total <= 0 or len(names) < 2:
        return ""
    few = int(np.searchsorted(np.cumsum(by_cluster), total / 2)) + 1
    return f"; half of the gain is in {few:,} of {len(names):,} clusters"
