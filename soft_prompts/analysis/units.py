"""What reaches the mark in each unit? Soft tokens, hard tokens, bits, trained parameters, examples: one row a curve.

Only what was run: a unit that was not tried is None, never guessed from another. A prompt counts where its share
reaches the mark beyond doubt, as its bracket says. Another result (a hard prompt, worked examples, trained weights)
counts where its value, made worse by 1.96 of its own standard errors, still has that share of the curve's scale.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from soft_prompts.analysis.losses.drafts import Run, metric_of
from soft_prompts.analysis.readings import Reading
from soft_prompts.analysis.scales import Scale
from soft_prompts.results.findings import Finding
from soft_prompts.results.roles import FewShot, FullFineTune, HardPrompt, Lora
from soft_prompts.stats.brackets import Bracket

HALF = 0.5
ERRORS = 1.96  # standard errors: the ends of 95 %
STEERING = "anchor:steering"
PARAMETERS, SHOTS = "trained_parameters", "shots"  # metrics of results that say how much they used


class Amount(NamedTuple):
    """What was tried in one unit, and the least of it that reaches the mark."""

    reached: bool
    least: int | float | None
    """Of what reaches it; None where nothing does, or where the result does not say how much it used."""
    most: int | float | None
    """Of what was tried and did not reach it."""
    run: Run | None = None
    """The witness."""


class Units(NamedTuple):
    """One curve's price in every unit; None: not run."""

    mark: float
    soft_tokens: Bracket | None
    hard_tokens: Amount | None
    prompt_bits: float | None
    """Of the rounded prompt that keeps the share; None also where the mark is not reached."""
    edl_bits: float | None
    """What the witness took from its training data; None also where it goes on from a trained prompt."""
    ranks: Amount | None
    """Of low-rank adapters."""
    parameters: Amount | None
    """Trained weights: of the adapters, or of the whole model."""
    shots: Amount | None
    """Worked examples in front."""
    steering: Amount | None
    """Steering vectors."""


def units(reading: Reading, mark: float = HALF) -> Units:
    """Of the leading scale; all None where there is no sound one."""
    scale = reading.lead
    if scale is None or not scale.sound or scale.floor is None or scale.ceiling is None:
        return Units(mark, *[None] * 8)
    reached = witness_tokens(reading, mark) is not None

    def least(roles: Iterable[str], amount: Callable[[Run], int | float | None]) -> Amount | None:
        runs = (run for role in roles for run in reading.anchors.get(role, ()))
        return _least([(run, amount(run), _reaches(run, reading, scale, mark)) for run in runs])

    return Units(
        mark,
        _bracket(scale, mark),
        least([HardPrompt.kind], lambda run: run.tokens),
        reading.bits.prompt.bits if reached and reading.bits and reading.bits.prompt else None,
        witness_edl(reading, mark),
        least([Lora.kind], lambda run: run.result.config.get("rank")),
        least([Lora.kind, FullFineTune.kind], _parameters),
        least([FewShot.kind], lambda run: metric_of(run, SHOTS).value),
        least([STEERING], lambda run: run.tokens),
    )


def witness_tokens(reading: Reading, mark: float = HALF) -> int | None:
    """Tokens of the prompt that reaches the mark; None where none does."""
    scale = reading.lead
    return None if scale is None or not scale.sound else _bracket(scale, mark).at_most


def witness_edl(reading: Reading, mark: float = HALF) -> float | None:
    """Bits that the witness took from its training data; None where there is none, or where it does not say."""
    tokens = witness_tokens(reading, mark)
    return next((point.edl_bits for point in reading.points if point.tokens == tokens), None)


def without_edl(readings: Iterable[Reading], mark: float | None = None) -> list[str]:
    """Why some prompts of the curves have no EDL, each reason once; with a mark, of the witnesses alone."""
    found: set[str] = set()
    for reading in readings:
        tokens = None if mark is None else witness_tokens(reading, mark)
        of_points = (point.no_edl for point in reading.points if mark is None or point.tokens == tokens)
        found |= set(filter(None, of_points))
    return sorted(found)


def anchor_share(run: Run, reading: Reading, scale: Scale, worse_by: float = 0.0) -> float | None:
    """Share of the scale that a result beside the runs has, `worse_by` standard errors of its own worse.

    None where it failed, was not on the curve's items, or has no value of the scale's metric.
    """
    metric = metric_of(run, scale.unit if scale.by == "deed" else reading.curve.metric)
    on = {one.result.data.items_fingerprint for one in reading.runs}
    if run.result.status != "success" or metric.value is None or run.result.data.items_fingerprint not in on:
        return None
    if scale.floor is None or scale.ceiling is None:
        return None
    error = (metric.stderr or 0.0) / abs(scale.ceiling.value - scale.floor.value)
    return scale.share(metric.value) - worse_by * error


class VectorShare(NamedTuple):
    """What a steering vector has of a curve's scale, on the curve's own items."""

    method: str
    share: float
    stderr: float | None
    """Over items, of the share."""


def vector_shares(reading: Reading, findings: Sequence[Finding]) -> list[VectorShare]:
    """Of vectors that were measured on the curve's items and model (`steer items`); none without a sound scale."""
    scale = reading.lead
    if scale is None or not scale.sound or scale.floor is None or scale.ceiling is None:
        return []
    on = {(one.result.data.items_fingerprint, one.result.model.fingerprint) for one in reading.runs}
    width, found = abs(scale.ceiling.value - scale.floor.value), list[VectorShare]()
    for finding in findings:
        told = finding.figures
        if finding.kind != "items" or (told["items_fingerprint"], finding.fingerprint) not in on:
            continue
        metric = told["metrics"].get(scale.unit if scale.by == "deed" else reading.curve.metric)
        if metric is not None and metric["value"] is not None:
            error = None if metric["stderr"] is None else metric["stderr"] / width
            found.append(VectorShare(told["method"], scale.share(metric["value"]), error))
    return found


def _bracket(scale: Scale, mark: float) -> Bracket:
    return scale.half if mark == HALF else scale.nine_tenths


def _reaches(run: Run, reading: Reading, scale: Scale, mark: float) -> bool | None:
    share = anchor_share(run, reading, scale, ERRORS)
    return None if share is None else share >= mark


def _least(tried: list[tuple[Run, int | float | None, bool | None]]) -> Amount | None:
    """Those that have no share on the scale were not tried."""
    known = [(run, amount, reaches) for run, amount, reaches in tried if reaches is not None]
    if not known:
        return None
    reached = [(amount, run) for run, amount, reaches in known if reaches]
    most = max((amount for _, amount, reaches in known if not reaches and amount is not None), default=None)
    if not reached:
        return Amount(False, None, most)
    least, witness = min(reached, key=lambda pair: float("inf") if pair[0] is None else pair[0])
    return Amount(True, least, most, witness)


def _parameters(run: Run) -> int | float | None:
    whole = run.result.model.parameters if run.result.role == FullFineTune.kind else None
    stored = metric_of(run, PARAMETERS).value
    return whole if stored is None else stored
