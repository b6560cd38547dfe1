"""How many prompt tokens does it take to close half, or nine tenths, of the gap? Losses of runs in, a distance out.

    L(P)    loss per unit of the best prompt found at P tokens: the seed is chosen on validation, else cross-fitted
    L0      the bare model;  Lns  best predictor without the skill;  Lsat  upper anchor;  Lplc  untrained random tokens
    share   (Lns - L(P)) / (Lns - Lsat) with reference "no_skill", (L0 - L(P)) / (L0 - Lsat) with reference "zero"
    d_50    least P with share >= .5, linear in log2(P + 1) between token counts; d_90 likewise; inf where censored
    AUC     integral of the share over log2(P + 1), divided by log2(Pmax + 1)
    gain    L0 - L(P)

L(P) in share, d, AUC, gain and fit is the running minimum: the best prompt of at most P tokens, the bare model among
them. The raw losses stand beside it. Intervals hold 95 % of the bootstrap's draws (soft_prompts/stats/bootstrap.py).
A trained prompt that is not found looks like distance: each number is an upper bound.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from soft_prompts.stats.admissibility import NOTHING_KNOWN, SELF, Evidence, censoring_reason, failed_rules
from soft_prompts.stats.bootstrap import (
    Anchor,
    Choice,
    CurveLosses,
    anchor_losses,
    best_of_seeds,
    drawn_seeds,
    resample,
)
from soft_prompts.stats.shares import Counts, Fit, Floats, area, first_reaching, fitted, share_of

Reference = Literal["no_skill", "zero"]

NO_GAP = "no gap"
PLACEBO = "placebo"

DRAWS = 1_000
TAIL = 0.025  # of the draws on either side of an interval
LEAST_GAP = 3  # standard errors; a smaller gap has no share


@dataclass(frozen=True)
class Anchors:
    no_skill: Anchor | None = None
    """Lns; wanted by the reference "no_skill"."""
    saturation: Anchor | None = None
    """Lsat, named exact, full or lora; None: self. Of several seeds the best is chosen as for prompts."""
    placebos: tuple[Anchor, ...] = ()
    """Lplc(1), random tokens or BOS, each the median of its draws; the lowest counts."""
    zero: Anchor | None = None
    """L0, where the runs have none of 0 tokens on these items."""


class Interval(NamedTuple):
    value: float | None
    low: float | None
    high: float | None


class Anchored(NamedTuple):
    """Losses per unit that the shares are made from."""

    zero: float | None
    no_skill: float | None
    saturation: float


@dataclass(frozen=True, eq=False)
class Mark:
    """Tokens at which the share reaches `mark`. An end of None is beyond the largest count tried."""

    mark: float
    value: float | None
    low: float | None
    """Of the interval; of a censored value the largest count tried."""
    high: float | None
    censored: bool = False
    reason: str | None = None
    """CEILING, OPTIMISER, CONTEXT or BUDGET where it is censored; "no gap" where there is no value for that reason."""
    note: str | None = None
    """"placebo": untrained tokens reach the share already."""
    low_of_draws: float | None = None
    """Where 95 % of the draws begin: below `low` where the value is censored and some draws are not."""
    censored_draws: float = 0.0
    """Share of the bootstrap's draws in which it is censored."""
    draws: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    """[D] inf where censored, NaN where a draw had no gap."""

    def to_json(self) -> dict[str, Any]:
        names = ("value", "low", "high", "censored", "reason", "note", "low_of_draws", "censored_draws")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class SharePoint:
    tokens: int
    loss: float | None
    """Of the prompt chosen at this token count; None where it has no run."""
    best: float
    """Running minimum of these."""
    share: Interval
    gain: Interval
    """Nats per unit under the bare model, by the running minimum."""
    gain_bits: float | None


@dataclass(frozen=True, eq=False)
class Distance:
    reference: Reference
    saturation: str
    anchors: Anchored
    d_50: Mark
    d_90: Mark
    auc: Interval
    points: tuple[SharePoint, ...]
    fit: Fit | None
    failed_rules: tuple[str, ...]
    """Of admissibility: the rules that this distance does not keep."""
    warnings: tuple[str, ...]

    @property
    def admissible(self) -> bool:
        return not self.failed_rules

    @property
    def gap(self) -> float:
        """Nats per unit between where the shares start and where they end."""
        return self.start - self.anchors.saturation

    @property
    def start(self) -> float:
        """Loss of share 0: Lns or L0, as the reference says."""
        loss = self.anchors.no_skill if self.reference == "no_skill" else self.anchors.zero
        return math.nan if loss is None else loss

    def share(self, loss: float) -> float:
        """Of a loss per unit on the same items."""
        return (self.start - loss) / self.gap

    def to_json(self) -> dict[str, Any]:
        points = [vars(point) | {"share": point.share._asdict(), "gain": point.gain._asdict()} for point in self.points]
        return {
            "reference": self.reference,
            "saturation": self.saturation,
            "anchors": self.anchors._asdict(),
            "d_50": self.d_50.to_json(),
            "d_90": self.d_90.to_json(),
            "auc": self.auc._asdict(),
            "points": points,
            "fit": None if self.fit is None else self.fit._asdict(),
            "admissible": self.admissible,
            "failed_rules": list(self.failed_rules),
            "warnings": list(self.warnings),
        }


class _Drawn(NamedTuple):
    """Row 0 the data, then the draws; losses per unit."""

    tokens: Counts  # [K]
    raw: Floats  # [K] of the data
    best: Floats  # [R, K]
    zero: Floats | None  # [R]
    no_skill: Floats | None  # [R]
    end: Floats  # [R]
    placebo: Floats | None  # [R]


def capability_distance(
    losses: CurveLosses,
    anchors: Anchors,
    reference: Reference = "no_skill",
    evidence: Evidence = NOTHING_KNOWN,
    draws: int = DRAWS,
) -> Distance:
    """Distance, shares, gains and fit of one curve. Equal losses give equal numbers: all draws are seeded.

    Raises ValueError where the loss that the reference stands for is not given.
    """
    drawn = _draw(losses, anchors, draws)
    start = drawn.no_skill if reference == "no_skill" else drawn.zero
    if start is None:
        missing = "a no-skill anchor" if reference == "no_skill" else "a run of 0 tokens or a zero anchor"
        raise ValueError(f"reference is {reference}; give {missing}, or take the other reference")
    gaps = start - drawn.end
    has_gap = bool(gaps[0] > 0 and gaps[0] >= LEAST_GAP * np.nanstd(gaps[1:]))
    shares = share_of(drawn.best, start, drawn.end)
    placebo = None if drawn.placebo is None else share_of(drawn.placebo[:, None], start, drawn.end)[:, 0]
    d_50, d_90 = (
        _mark(shares, drawn.tokens, mark, placebo) if has_gap else Mark(mark, None, None, None, reason=NO_GAP)
        for mark in (0.5, 0.9)
    )
    saturation = SELF if anchors.saturation is None else anchors.saturation.name
    auc = _interval(area(shares, drawn.tokens)) if has_gap else Interval(None, None, None)
    distance = Distance(
        reference,
        saturation,
        Anchored(_first(drawn.zero), _first(drawn.no_skill), float(drawn.end[0])),
        d_50,
        d_90,
        auc,
        _points(drawn, shares),
        fitted(shares[0], drawn.tokens) if has_gap else None,
        (),
        _warnings(losses, drawn, float(np.mean(~(gaps[1:] > 0))) if has_gap else 0.0),
    )
    return judged(distance, evidence)


def judged(distance: Distance, evidence: Evidence) -> Distance:
    """The same distance, with what the evidence says of it: why a mark is censored, which rules it does not keep."""
    shares = np.array([np.nan if point.share.value is None else point.share.value for point in distance.points])
    tokens = np.array([point.tokens for point in distance.points])

    def said(mark: Mark) -> Mark:
        return replace(mark, reason=censoring_reason(shares, tokens, evidence)) if mark.censored else mark

    failed = failed_rules(distance.saturation, distance.anchors.no_skill, distance.gap, evidence)
    return replace(distance, d_50=said(distance.d_50), d_90=said(distance.d_90), failed_rules=failed)


def _draw(losses: CurveLosses, anchors: Anchors, draws: int) -> _Drawn:
    counts = sorted(tokens for tokens, runs in losses.by_tokens.items() if runs)
    seeds = sorted({seed for tokens in counts if tokens for seed in losses.by_tokens[tokens]}) or [0]
    absent = np.full(len(losses.units), np.nan)
    columns = []
    for tokens in counts:
        runs = losses.by_tokens[tokens]
        columns += [runs.get(seed, absent) if tokens else next(iter(runs.values())) for seed in seeds]
    present = drawn_seeds(len(seeds), draws, columns)
    resampled = resample(columns, losses.units, losses.cluster, draws)
    zero = None if counts[0] == 0 else _median(anchors.zero, losses, draws)
    raw, best = best_of_seeds(resampled, present, Choice(_validation(losses, counts, seeds), zero))
    counts = counts if zero is None else [0, *counts]
    zero = best[:, 0] if counts[0] == 0 else None
    end = best[:, -1] if anchors.saturation is None else _best(anchors.saturation, losses, draws)
    placebos = [median for one in anchors.placebos if (median := _median(one, losses, draws)) is not None]
    placebo = np.min(placebos, axis=0) if placebos else None
    return _Drawn(np.array(counts), raw, best, zero, _median(anchors.no_skill, losses, draws), end, placebo)


def _validation(losses: CurveLosses, counts: Sequence[int], seeds: Sequence[int]) -> Floats | None:
    """[K, S], or None where some run with a prompt has none."""
    table = np.zeros((len(counts), len(seeds)))
    for row, tokens in enumerate(counts):
        known = losses.validation.get(tokens, {})
        if tokens and not set(losses.by_tokens[tokens]) <= set(known):
            return None
        table[row] = [known.get(seed, np.inf) if tokens else 0.0 for seed in seeds]
    return table


def _median(anchor: Anchor | None, losses: CurveLosses, draws: int) -> Floats | None:
    return None if anchor is None else np.median(anchor_losses(anchor, losses, draws), axis=1)


def _best(anchor: Anchor, losses: CurveLosses, draws: int) -> Floats:
    if len(anchor.losses) < 2:
        return anchor_losses(anchor, losses, draws)[:, 0]
    present = drawn_seeds(len(anchor.losses), draws, anchor.losses)
    resampled = resample(anchor.losses, losses.units, losses.cluster, draws)
    return best_of_seeds(resampled, present, Choice())[1][:, 0]


def _mark(shares: Floats, tokens: Counts, mark: float, placebo: Floats | None) -> Mark:
    """Not yet judged: a censored mark has no reason."""
    found = first_reaching(shares, tokens, mark)
    if placebo is not None:
        found = np.where(placebo >= mark, 0.0, found)
    by_placebo = placebo is not None and placebo[0] >= mark > shares[0, 0]
    interval, most = _interval(found), float(tokens[-1])
    low, censored = interval.low if interval.low is not None else most, interval.value is None
    return Mark(
        mark,
        interval.value,
        low=most if censored else low,
        high=None if censored else interval.high,
        censored=censored,
        note=PLACEBO if by_placebo else None,
        low_of_draws=low,
        censored_draws=float(np.mean(np.isinf(found[1:]))),
        draws=found[1:],
    )


def _warnings(losses: CurveLosses, drawn: _Drawn, without_gap: float) -> tuple[str, ...]:
    few = [tokens for tokens, seeds in losses.by_tokens.items() if tokens and len(seeds) < 2]
    some = ", ".join(map(str, sorted(few)))
    found = {
        f"one seed at {some} tokens: the interval covers items only there": bool(few),
        "all items are of one cluster: the interval does not cover items": len(np.unique(losses.cluster)) < 2,
        "no loss at 0 tokens: a distance at the least count is an upper bound": drawn.tokens[0] > 0,
        f"no gap in {without_gap:.1%} of the draws, which are left out": without_gap > 0,
    }
    return tuple(text for text, applies in found.items() if applies)


def _points(drawn: _Drawn, shares: Floats) -> tuple[SharePoint, ...]:
    points = []
    for column, tokens in enumerate(drawn.tokens.tolist()):
        gain = Interval(None, None, None) if drawn.zero is None else _interval(drawn.zero - drawn.best[:, column])
        bits = None if gain.value is None else gain.value / math.log(2)
        raw = float(drawn.raw[column]) if np.isfinite(drawn.raw[column]) else None
        points.append(SharePoint(tokens, raw, float(drawn.best[0, column]), _interval(shares[:, column]), gain, bits))
    return tuple(points)


def _interval(rows: Floats) -> Interval:
    """Value of row 0; the ends that hold 95 % of the others, by order, so that infinite ones count. Infinite: None."""
    ordered = np.sort(rows[1:][~np.isnan(rows[1:])])
    count = len(ordered)
    ends = [ordered[math.ceil(part * count) - 1] for part in (TAIL, 1 - TAIL)] if count else [np.nan, np.nan]
    value, low, high = (float(number) if np.isfinite(number) else None for number in (rows[0], *ends))
    return Interval(value, low, high)


def _first(rows: Floats | None) -> float | None:
    return None if rows is None else float(rows[0])
