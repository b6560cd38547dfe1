"""Which of two models has the behaviour nearer? By their brackets where these lie apart, else by their shares at the
same number of tokens; Holm over the tasks of a pair.

Brackets that lie apart are no more than two prompts. That the models differ takes three seeds a side at the two counts
that part them: a model that fails half of its trainings has one bracket today and another tomorrow.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from soft_prompts.analysis.prompts import data_of
from soft_prompts.stats.bootstrap import Interval
from soft_prompts.stats.contrasts import Contrast, contrast, holm

if TYPE_CHECKING:
    from soft_prompts.analysis.readings import Reading

LEVEL = 0.05  # of a p-value


class ModelContrast(NamedTuple):
    """This curve against another model's on the same task, each on its own scale."""

    model: str
    """The other."""
    text: str
    tokens: int | None
    """At which both shares are compared; None where brackets tell, or nothing does."""
    difference: Interval | None
    """Share of this one minus that of the other; of brackets, at the counts that part them."""
    p_value: float | None
    adjusted: float | None
    """After Holm over the tasks on which these two models are compared so."""


def with_contrasts(readings: Sequence["Reading"]) -> list["Reading"]:
    """Every reading with its contrasts to other models."""
    return adjusted(contrasted(readings))


def contrasted(readings: Sequence["Reading"]) -> list["Reading"]:
    """Every reading with its contrasts, whose p-values are of one task each."""
    like: dict[tuple[Any, ...], list[Reading]] = defaultdict(list)
    for one in readings:
        if one.lead is not None and one.lead.sound:
            like[_task(one), _kind(one), one.lead.by].append(one)
    others = {id(one): some for some in like.values() for one in some}
    return [
        dataclasses.replace(
            one,
            contrasts=tuple(
                _contrast(one, other) for other in others.get(id(one), ()) if other.curve.model != one.curve.model
            ),
        )
        for one in readings
    ]


def adjusted(readings: Sequence["Reading"]) -> list["Reading"]:
    """The same with Holm over all tasks."""
    families = Families()
    for number, one in enumerate(readings):
        families.add(number, one)
    found = families.holm()
    return [
        dataclasses.replace(
            one,
            contrasts=tuple(
                contrasted._replace(adjusted=found.get(_family(one, contrasted), {}).get(str(number)))
                for contrasted in one.contrasts
            ),
        )
        for number, one in enumerate(readings)
    ]


class Family(NamedTuple):
    """Tasks over which two models are compared: those with the same kind of prompt, settings aside."""

    model: str
    other: str
    prompt: str | None
    condition_mode: str | None


class Families:
    """The p-values of all tasks, told one reading after another."""

    def __init__(self) -> None:
        self._found: dict[Family, dict[str, float]] = defaultdict(dict)

    def add(self, number: int, reading: "Reading") -> None:
        """Of the reading with this number."""
        for contrasted in reading.contrasts:
            if contrasted.p_value is not None:
                self._found[_family(reading, contrasted)][str(number)] = contrasted.p_value

    def holm(self) -> dict[Family, dict[str, float]]:
        """Adjusted over each family, by the text of a reading's number."""
        return {family: holm(p_values) for family, p_values in self._found.items()}


def _contrast(one: "Reading", other: "Reading") -> ModelContrast:
    assert one.lead is not None
    assert other.lead is not None
    own, its = one.lead.half, other.lead.half
    name = other.curve.model
    for nearer, first, second in (("nearer", own, its), ("farther", its, own)):
        if first.at_most is not None and second.more_than is not None and first.at_most <= second.more_than:
            counts = (own.at_most, its.more_than) if first is own else (own.more_than, its.at_most)
            found = _parted(one, other, counts)
            if found is not None and found.p_value < LEVEL:
                text = f"{nearer} than {name}, beyond doubt"
                return ModelContrast(name, text, None, found.difference, found.p_value, None)
    if not (max(one.lead.shares) and max(other.lead.shares)):
        return ModelContrast(name, f"no prompt was tried to tell it from {name}", None, None, None, None)
    if own.state == its.state == "not_reached":
        return ModelContrast(name, f"not reached, like {name}", None, None, 1.0, None)
    return _at_same_tokens(one, other)


def _parted(one: "Reading", other: "Reading", counts: tuple[int | None, int | None]) -> Contrast | None:
    """Shares at the counts that part two brackets; None where either side has too few seeds there."""
    first, second = (side.seed_shares.get(at or 0) for side, at in zip((one, other), counts, strict=True))
    return None if first is None or second is None else contrast(first, second, (one.clusters, other.clusters))


def _at_same_tokens(one: "Reading", other: "Reading") -> ModelContrast:
    """At the largest count of prompts where both have three seeds."""
    name = other.curve.model
    for tokens in sorted((one.seed_shares.keys() & other.seed_shares.keys()) - {0}, reverse=True):
        found = contrast(one.seed_shares[tokens], other.seed_shares[tokens], (one.clusters, other.clusters))
        if found is not None:
            text = f"share minus that of {name} at {tokens} tokens"
            return ModelContrast(name, text, tokens, found.difference, found.p_value, None)
    return ModelContrast(name, f"items only: three seeds a side tell it from {name}", None, None, None, None)


def _task(reading: "Reading") -> tuple[Any, ...]:
    curve = reading.curve
    return curve.experiment, curve.variant, curve.data, curve.metric, data_of(reading.runs)


def _kind(reading: "Reading") -> tuple[Any, ...]:
    curve = reading.curve
    return curve.prompt, curve.condition_mode, str(sorted(curve.settings.items()))


def _family(one: "Reading", other: ModelContrast) -> Family:
    return Family(one.curve.model, other.model, one.curve.prompt, one.curve.condition_mode)
