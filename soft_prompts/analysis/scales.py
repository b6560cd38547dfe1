"""What share of a skill do a curve's prompts bring out, and at how many tokens? One scale by deed, one by loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from soft_prompts.analysis.anchors import BARE, PLACEBO, AnchorPool, Candidate, Chosen, choose_ends
from soft_prompts.analysis.losses.drafts import Draft, Run, token_counts
from soft_prompts.analysis.prompts import chosen_of, scores_of, some_items
from soft_prompts.stats.bootstrap import Counts, Floats, Interval
from soft_prompts.stats.brackets import Bracket, bracket
from soft_prompts.stats.scales import Anchor, By, EndRows, Ends, Measured, measured, share_of_anchor

HALF, NINE_TENTHS = 0.5, 0.9
TOLD = 0.25  # of the share, by deed and by loss at the same tokens
NO_FLOOR: dict[By, str] = {
    "deed": "what can be had without the skill is not known: no constant answer, no random tokens",
    "loss": "what can be had without the skill is not known: no frequencies",
}
NO_CEILING = "what the skill is worth is not known: no exact source, reference model or trained weights"


class End(NamedTuple):
    """One end of a scale: an outcome, or nats per unit."""

    kind: str
    """constant, placebo, frequencies or bare; exact, reference, lora or full."""
    value: float
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True, eq=False)
class Scale:
    """Shares of one curve between two ends that do not come from its prompts."""

    by: By
    unit: str
    floor: End | None
    ceiling: End | None
    sound: bool
    why: str | None
    """Why there is no sound scale."""
    shares: Mapping[int, Interval]
    """By prompt tokens, of the chosen prompt; none without a sound scale."""
    half: Bracket
    nine_tenths: Bracket
    witness: Mapping[float, Run] = field(default_factory=dict)
    """By mark: the prompt that shows the upper end."""
    rows: Mapping[int, Floats] = field(default_factory=dict, repr=False)
    """[R] share of the data and of each draw, by prompt tokens."""
    placebo: Interval | None = None
    """By deed: share of untrained tokens, between the best constant answer and the ceiling."""
    ends: EndRows | None = field(default=None, repr=False)
    """The score of either end in the data and in each draw; None without a sound scale."""

    def score(self, value: float) -> float:
        """An end's value as a score: higher is better."""
        return value if self.by == "deed" else -value

    def share(self, value: float) -> float:
        """Of an outcome or a loss per unit; raises ValueError without both ends."""
        if self.floor is None or self.ceiling is None:
            raise ValueError("a share needs a floor and a ceiling")
        floor, ceiling = self.score(self.floor.value), self.score(self.ceiling.value)
        return (self.score(value) - floor) / (ceiling - floor)


def scale_by(by: By, draft: Draft, prompts: Mapping[int, list[Run]], pool: AnchorPool, draws: int) -> Scale | None:
    """The scale of a curve whose runs are on the same items; None by deed where the task has no outcome."""
    like = some_items(draft)
    chosen = {count: chosen_of(runs) for count, runs in prompts.items()}
    scored = {count: scores for count, run in chosen.items() if (scores := scores_of(run, draft.metric, by))}
    names_outcome = any(run.result.outcome for run in draft.runs)
    if like is None or (by == "deed" and not names_outcome) or (by == "loss" and not scored):
        return None
    ends = choose_ends(by, draft, like, pool)
    unit = next((run.result.outcome for run in chosen.values() if run.result.outcome), "outcome")
    unit = unit if by == "deed" else draft.unit
    if lacking := sorted(set(chosen) - set(scored)):
        why = f"{token_counts(set(lacking))} have no outcome: run them again with this version, on more test items"
        return _without(by, unit, ends.floors, ends.ceiling, why)
    if not ends.floors or ends.ceiling is None:
        why = " ".join([NO_FLOOR[by]] if not ends.floors else [NO_CEILING])
        return _without(by, unit, ends.floors, ends.ceiling, why)
    placebo, floors = _placebo(ends, like.cluster, draws) if by == "deed" else (None, ends.floors)

    def on(floors: Sequence[Candidate]) -> Measured:
        assert ends.ceiling is not None
        return measured(scored, Ends([one.anchor for one in floors], ends.ceiling.anchor), like.cluster, by, draws)

    found = on(floors)
    if found.wrong and (others := _but_bare(floors)):
        found = _if_present(on(others)) or found
    floor = max((one for one in floors if one.anchor.kind == found.floor), key=_score)
    sign = 1 if by == "deed" else -1
    bottom = End(found.floor, sign * found.floor_score + 0.0, floor.runs)  # no -0
    top = End(ends.ceiling.anchor.kind, sign * found.ceiling_score + 0.0, ends.ceiling.runs)
    if why := found.wrong or ends.ceiling.wrong:
        return Scale(by, unit, bottom, top, False, why, {}, *_no_brackets(), placebo=placebo)
    half, nine_tenths = (bracket(found.shares, mark) for mark in (HALF, NINE_TENTHS))
    witness = {one.mark: chosen[one.at_most] for one in (half, nine_tenths) if one.at_most is not None}
    return Scale(
        by, unit, bottom, top, True, None, found.shares, half, nine_tenths, witness, found.rows, placebo, found.ends
    )


def _placebo(ends: Chosen, cluster: Counts, draws: int) -> tuple[Interval | None, tuple[Candidate, ...]]:
    """What untrained tokens reach between the best constant answer and the ceiling; and the floors, without them where
    they have half of the skill: what any tokens bring out is there, and no floor."""
    untrained = [one for one in ends.floors if one.anchor.kind == PLACEBO]
    others = tuple(one for one in ends.floors if one not in untrained) or (Candidate(Anchor("constant", known=0.0)),)
    if not untrained or ends.ceiling is None:
        return None, ends.floors
    between = Ends([one.anchor for one in others], ends.ceiling.anchor)
    shares = [share_of_anchor(one.anchor, between, cluster, draws) for one in untrained]
    known = [share for share in shares if share is not None]
    most = max(known, key=lambda share: share.value, default=None)
    return most, others if most is not None and most.is_at_least(HALF) else ends.floors


def _but_bare(floors: Sequence[Candidate]) -> list[Candidate]:
    """The other floors, if the bare model is one."""
    others = [one for one in floors if one.anchor.kind != BARE]
    return others if len(others) < len(floors) else []


def _if_present(found: Measured) -> Measured | None:
    """A bare model that lacks nothing that training brings is no floor: it has what frequencies have not."""
    bare = found.shares.get(0)
    return found if found.wrong is None and bare is not None and bare.is_at_least(HALF) else None


def _without(by: By, unit: str, floors: tuple[Candidate, ...], ceiling: Candidate | None, why: str) -> Scale:
    """What is known of a scale that lacks an end."""
    sign = 1 if by == "deed" else -1

    def end(one: Candidate) -> End:
        return End(one.anchor.kind, sign * _score(one), one.runs)

    bottom = max((end(one) for one in floors), key=lambda one: sign * one.value, default=None)
    return Scale(by, unit, bottom, ceiling and end(ceiling), False, why, {}, *_no_brackets())


def _score(one: Candidate) -> float:
    """Of the data: the median of its draws."""
    if one.anchor.known is not None:
        return one.anchor.known
    return float(np.median([scores.mean for scores in one.anchor.draws]))


def _no_brackets() -> tuple[Bracket, Bracket]:
    return Bracket(HALF, "no_scale"), Bracket(NINE_TENTHS, "no_scale")


def disagreements(deed: Scale | None, loss: Scale | None) -> list[str]:
    """Where what is written and what is scored disagree."""
    if deed is None or loss is None:
        return []
    both = sorted(deed.shares.keys() & loss.shares.keys())
    apart = [count for count in both if abs(deed.shares[count].value - loss.shares[count].value) > TOLD]
    return (
        [
            f"by deed and by loss disagree at {token_counts(set(apart))}: "
            + "; ".join(f"{deed.shares[count].value:.2f} and {loss.shares[count].value:.2f}" for count in apart)
        ]
        if apart
        else []
    )
