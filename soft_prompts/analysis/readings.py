"""How far is each curve's capability from a prompt? Result files in; curves with distances and their evidence out.

Runs make the curve, anchors the scale, controls and rounded prompts the rules of admissibility, the optimiser battery
the reasons of censoring. Everything comes from stored results and their items alone: docs/measurement.md.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.analysis.anchors import AnchorPool, choose_anchors
from soft_prompts.analysis.battery import Optimiser, read_battery, search_failed
from soft_prompts.analysis.bits import Bits, prompt_tokens, read_codes, training_units
from soft_prompts.analysis.comparison import Comparison, compared, finished_curves
from soft_prompts.analysis.controls import Control, least_selectivity, read_controls
from soft_prompts.analysis.curves import Curve
from soft_prompts.analysis.distances import data_of, distance_of, loss_of, reason_against, some_items
from soft_prompts.analysis.drafts import Draft, Run, drafts_of
from soft_prompts.results.files import find_results
from soft_prompts.results.roles import HardPrompt
from soft_prompts.stats.admissibility import MOVED, SELF, Evidence
from soft_prompts.stats.contrasts import Contrast, contrast, holm
from soft_prompts.stats.distance import DRAWS, NO_GAP, Distance, Mark, judged
from soft_prompts.stats.optimiser import violations

__all__ = ["Bits", "Control", "ModelContrast", "Optimiser", "Reading", "Readings", "read_all"]


class ModelContrast(NamedTuple):
    """log2(d_50 + 1) of this curve minus that of another model with the same kind of prompt on the same task."""

    model: str
    contrast: Contrast
    adjusted: float | None
    """p-value after Holm over the tasks on which these two models are compared so."""
    tasks: int


@dataclass(frozen=True, eq=False)
class Reading:
    """One curve, and how far its capability is."""

    curve: Curve
    runs: tuple[Run, ...]
    """That the curve is made of, by token count and seed."""
    anchors: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    """Of the curve's own model, by role as anchor:lora."""
    distance: Distance | None = None
    no_distance: str | None = None
    """Why there is none."""
    notes: tuple[str, ...] = ()
    """Whose anchors were used, what was left out, what speaks against the optimiser."""
    bits: Bits | None = None
    controls: tuple[Control, ...] = ()
    battery: Optimiser | None = None
    violations: tuple[int, ...] = ()
    """Token counts whose prompt lost more than .05 of the gap against the best of fewer tokens."""
    contrasts: tuple[ModelContrast, ...] = ()

    @property
    def has_gap(self) -> bool:
        """Whether there is a distance, with a gap to have shares of."""
        return self.distance is not None and self.distance.d_50.reason != NO_GAP


@dataclass(frozen=True)
class Readings:
    """Every curve among some results."""

    readings: tuple[Reading, ...]
    problems: tuple[str, ...]
    """Files that are no results, and why."""
    warnings: tuple[str, ...]
    """What makes two curves hard to compare."""
    results: tuple[Run, ...] = ()
    """Every result that was found, of any role."""

    @property
    def comparison(self) -> Comparison:
        """The losses alone."""
        beside = sum(run.result.role != "run" for run in self.results)
        return Comparison(tuple(one.curve for one in self.readings), self.problems, self.warnings, beside)


def read_all(
    paths: Iterable[Path], metric: str | None = None, reference: str | None = None, draws: int = DRAWS
) -> Readings:
    """A reading of every curve among `paths`, by `metric` (default: each result's own headline).

    `reference` names a model that the others are compared with. `draws` are the bootstrap's; with 0 no distance is
    taken. Raises UsageError where no result has the metric or the reference.
    """
    found = find_results(paths)
    results = tuple(Run(*pair) for pair in found.results)
    drafts = drafts_of(found, metric, reference)
    pool, beside = AnchorPool.of(results), _by_subject(results)
    comparison = compared(found, finished_curves(drafts, reference))
    readings = []
    for draft, curve in zip(drafts, comparison.curves, strict=True):
        plain = Reading(curve, tuple(draft.runs), pool.own(draft.subject))
        readings.append(_measured(plain, draft, pool, beside[tuple(draft.subject)], draws))
    return Readings(tuple(_with_contrasts(readings)), comparison.problems, comparison.warnings, results)


def _by_subject(results: Sequence[Run]) -> dict[tuple[Any, ...], list[Run]]:
    """What stands beside the runs, newest last, by experiment, variant, data and model."""
    found: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run in sorted(results, key=lambda run: run.result.environment.finished or ""):
        result = run.result
        if result.role != "run":
            found[result.experiment, result.variant, result.data.name, result.model.name].append(run)
    return found


def _measured(plain: Reading, draft: Draft, pool: AnchorPool, beside: Sequence[Run], draws: int) -> Reading:
    """The reading with its distance and the evidence for it."""
    why = reason_against(draft, draws)
    if why is not None:
        return dataclasses.replace(plain, no_distance=why)
    chosen = choose_anchors(draft, some_items(draft), pool)
    distance, why, notes = distance_of(draft, chosen.anchors, chosen.reference, draws)
    reading = dataclasses.replace(plain, distance=distance, no_distance=why, notes=(*chosen.notes, *notes))
    if distance is None or not reading.has_gap:
        return reading
    controls = read_controls(beside, draft, chosen, distance, draws)
    battery, bits = read_battery(beside, draft, distance), read_codes(beside, draft, distance)
    evidence = Evidence(
        optimiser_moved=battery and battery.moved,
        search_failed=search_failed(battery, distance),
        training_units=training_units(draft, prompt_tokens(distance)),
        prompt_bits=_prompt_bits(bits, distance),
        selectivity=least_selectivity(controls),
    )
    return dataclasses.replace(
        reading,
        distance=judged(distance, evidence),
        notes=(*reading.notes, *_beaten(reading, draft, distance)),
        bits=bits,
        controls=controls,
        battery=battery,
        violations=violations(distance),
    )


def _prompt_bits(bits: Bits | None, distance: Distance) -> float | None:
    """B of the prompt that the distance rests on; nothing where that is no prompt."""
    if prompt_tokens(distance) == 0:
        return 0.0
    return None if bits is None or bits.prompt is None else bits.prompt.bits


def _beaten(reading: Reading, draft: Draft, distance: Distance) -> list[str]:
    """What did better than it should: prompts than trained weights, tokens of the vocabulary than a trained prompt."""
    notes = []
    if distance.saturation != SELF and distance.points[-1].best < distance.anchors.saturation:
        notes.append(f"prompts did better than the upper anchor ({distance.saturation}): shares go beyond 1")
    for run in reading.anchors.get(HardPrompt.kind, ()):
        loss = loss_of(run, draft)
        trained = [point.best for point in distance.points if point.tokens <= run.tokens]
        if loss is not None and trained and loss < trained[-1] - MOVED * distance.gap:
            notes.append(f"a hard prompt of {run.tokens} tokens did better than the trained one: training fell short")
    return list(dict.fromkeys(notes))


def _with_contrasts(readings: Sequence[Reading]) -> list[Reading]:
    """Models side by side wherever task, kind of prompt and scale are the same; Holm over the tasks of a pair."""
    found: dict[tuple[int, int], Contrast] = {}
    families: dict[tuple[Any, ...], dict[str, float]] = defaultdict(dict)
    for (first, one), (second, other) in itertools.permutations(enumerate(readings), 2):
        if _comparable(one, other):
            found[first, second] = contrast(_half(one), _half(other))
            if (p_value := found[first, second].p_value) is not None:
                families[_family(one, other)][str(first)] = p_value
    adjusted = {family: holm(p_values) for family, p_values in families.items()}
    with_them = []
    for first, one in enumerate(readings):
        contrasts = []
        for second, other in enumerate(readings):
            if (first, second) in found:
                family = adjusted.get(_family(one, other), {})
                contrasts.append(
                    ModelContrast(other.curve.model, found[first, second], family.get(str(first)), len(family))
                )
        with_them.append(dataclasses.replace(one, contrasts=tuple(contrasts)))
    return with_them


def _comparable(one: Reading, other: Reading) -> bool:
    """With `self` each share is of the model's own gain: two of them have no scale in common."""
    if not (one.has_gap and other.has_gap and one.distance and other.distance):
        return False
    same = _task(one) == _task(other) and _kind(one) == _kind(other) and one.curve.model != other.curve.model
    scale = one.distance.reference == other.distance.reference
    return same and scale and SELF not in (one.distance.saturation, other.distance.saturation)


def _half(reading: Reading) -> Mark:
    assert reading.distance is not None
    return reading.distance.d_50


def _task(reading: Reading) -> tuple[Any, ...]:
    curve = reading.curve
    return curve.experiment, curve.variant, curve.data, curve.metric, data_of(reading.runs)


def _kind(reading: Reading) -> tuple[Any, ...]:
    curve = reading.curve
    return curve.prompt, curve.condition_mode, str(sorted(curve.settings.items()))


def _family(one: Reading, other: Reading) -> tuple[Any, ...]:
    """Tasks over which two models are compared: those with the same kind of prompt, settings aside."""
    return one.curve.model, other.curve.model, one.curve.prompt, one.curve.condition_mode
