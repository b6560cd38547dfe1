"""Which curves belong into one figure, and what do their losses and shares look like? Readings in, charts out."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from soft_prompts.analysis.curves import Point
from soft_prompts.analysis.drafts import Run
from soft_prompts.analysis.readings import Reading
from soft_prompts.report.drawing.charts import Chart, Datum, Drop, Extra, Level, Look, Series, look_of
from soft_prompts.report.labels import row_label, unit_text
from soft_prompts.report.page.paper import paper, published
from soft_prompts.report.page.table import Links
from soft_prompts.report.page.text import Number, count_text, plain_name, tokens_text, value_text
from soft_prompts.results.roles import (
    ANCHOR,
    Exact,
    FewShot,
    FullFineTune,
    HardPrompt,
    Lora,
    NoSkill,
    Placebo,
    PlaceboBos,
)
from soft_prompts.stats.admissibility import SELF

INTERVAL = 1.96  # standard errors either side: 95 % of a normal distribution
SAME = 1e-3  # relative: anchors nearer than this are one line
UPPER = {Exact.kind: "exact", Lora.kind: "LoRA", FullFineTune.kind: "full fine-tune"}
LEVELS = {NoSkill.kind: "no skill", FewShot.kind: "few-shot", **UPPER}
EXTRAS = {
    Placebo.kind: ("random tokens", "triangle"),
    PlaceboBos.kind: ("BOS tokens", "square"),
    HardPrompt.kind: ("hard prompt", "diamond"),
}


def grouped_readings(readings: Sequence[Reading]) -> list[tuple[Reading, ...]]:
    """Readings that share a section: the same experiment, metric and unit."""
    groups: dict[tuple[str, str, str], list[Reading]] = defaultdict(list)
    for reading in readings:
        groups[reading.curve.experiment, reading.curve.metric, reading.curve.unit].append(reading)
    return [tuple(members) for members in groups.values()]


def names_of(members: Sequence[Reading]) -> list[str]:
    """What tells each reading from the others of its section."""
    curves = [reading.curve for reading in members]
    return [row_label(curve, curves) for curve in curves]


def looks_of(members: Sequence[Reading]) -> list[Look]:
    return [look_of(number) for number in range(len(members))]


def metric_value(run: Run, name: str) -> float | None:
    metric = run.result.metrics.get(name)
    return None if metric is None else metric.value


def loss_chart(members: Sequence[Reading], name: str, links: Links) -> Chart | None:
    """Losses with 95 % bands; None where no run has a value."""
    names, looks = names_of(members), looks_of(members)
    series = [_losses(*triple, links) for triple in zip(members, names, looks, strict=True)]
    if not any(one.data for one in series):
        return None
    first = members[0].curve
    title = f"{plain_name(first.experiment)}: {plain_name(first.metric)}".capitalize()
    pairs = list(zip(members, looks, strict=True))
    return Chart(
        f"{name}-loss",
        title,
        unit_text(first.unit),
        tuple(one for one in series if one.data),
        tuple(_levels(pairs)),
        extras=tuple(extra for reading, look in pairs for extra in _extras(reading, look, links)),
    )


def _losses(reading: Reading, name: str, look: Look, links: Links) -> Series:
    points = [point for point in reading.curve.curve if point.value is not None]
    data = tuple(_datum(reading, point, name, links) for point in points)
    best = {point.tokens: point.best for point in reading.distance.points} if reading.distance else {}
    running = tuple(best.get(datum.tokens, datum.value) for datum in data)
    differs = any(abs(low - one.value) > SAME * abs(one.value) for low, one in zip(running, data, strict=True))
    return Series(name, look, data, running if differs else ())


def _datum(reading: Reading, point: Point, name: str, links: Links) -> Datum:
    runs = [run for run in reading.runs if run.tokens == point.tokens]
    value, spread = point.value or 0.0, INTERVAL * (point.stderr or 0.0)
    seeds = tuple(seed.value for seed in point.seeds if seed.value is not None)
    text = f"{name}, {count_text(point.tokens, 'token')}: {value_text(value, point.stderr)}"
    text += f" ± {value_text(spread, point.stderr)}" if spread else ""
    parameters = next((run.result.prompt.parameters or 0 for run in runs), 0) if point.tokens else 0
    href = links.to(runs[0].path) if runs else ""
    return Datum(point.tokens, parameters, value, value - spread, value + spread, seeds, text, href)


def _levels(pairs: Sequence[tuple[Reading, Look]]) -> list[Level]:
    """Anchors as lines; one line and no colour where all the curves share it."""
    levels: list[Level] = []
    for role, name in LEVELS.items():
        found = [(value, look) for reading, look in pairs if (value := anchor_value(reading, role)) is not None]
        if not found:
            continue
        values = [value for value, _ in found]
        if max(values) - min(values) <= SAME * max(map(abs, values)):
            levels.append(Level(name, values[0]))
        else:
            levels += [Level(name, value, look.role) for value, look in found]
    return levels


def anchor_value(reading: Reading, role: str) -> float | None:
    """Loss of an anchor: the one that the distance used, else the least of its runs."""
    if reading.distance is not None:
        anchors = reading.distance.anchors
        used = {NoSkill.kind: anchors.no_skill, f"{ANCHOR}{reading.distance.saturation}": anchors.saturation}
        if used.get(role) is not None:
            return used[role]
    values = [metric_value(run, reading.curve.metric) for run in reading.anchors.get(role, ())]
    return min((value for value in values if value is not None), default=None)


def _extras(reading: Reading, look: Look, links: Links) -> list[Extra]:
    """Placebos at the median of their draws, hard prompts at the best found."""
    extras = []
    for role, (name, marker) in EXTRAS.items():
        by_tokens: dict[int, list[tuple[float, Run]]] = defaultdict(list)
        for run in reading.anchors.get(role, ()):
            if (value := metric_value(run, reading.curve.metric)) is not None:
                by_tokens[run.tokens].append((value, run))
        for tokens, found in sorted(by_tokens.items()):
            losses = [value for value, _ in found]
            shown = min(losses) if role == HardPrompt.kind else median(losses)
            nearest = min(found, key=lambda one: abs(one[0] - shown))[1]
            title = f"{name}, {count_text(tokens, 'token')}: {value_text(shown)}"
            extras.append(Extra(tokens, shown, look.role, marker, title, links.to(nearest.path)))
    return extras


def share_chart(members: Sequence[Reading], name: str, links: Links) -> Chart | None:
    """Share of the gap by the running minimum, with the distances dropped to the axis; None without a distance."""
    series, drops = [], []
    for reading, label, look in zip(members, names_of(members), looks_of(members), strict=True):
        if reading.distance is None or reading.distance.auc.value is None:
            continue
        series.append(Series(label, look, _shares(reading, label, links)))
        for mark in (reading.distance.d_50, reading.distance.d_90):
            if mark.value is not None and not mark.censored:
                drops.append(Drop(mark.value, mark.mark, look.role))
    if not series:
        return None
    title = f"{plain_name(members[0].curve.experiment)}: share of the gap".capitalize()
    levels = (Level("half", 0.5), Level("nine tenths", 0.9))
    return Chart(f"{name}-share", title, "share of the gap", tuple(series), levels, tuple(drops))


def _shares(reading: Reading, name: str, links: Links) -> tuple[Datum, ...]:
    data = []
    for point in reading.distance.points if reading.distance else ():
        value, low, high = point.share
        if value is None:
            continue
        runs = [run for run in reading.runs if run.tokens == point.tokens]
        parameters = next((run.result.prompt.parameters or 0 for run in runs), 0) if point.tokens else 0
        low, high = value if low is None else low, value if high is None else high
        text = f"{name}, {count_text(point.tokens, 'token')}: share {value:.3f} [{low:.3f}, {high:.3f}]"
        data.append(Datum(point.tokens, parameters, value, low, high, (), text, links.to(runs[0].path) if runs else ""))
    return tuple(data)


def paper_chart(members: Sequence[Reading], name: str, links: Links) -> Chart | None:
    """Our losses a token beside the published ones; None where no curve has a published one."""
    series = []
    for reading, label in zip(members, names_of(members), strict=True):
        theirs = published(reading.curve)
        if theirs is None:
            continue
        data = tuple(_ours(reading, point.tokens, label, links) for point in reading.curve.curve)
        series.append(Series(f"{label}, here", look_of(len(series)), tuple(datum for datum in data if datum)))
        named = f"{label}, published"
        points = tuple(
            Datum(tokens, 0, loss, loss - INTERVAL * stderr, loss + INTERVAL * stderr, (), _published(named, loss), "")
            for tokens, loss, stderr in theirs.points
        )
        series.append(Series(named, look_of(len(series))._replace(dash=(4, 3)), points))
    series = [one for one in series if one.data]
    title = f"{plain_name(members[0].curve.experiment)}: beside the paper".capitalize()
    return Chart(f"{name}-paper", title, "nats per token", tuple(series)) if len(series) > 1 else None


def _published(name: str, loss: Number) -> str:
    return f"{name}: {value_text(loss)} ({paper().source})"


def _ours(reading: Reading, tokens: int, name: str, links: Links) -> Datum | None:
    runs = [run for run in reading.runs if run.tokens == tokens]
    values = [value for run in runs if (value := metric_value(run, "test_loss")) is not None]
    if not values:
        return None
    mean, stderr = sum(values) / len(values), runs[0].result.metrics["test_loss"].stderr or 0.0
    ends = mean - INTERVAL * stderr, mean + INTERVAL * stderr
    return Datum(
        tokens, 0, mean, *ends, tuple(values), f"{name}, {tokens} tokens: {value_text(mean)}", links.to(runs[0].path)
    )


def share_caption(members: Sequence[Reading]) -> str:
    """What the shares of a section are shares of."""
    distances = [reading.distance for reading in members if reading.distance]
    references = {distance.reference for distance in distances}
    ends = list(dict.fromkeys(distance.saturation for distance in distances))
    start = "the no-skill anchor" if references == {"no_skill"} else "the bare model"
    start = "the bare model or the no-skill anchor" if len(references) > 1 else start
    end = " or ".join("the least loss seen" if end == SELF else f"the upper anchor ({end})" for end in ends)
    most = max((point.tokens for distance in distances for point in distance.points), default=0)
    return f"0 is {start}, 1 is {end}. Best prompt of at most so many tokens, up to {tokens_text(most)}."
