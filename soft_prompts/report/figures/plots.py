"""How does a comparison look? Loss against prompt tokens, all models on one axis, and beside it each model's own gain.

A model that lacks the skill and one that has it lie far apart on a shared axis, and the second looks flat. So each
model also has a small panel with an axis of its own: its differences to 0 tokens, paired on the same items.
"""

import io
import math
import operator
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from soft_prompts.analysis.comparison import Comparison
from soft_prompts.analysis.curves import Curve
from soft_prompts.common.errors import InputError
from soft_prompts.common.files import write_atomically
from soft_prompts.report.labels import (
    NATS,
    estimate_text,
    group_name,
    grouped,
    kind_label,
    model_label,
    subject_label,
    unit_text,
)
from soft_prompts.stats.paired import SeedValue

INTERVAL = 1.96  # standard errors either side: 95 % of a normal distribution
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito, 2008
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 2, 1, 2)))
INK, GREY, RULE = "#222222", "#666666", "#E4E4E4"
PANELS_A_COLUMN = 3
MOST_LETTERS = 32  # of a name beside a line
LABELLED_DIRECTLY = 6  # more curves than this are named in a legend


class CurveFigure(Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=80)
        return buffer.getvalue()


class Style(NamedTuple):
    colour: str
    marker: str
    line: str | tuple[int, tuple[float, ...]]


def curve_figure(comparison: Comparison) -> Figure:
    """A row of panels for every experiment and metric; raises InputError where no curve has a value."""
    groups = [members for members in map(_with_values, grouped(comparison.curves).values()) if members]
    if not groups:
        raise InputError("no result has a value to draw; the warnings of `compare` without --plot say why")
    columns = max(math.ceil(len(_panels(members)) / PANELS_A_COLUMN) for members in groups)
    heights = [5.6 if len(_panels(members)) < PANELS_A_COLUMN else 6.6 for members in groups]
    figure = CurveFigure(figsize=(7.2 + 3.9 * columns, sum(heights)), facecolor="white")
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.14, h_pad=0.12)
    rows = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for row, members in zip(rows, groups, strict=True):
        _draw_group(row, members)
    return figure


def write_figure(figure: Figure, path: Path) -> None:
    """PNG, SVG or PDF by the file's suffix, whole or not at all."""
    kind = path.suffix.lower().removeprefix(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=200, metadata=undated)
    write_atomically(path, buffer.getvalue())


def _with_values(members: list[Curve]) -> list[Curve]:
    return [curve for curve in members if any(point.value is not None for point in curve.curve)]


def _panels(members: Sequence[Curve]) -> list[str]:
    """Subjects with paired differences to 0 tokens, each worth a panel of its own."""
    paired = (curve for curve in members if any(pair.against == 0 for pair in curve.paired))
    return list(dict.fromkeys(subject_label(curve, members) for curve in paired))


def _name(curve: Curve, members: Sequence[Curve]) -> str:
    """What a curve's colour stands for: its subject, or its prompt kind where all the curves share one subject."""
    alone = len({subject_label(other, members) for other in members}) == 1
    return (kind_label(curve, members) if alone and curve.prompt else "") or subject_label(curve, members)


def _kinds(members: Sequence[Curve]) -> list[str]:
    """Prompt kinds and condition modes that a line style stands for, true ones first; none where a colour does."""
    if len({subject_label(curve, members) for curve in members}) == 1:
        return []
    prompted = sorted((curve for curve in members if curve.prompt), key=lambda curve: curve.condition_mode != "true")
    return list(dict.fromkeys(kind_label(curve, members) for curve in prompted))


def _styles(members: Sequence[Curve]) -> list[Style]:
    """A colour and marker a subject, a line style a prompt kind and condition mode."""
    names, kinds = list(dict.fromkeys(_name(curve, members) for curve in members)), _kinds(members)
    styles = []
    for curve in members:
        name = names.index(_name(curve, members))
        kind = kinds.index(kind_label(curve, members)) if curve.prompt and kinds else 0
        styles.append(Style(COLOURS[name % len(COLOURS)], MARKERS[name % len(MARKERS)], LINES[kind % len(LINES)]))
    return styles


def _draw_group(row: SubFigure, members: list[Curve]) -> None:
    styles, panels = _styles(members), _panels(members)
    columns = math.ceil(len(panels) / PANELS_A_COLUMN)
    rows = math.ceil(len(panels) / columns) if columns else 1
    row.suptitle(
        textwrap.fill(_title(members), 44 + 26 * columns), x=0.014, ha="left", fontsize=16, fontweight="bold", color=INK
    )
    row.supxlabel(_note(members), x=0.014, ha="left", fontsize=9, color=GREY)
    grid = row.add_gridspec(rows, 1 + columns, width_ratios=[6.4] + [3.6] * columns)
    main = row.add_subplot(grid[:, 0])
    _draw_losses(main, members, styles)
    for number, panel in enumerate(panels):
        axes = row.add_subplot(grid[number % rows, 1 + number // rows])
        pairs = zip(members, styles, strict=True)
        chosen = [(curve, style) for curve, style in pairs if subject_label(curve, members) == panel]
        _draw_differences(axes, chosen, panel)
        if number % rows == rows - 1 or number == len(panels) - 1:
            axes.set_xlabel("prompt tokens", color=GREY, fontsize=10)


def _draw_losses(axes: Axes, members: list[Curve], styles: list[Style]) -> None:
    for curve, style in zip(members, styles, strict=True):
        points = [point for point in curve.curve if point.value is not None]
        _draw_line(axes, [(point.tokens, point.value or 0.0, point.stderr) for point in points], style)
        for point in points:
            _draw_seeds(axes, point.tokens, point.seeds, style)
    _dress(axes, {point.tokens for curve in members for point in curve.curve}, 0.025)
    axes.set_xlabel("prompt tokens", color=INK, fontsize=11)
    unit = members[0].unit
    name = members[0].metric.replace("_", " ").capitalize()
    several = len({curve.model for curve in members}) > 1
    axes.set_title(
        f"{name}, all models" if several else f"{name} of {_short(model_label(members[0], members))}",
        loc="left",
        fontsize=11,
        fontweight="bold",
        color=INK,
    )
    axes.set_ylabel(unit_text(unit), color=INK, fontsize=10.5)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    if unit.startswith(NATS):
        bits = axes.secondary_yaxis("right", functions=(_to_bits, _to_nats))  # pyright: ignore[reportArgumentType]
        bits.set_ylabel(unit_text(unit, in_bits=True), color=GREY, fontsize=10)
        bits.tick_params(colors=GREY, labelsize=9.5, length=0)
        bits.spines["right"].set_visible(False)
    _name_curves(axes, members, styles)


def _draw_differences(axes: Axes, curves: list[tuple[Curve, Style]], panel: str) -> None:
    """One subject's paired differences to 0 tokens, on an axis of its own."""
    axes.axhline(0, color=GREY, linewidth=0.9, zorder=1)
    counts = {0}
    for curve, style in curves:
        pairs = [pair for pair in curve.paired if pair.against == 0]
        _draw_line(axes, [(0, 0.0, None), *((pair.tokens, pair.value, pair.stderr) for pair in pairs)], style)
        counts |= {pair.tokens for pair in pairs}
    _dress(axes, counts, 0.025)
    first, style = curves[0]
    axes.margins(y=0.18)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    name = _short(panel)
    colour = style.colour if len(curves) == 1 else INK
    axes.set_title(name, loc="left", fontsize=11, fontweight="bold", color=colour, pad=6)
    axes.set_ylabel(f"change from 0 tokens\n({unit_text(first.unit)})", color=GREY, fontsize=9.5)
    last = [pair for pair in first.paired if pair.against == 0][-1:]
    for pair in last if len(curves) == 1 and len(name) <= 14 else ():
        count = "1 token" if pair.tokens == 1 else f"{pair.tokens} tokens"
        text = f"{count}: {estimate_text(pair.value, pair.stderr, signed=True)}"
        axes.set_title(text.replace("-", "\N{MINUS SIGN}"), loc="right", fontsize=9.5, color=GREY, pad=6)


def _draw_line(axes: Axes, points: Sequence[tuple[int, float, float | None]], style: Style) -> None:
    places = [_place(tokens) for tokens, _, _ in points]
    axes.errorbar(
        places,
        [value for _, value, _ in points],
        yerr=[INTERVAL * (stderr or 0.0) for _, _, stderr in points],
        color=style.colour,
        linestyle=style.line,
        marker=style.marker,
        linewidth=1.9,
        markersize=6.5,
        markeredgecolor="white",
        markeredgewidth=1.0,
        elinewidth=1.3,
        capsize=3.5,
        capthick=1.3,
        zorder=3,
    )


def _draw_seeds(axes: Axes, tokens: int, seeds: Sequence[SeedValue], style: Style) -> None:
    values = [seed.value for seed in seeds if seed.value is not None]
    if len(values) > 1:
        axes.plot([_place(tokens)] * len(values), values, ".", color=style.colour, alpha=0.45, markersize=5, zorder=2)


def _place(tokens: int) -> float:
    """Where a token count stands: doublings are equal steps, and 0 has a place."""
    return math.log2(tokens + 1)


def _dress(axes: Axes, counts: Iterable[int], letter: float) -> None:
    """Ticks at the token counts themselves, light rules, no box; `letter`: a letter's share of the axis' width."""
    ticks = sorted(counts)
    axes.set_xticks([_place(tokens) for tokens in ticks], _tick_names(ticks, letter))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(-0.25, _place(max(ticks)) + 0.25)
    axes.grid(axis="y", color=RULE, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, labelsize=9.5, length=0)
    axes.tick_params(axis="x", length=3.5, color=GREY)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GREY)


def _tick_names(ticks: list[int], letter: float) -> list[str]:
    """The token counts, but for those that would run into a larger one or into 0."""
    names, span = [f"{tokens:,}" for tokens in ticks], _place(ticks[-1]) or 1.0
    kept = [len(ticks) - 1]
    for index in range(len(ticks) - 2, -1, -1):
        neighbours = (kept[-1], 0) if index else (kept[-1],)
        distances = (abs(_place(ticks[index]) - _place(ticks[other])) / span for other in neighbours)
        widths = (letter * ((len(names[index]) + len(names[other])) / 2 + 1) for other in neighbours)
        if index == 0 or all(map(operator.ge, distances, widths)):
            kept.append(index)
    return [name if index in kept else "" for index, name in enumerate(names)]


def _name_curves(axes: Axes, members: list[Curve], styles: list[Style]) -> None:
    """Each colour's name beside the end of its line; a legend for the line styles, and for the colours where many."""
    models = dict(zip((_name(curve, members) for curve in members), styles, strict=True))
    lines = [(name, {"color": GREY, "linestyle": line}) for name, line in zip(_kinds(members), LINES, strict=False)]
    lines = lines if len(lines) > 1 else []
    if len(models) > LABELLED_DIRECTLY:
        lines += [(_short(model), {"color": style.colour, "marker": style.marker}) for model, style in models.items()]
    if lines:
        handles = [Line2D([], [], **look) for _, look in lines]
        names = [name for name, _ in lines]
        below = {"loc": "upper left", "bbox_to_anchor": (0, -0.14)} if len(models) > LABELLED_DIRECTLY else {}
        axes.legend(handles, names, frameon=False, fontsize=9.5, ncols=2, labelcolor=GREY, handlelength=2.8, **below)
    if len(models) <= LABELLED_DIRECTLY:
        _label_models(axes, members, models)


def _label_models(axes: Axes, members: list[Curve], models: Mapping[str, Style]) -> None:
    """Names right of the lowest end of each colour, moved apart where two would touch."""
    ends: dict[str, tuple[float, int]] = {}
    for curve in members:
        last = next(point for point in reversed(curve.curve) if point.value is not None)
        name = _name(curve, members)
        ends[name] = min(ends.get(name, (math.inf, 0)), (last.value or 0.0, last.tokens))
    low, high = axes.get_ylim()
    heights = _apart([value for value, _ in ends.values()], 0.055 * (high - low))
    left, right = axes.get_xlim()
    room = min(0.05 + 0.015 * max(len(_short(model)) for model in ends), 0.5)  # share of the width that names take
    axes.set_xlim(left, left + (right - left) / (1 - room))
    for (model, (_, tokens)), height in zip(ends.items(), heights, strict=True):
        place = (_place(tokens) + 0.03 * (right - left), height)
        axes.annotate(_short(model), place, color=models[model].colour, fontsize=10.5, fontweight="bold", va="center")


def _short(model: str) -> str:
    """The model's own name, without owner or folders."""
    name = model.rstrip("/").split("/")[-1]
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _apart(heights: list[float], gap: float) -> list[float]:
    """The heights, pushed upward where one is less than `gap` above the one below it."""
    moved = list(heights)
    below = -math.inf
    for index in sorted(range(len(heights)), key=heights.__getitem__):
        moved[index] = below = max(heights[index], below + gap)
    return moved


def _title(members: Sequence[Curve]) -> str:
    what = group_name(members).split(" on ")[0].replace("_", " ")
    return f"How many soft-prompt tokens does {what} take?"


def _note(members: Sequence[Curve]) -> str:
    seeds = max(len(point.seeds) for curve in members for point in curve.curve)
    errors = f"items and {seeds} seeds" if seeds > 1 else "items (one seed)"
    data = ", ".join(dict.fromkeys(curve.data for curve in members))
    note = f"Held-out {data}. Bars: 95 % intervals over {errors}."
    return f"{note} Small panels: differences paired on the same items." if _panels(members) else note


def _to_bits(nats: NDArray[np.float64]) -> NDArray[np.float64]:
    return nats / math.log(2)


def _to_nats(bits: NDArray[np.float64]) -> NDArray[np.float64]:
    return bits * math.log(2)
