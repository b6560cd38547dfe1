"""What does a distance say in words and in a row of a table? Both end with the rules that it does not keep."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from soft_prompts.analysis.readings import Reading
from soft_prompts.report.drawing.forest import Group, Row, distance_text
from soft_prompts.report.page.table import Links
from soft_prompts.report.page.text import NOTHING, count_text, plain_name, share_text, tokens_text, value_text
from soft_prompts.stats.admissibility import BUDGET, CEILING, CONTEXT, OPTIMISER, SELF
from soft_prompts.stats.distance import NO_GAP, PLACEBO, Distance, Mark

WHY = {
    CEILING: "more tokens do not help, and a search start failed too",
    OPTIMISER: "the optimiser may be what failed",
    CONTEXT: "a longer prompt does not fit",
    BUDGET: "it still rises: more tokens were not tried",
}


@dataclass(frozen=True)
class DistanceRow:
    name: str
    bare: str
    bare_href: str
    best: str
    best_href: str
    gain_bits: str
    half: str
    nine_tenths: str
    auc: str
    anchor: str
    admissible: bool
    notes: tuple[str, ...]
    """Failed rules, warnings and the fitted form; why there is no distance."""


def most_tokens(distance: Distance) -> int:
    return max(point.tokens for point in distance.points)


def distance_row(reading: Reading, name: str, links: Links) -> DistanceRow:
    points = [point for point in reading.curve.curve if point.value is not None]
    bare = next((point for point in points if point.tokens == 0), None)
    best = min(points, key=lambda point: point.value or 0.0, default=None)
    distance = reading.distance
    notes = [*([reading.no_distance] if reading.no_distance else []), *reading.notes]
    if distance is not None:
        notes += [*distance.failed_rules, *distance.warnings, *_fit(distance)]
    return DistanceRow(
        name,
        value_text(bare.value, bare.stderr) if bare else NOTHING,
        _href(reading, 0, links) if bare else "",
        f"{value_text(best.value, best.stderr)} at {tokens_text(best.tokens)}" if best else NOTHING,
        _href(reading, best.tokens, links) if best else "",
        _gain(distance),
        distance_text(distance.d_50, most_tokens(distance)) if distance else NOTHING,
        distance_text(distance.d_90, most_tokens(distance)) if distance else NOTHING,
        _auc(distance),
        f"{distance.reference.replace('_', '-')} to {distance.saturation}" if distance else NOTHING,
        distance is not None and distance.admissible,
        tuple(notes),
    )


def _href(reading: Reading, tokens: int, links: Links) -> str:
    return next((links.to(run.path) for run in reading.runs if run.tokens == tokens), "")


def _gain(distance: Distance | None) -> str:
    bits = [point.gain_bits for point in distance.points if point.gain_bits is not None] if distance else []
    return value_text(max(bits)) if bits else NOTHING


def _auc(distance: Distance | None) -> str:
    if distance is None or distance.auc.value is None:
        return NOTHING
    value, low, high = distance.auc
    return f"{share_text(value)} [{share_text(low)}, {share_text(high)}]"


def _fit(distance: Distance) -> list[str]:
    """The form chosen, its parameters and its error at a token count left out."""
    fit = distance.fit
    if fit is None:
        return []
    form = f"a / (1 + (h / P)^b), h {fit.h:.3g}" if fit.h is not None else "a P^b"
    errors = f"error {fit.error:.3f}, of the other form {fit.rival_error:.3f}"
    return [f"fit: {form}, a {fit.a:.2f}, b {fit.b:.2f}; {errors}"]


def sentence(reading: Reading) -> str:
    """One distance in words; the caller says whose."""
    distance = reading.distance
    if distance is None:
        return f"no distance: {reading.no_distance or 'nothing to measure it from'}."
    if distance.d_50.reason == NO_GAP:
        return "no gap to close: the anchors differ by less than three standard errors."
    most = most_tokens(distance)
    return f"{_half(distance, most)}{_nine_tenths(distance.d_90, most)}."


def _half(distance: Distance, most: int) -> str:
    what = _what(distance, most)
    mark = distance.d_50
    if mark.censored:
        return (
            f"no prompt of up to {tokens_text(most)} tokens reaches half of {what} ({WHY.get(mark.reason or '', '')})"
        )
    if mark.note == PLACEBO:
        return f"untrained random tokens reach half of {what}"
    if mark.value == 0:
        return f"the bare model has half of {what} already"
    return f"half of {what} takes {tokens_text(mark.value)} tokens{_interval(mark, most)}"


def _what(distance: Distance, most: int) -> str:
    if distance.saturation == SELF:
        return f"the gain seen at {tokens_text(most)} tokens"
    return "the skill" if distance.reference == "no_skill" else "what the bare model lacks"


def _interval(mark: Mark, most: int) -> str:
    if mark.low is None:
        return ""
    high = f"more than {tokens_text(most)}" if mark.high is None else tokens_text(mark.high)
    return f" ({tokens_text(mark.low)} to {high})"


def _nine_tenths(mark: Mark, most: int) -> str:
    if mark.censored:
        return f", nine tenths more than {tokens_text(most)}"
    return "" if not mark.value else f", nine tenths {tokens_text(mark.value)}"


def summary(members: Sequence[Reading], names: Sequence[str]) -> str:
    """A section in one sentence: its only curve, or the nearest and the farthest of them."""
    known = [
        (reading.distance.d_50.value, name)
        for reading, name in zip(members, names, strict=True)
        if reading.distance and reading.distance.d_50.value is not None
    ]
    if len(members) == 1 or not known:
        return sentence(members[0])
    (near, first), (far, last) = min(known), max(known)
    kinds = {_what(one.distance, most_tokens(one.distance)) for one in members if one.distance}
    what = kinds.pop() if len(kinds) == 1 else "the gap"
    if len(known) == 1:
        return f"half of {what} takes {tokens_text(near)} tokens for {first}; {_without(len(members) - 1)}."
    rest = f"; {_without(len(members) - len(known))}" if len(known) < len(members) else ""
    span = f"from {tokens_text(near)} tokens ({first}) to {tokens_text(far)} ({last})"
    return f"half of {what} takes {span}{rest}."


def _without(count: int) -> str:
    return f"{count_text(count, 'curve')} without a finite distance"


def verdict(readings: Sequence[Reading]) -> str:
    """How many distances are admissible, and how often each rule is not kept."""
    distances = [reading.distance for reading in readings if reading.distance]
    admissible = sum(distance.admissible for distance in distances)
    rules = Counter(_rule(text) for distance in distances for text in distance.failed_rules)
    failed = "; ".join(f"{rule} ({count})" for rule, count in rules.most_common())
    start = f"{admissible} of {count_text(len(distances), 'distance')} {'is' if admissible == 1 else 'are'} admissible"
    return f"{start}. Not kept: {failed}." if failed else f"{start}."


def _rule(text: str) -> str:
    """The rule without its numbers."""
    return "a control is less than a doubling farther" if text.startswith("a control is only") else text.split(":")[0]


def forest_groups(sections: Sequence[tuple[Sequence[Reading], Sequence[str], str]]) -> list[Group]:
    """Rows of the forest plot, by section: its readings, their names and its place on the page."""
    groups = []
    for members, names, place in sections:
        rows = tuple(
            Row(name, one.distance.d_50, one.distance.d_90, most_tokens(one.distance), one.distance.admissible, place)
            for one, name in zip(members, names, strict=True)
            if one.distance is not None and one.distance.d_50.reason != NO_GAP
        )
        if rows:
            groups.append(Group(plain_name(members[0].curve.experiment), rows))
    return groups
