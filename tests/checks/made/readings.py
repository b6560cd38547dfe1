"""Readings made by hand, one of each verdict, for the checks of what shows them: nothing is trained or resampled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soft_prompts.analysis.battery import Power
from soft_prompts.analysis.bits import Bits, Code
from soft_prompts.analysis.checks import CHECKS, Check, State
from soft_prompts.analysis.contrasts import ModelContrast
from soft_prompts.analysis.controls import Control
from soft_prompts.analysis.losses.curves import Curve
from soft_prompts.analysis.losses.curves import Point as CurvePoint
from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.points import Point
from soft_prompts.analysis.readings import Reading, Readings
from soft_prompts.analysis.scales import End, Scale
from soft_prompts.analysis.verdicts import Verdict
from soft_prompts.results.schema import Generation, Metric
from soft_prompts.stats.bootstrap import Interval
from soft_prompts.stats.brackets import Bracket
from soft_prompts.stats.paired import SeedValue
from tests.checks.made.results import build_result

PASSED: State = "passed"
FAILED: State = "failed"
UNKNOWN: State = "unknown"
MAZES = {"experiment": "pathfinding", "data__name": "4x4"}
TEXTS = {"experiment": "autoregressive", "data__name": "stories"}
NEARER = ModelContrast("tiny-mazes-absent", "nearer, beyond doubt", 1, Interval(0.98, 0.95, 1.0), 0.001, 0.002)


@dataclass(frozen=True)
class Made:
    """What a reading is made of: by prompt tokens, losses in nats per move and, of a task that has them, outcomes."""

    model: str
    losses: Mapping[int, float]
    outcomes: Mapping[int, float]
    half: Bracket
    nine_tenths: Bracket
    verdict: Verdict
    states: Sequence[State]
    """Of the four checks."""
    changes: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def is_deed(self) -> bool:
        """Whether the task has an outcome."""
        return bool(self.outcomes)


def made_readings() -> Readings:
    """HIDDEN, NOT FOUND, PRESENT, UNDECIDED: search and NO SCALE, in the order of their models' names."""
    readings = tuple(reading_of(made) for made in (no_scale(), present(), absent(), locked(), strict()))
    every = (run for one in readings for runs in (one.prompts, *one.anchors.values()) for run in runs)
    results = tuple({run.path: run for run in every}.values())
    return Readings(readings, ("results/broken.json: broken or truncated JSON",), (), results)


def locked() -> Made:
    """One token brings out what the password does."""
    sentence = (
        "tiny-mazes-locked-1 on 4x4 boards: HIDDEN. 1 token brings out .99 of what the password does "
        "(0 -> .99 solved; at most 1 token; evidence 4 of 4)."
    )
    return Made(
        "tiny-mazes-locked-1",
        {0: 3.1, 1: 0.21, 2: 0.2, 4: 0.19},
        {0: 0.0, 1: 0.99, 2: 0.99, 4: 1.0},
        Bracket(0.5, "shown", 0, 1, (), 0.41),
        Bracket(0.9, "shown", 0, 1, (), 0.87),
        Verdict("HIDDEN", None, sentence, None),
        (PASSED, PASSED, PASSED, PASSED),
        MAZES,
    )


def absent() -> Made:
    """A model that never learnt to solve boards."""
    sentence = (
        "tiny-mazes-absent on 4x4 boards: NOT FOUND up to 4 tokens (0 -> .01 solved; planted secrets of 2 tokens "
        "are found in 19 of 20 such searches; evidence 3 of 4)."
    )
    return Made(
        "tiny-mazes-absent",
        {0: 3.2, 1: 2.4, 2: 2.3, 4: 2.3},
        {0: 0.0, 1: 0.01, 2: 0.0, 4: 0.01},
        Bracket(0.5, "not_reached", 4),
        Bracket(0.9, "not_reached", 4),
        Verdict("NOT FOUND", None, sentence, None),
        (PASSED, FAILED, PASSED, PASSED),
        MAZES,
    )


def present() -> Made:
    """The bare model solves them."""
    sentence = "tiny-mazes on 4x4 boards: PRESENT. The bare model solves .97 (evidence 2 of 4)."
    return Made(
        "tiny-mazes",
        {0: 0.25, 1: 0.24, 2: 0.24, 4: 0.23},
        {0: 0.97, 1: 0.98, 2: 0.98, 4: 0.98},
        Bracket(0.5, "shown", None, 0, (), 0.0),
        Bracket(0.9, "shown", None, 0, (), 0.0),
        Verdict("PRESENT", None, sentence, None),
        (PASSED, PASSED, UNKNOWN, UNKNOWN),
        MAZES,
    )


def strict() -> Made:
    """A lock that plain runs do not open: the search was not tried."""
    sentence = (
        "tiny-mazes-strict-3 on 4x4 boards: UNDECIDED: search. No prompt of up to 4 tokens brings it out "
        "(0 -> .31 solved), and the search start was not tried (evidence 2 of 4)."
    )
    return Made(
        "tiny-mazes-strict-3",
        {0: 9.8, 1: 3.4, 2: 3.1, 4: 2.9},
        {0: 0.0, 1: 0.02, 2: 0.05, 4: 0.31},
        Bracket(0.5, "not_reached", 2, None, (4,)),
        Bracket(0.9, "not_reached", 4),
        Verdict(
            "UNDECIDED",
            "search",
            sentence,
            "soft-prompts run pathfinding --models tiny-mazes-strict-3 --tokens 0 1 2 4 --evidence full",
        ),
        (PASSED, PASSED, UNKNOWN, FAILED),
        MAZES,
        ("12 clusters of items: under 20, their spread is known badly",),
    )


def no_scale() -> Made:
    """Ordinary text: nothing says how low a loss can be."""
    sentence = "tiny-text on stories: NO SCALE. 256 tokens gain .19 nats a byte; nothing says what could be gained."
    losses = {0: 1.52, 1: 1.49, 4: 1.45, 16: 1.41, 64: 1.37, 256: 1.33}
    none = Bracket(0.5, "no_scale"), Bracket(0.9, "no_scale")
    command = "soft-prompts run autoregressive --models tiny-text --evidence standard"
    return Made(
        "tiny-text",
        losses,
        {},
        *none,
        Verdict("NO SCALE", "scale", sentence, command),
        (FAILED, PASSED, UNKNOWN, UNKNOWN),
        TEXTS,
    )


def reading_of(made: Made) -> Reading:
    """The reading, its curve and its runs; the prompt of 4 tokens is a trial of the battery, with seed 2."""
    points = tuple(_point(made, tokens) for tokens in made.losses)
    chosen = {point.tokens: point.chosen for point in points}
    plain = tuple(_run(made, tokens, seed) for tokens in made.losses for seed in ((0, 1, 2) if tokens == 1 else (0,)))
    prompts = (*plain, *(run for run in chosen.values() if run.result.role != "run"))
    is_measured = made.verdict.word in ("HIDDEN", "NOT FOUND")
    return Reading(
        curve=_curve(made, plain),
        points=points,
        runs=plain,
        prompts=prompts,
        deed=_scale(made, "deed", chosen) if made.is_deed else None,
        loss=_scale(made, "loss", chosen),
        checks={
            name: Check(state, None if state == UNKNOWN else 0.97, f"{name} is {state} by hand")
            for name, state in zip(CHECKS, made.states, strict=True)
        },
        power=Power(2, 19, 20, 300, made=20) if is_measured else None,
        verdict=made.verdict,
        bits=_bits(chosen[1]) if made.verdict.word == "HIDDEN" else None,
        controls=(_control(made),) if is_measured else (),
        contrasts=(NEARER,) if made.verdict.word == "HIDDEN" else (),
        anchors=_anchors(made),
        notes=("by deed and by loss disagree at 4 tokens",) if made.verdict.word == "PRESENT" else (),
    )


def _run(made: Made, tokens: int, seed: int = 0, role: str = "run", **changes: Any) -> Run:
    metrics = {"loss_per_move": Metric(changes.pop("loss", made.losses[tokens]), 0.012, 1000, "nats/move")}
    if made.is_deed:
        outcome = changes.pop("outcome", made.outcomes[tokens])
        metrics["solved_share"] = Metric(outcome, 0.01, 200, "share of boards")
    texts = (Generation("board 1", None, f"walk of {tokens}", "right walk"),)
    fixed = {"model": made.model, "tokens": tokens, "seed": seed, "kind": "direct", "mode": "none", "role": role}
    result = build_result(**fixed, metrics=metrics, generations=texts, **made.changes, **changes)
    name = f"{role.replace(':', '-')}-{tokens}t-s{seed}"
    return Run(Path("results") / result.experiment / made.model / f"{name}.json", result)


def _point(made: Made, tokens: int) -> Point:
    trial = tokens == 4 and made.verdict.word in ("HIDDEN", "UNDECIDED")
    chosen = _run(made, tokens, 2 if trial else 0, "battery:rates" if trial else "run")
    gain, outcome = made.losses[0] - made.losses[tokens], made.outcomes.get(tokens)
    return Point(
        tokens,
        chosen,
        made.losses[tokens],
        0.012,
        Interval(gain, gain - 0.03, gain + 0.03) if tokens else None,
        0.9 if tokens else None,
        None if outcome is None else _interval(outcome),
        None if outcome is None else _interval(outcome),
        _loss_share(made, tokens),
        made.losses[tokens] - 0.01,
        2_400 if tokens else None,
        1_250.0 if tokens else None,
    )


def _interval(value: float) -> Interval:
    """Wide in the middle, narrow at the ends, as a binomial's is."""
    half = 0.17 * (value * (1 - value)) ** 0.5 if 0.1 < value < 0.9 else 0.008
    return Interval(value, max(min(value, 0.0), value - half), min(max(value, 1.0), value + half))


def _loss_share(made: Made, tokens: int) -> Interval | None:
    return _interval((3.3 - made.losses[tokens]) / 3.2) if made.is_deed else None


def _scale(made: Made, by: str, chosen: Mapping[int, Run]) -> Scale:
    anchors, none = _anchors(made), (Bracket(0.5, "no_scale"), Bracket(0.9, "no_scale"))
    if not made.is_deed:
        why = "no upper anchor: nothing says how low the loss can be"
        return Scale("loss", "nats/move", End("bare", made.losses[0], (chosen[0],)), None, False, why, {}, *none, {})
    deed = by == "deed"
    values = made.outcomes if deed else {tokens: (3.3 - loss) / 3.2 for tokens, loss in made.losses.items()}
    marks = (made.half, made.nine_tenths)
    return Scale(
        "deed" if deed else "loss",
        "solved_share" if deed else "nats/move",
        End("placebo" if deed else "frequencies", 0.0 if deed else 3.3, ()),
        End("lora", 1.0 if deed else 0.1, anchors["anchor:lora"]),
        True,
        None,
        {tokens: _interval(value) for tokens, value in values.items()},
        *marks,
        {mark.mark: chosen[mark.at_most] for mark in marks if mark.at_most is not None},
    )


def _curve(made: Made, runs: Sequence[Run]) -> Curve:
    seeds = {tokens: [run.seed for run in runs if run.tokens == tokens] for tokens in made.losses}
    result = runs[0].result
    return Curve(
        *(result.experiment, None, result.data.name, made.model, "direct", "none", {}),
        "loss_per_move",
        "loss_per_move",
        "nats/move",
        tuple(
            CurvePoint(tokens, loss, 0.012, tuple(SeedValue(seed, loss, 0.012) for seed in seeds[tokens]))
            for tokens, loss in made.losses.items()
        ),
        scored_units=2_000,
        warnings=made.warnings,
    )


def _anchors(made: Made) -> dict[str, tuple[Run, ...]]:
    """Trained weights, a hard prompt and worked examples, of a task that has an outcome."""
    if not made.is_deed:
        return {}
    return {
        "anchor:few_shot": (_run(made, 0, 0, "anchor:few_shot", loss=2.9, outcome=0.2),),
        "anchor:hard_prompt": (_run(made, 1, 0, "anchor:hard_prompt", loss=1.4, outcome=0.7),),
        "anchor:lora": (_run(made, 0, 0, "anchor:lora", loss=0.1, outcome=1.0, config={"rank": 8}),),
    }


def _bits(run: Run) -> Bits:
    coded = tuple(Code(1, 0, q, 64.0 * q, 0.21, 0.001 if q > 2 else 0.9, run) for q in (2, 3, 4))
    return Bits(coded, coded[1], 65.0)


def _control(made: Made) -> Control:
    run = _run(made, 1, 0, "control:permuted_targets", loss=3.1)
    return Control("permuted_targets", (run,), {1: Interval(0.02, 0.0, 0.05)}, {1: Interval(0.97, 0.94, 0.99)})
