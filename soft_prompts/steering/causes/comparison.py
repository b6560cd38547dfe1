"""Donors beside receivers, component by component and position by position: `soft-prompts activations`.

Differences are cheap and say little of causes; a gradient says more; a patch says what one component does alone. The
best-ranked by the integrated gradient are patched, or all, which tells how good each ranking was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.engine.activations.sums import check_map, rounding
from soft_prompts.stats.agreement import rank_correlation
from soft_prompts.stats.ranking import needed_for_all, order, precision_at
from soft_prompts.steering.causes.differences import Differences, differences, root_mean_square
from soft_prompts.steering.causes.effects import STEPS, Activity, Ends, Spot, activity, gradients, patched_leads
from soft_prompts.steering.causes.pairs import Pairs
from soft_prompts.steering.scoring import LEAST_GAP

KINDS = ("resid", "attn", "mlp", "head")
PATCHED = 30  # of the best-ranked
MATTERS = 0.1  # of |share|: a cause
TOP = 10
RANKINGS = ("norm", "root_mean_square", "effect_size", "gradient", "integrated")


@dataclass(frozen=True)
class Looked:
    """What is looked at, and how."""

    kinds: tuple[str, ...] = KINDS
    patches: int | None = PATCHED
    """None: every component is patched."""
    most_positions: int = 64
    """From the last token backwards."""
    seed: int = 0


@dataclass(frozen=True)
class Comparison:
    """What was found."""

    spots: tuple[Spot, ...]
    ends: Ends
    apart: Differences
    scores: dict[str, list[float]]
    """Ranking -> score of each spot."""
    shares: dict[Spot, float]
    """Of what was patched."""
    everything: float
    """Share of the donors' last residual stream at the last token: 1, or the donor is another model."""
    tokens: tuple[str, ...]
    n: int
    groups: int

    @property
    def causes(self) -> list[tuple[Spot, float]]:
        """Patched spots that matter, largest first."""
        found = [(spot, share) for spot, share in self.shares.items() if abs(share) > MATTERS]
        return sorted(found, key=lambda one: -abs(one[1]))

    def agreement(self) -> dict[str, dict[str, float | None]]:
        """Of each ranking with the patches; None where not all was patched."""
        if len(self.shares) < len(self.spots):
            return {}
        truth = [abs(self.shares[spot]) for spot in self.spots]
        wanted = [share > MATTERS for share in truth]
        return {
            name: {
                "spearman": rank_correlation([abs(score) for score in scores], truth),
                "precision_at_10": precision_at(scores, truth, TOP),
                "patches_needed": needed_for_all(scores, wanted),
            }
            for name, scores in self.scores.items()
        }

    def figures(self) -> dict[str, Any]:
        """As finding.schema.json has them."""
        rows = []
        for place, spot in enumerate(self.spots):
            row: dict[str, Any] = {"component": spot.component, "position": spot.position}
            row |= {name: scores[place] for name, scores in self.scores.items()}
            row |= {"p": None if self.apart.p is None else self.apart.p[place], "share": self.shares.get(spot)}
            rows.append(row)
        return {
            "components": rows,
            "positions": list(self.tokens),
            "ends": self.ends._asdict(),
            "everything": self.everything,
            "agreement": self.agreement(),
            "patched": len(self.shares),
        }

    def says(self) -> list[str]:
        """The causes, and how the rankings did."""
        lines = [f"{self.n} pairs in {self.groups} groups; logit difference {self.ends.donor:.2f} of donors, "
                 f"{self.ends.receiver:.2f} of receivers; everything patched: share {self.everything:.2f}"]  # fmt: skip
        if self.apart.p is not None:
            differ = int((self.apart.p < 0.05).sum())
            lines.append(f"{differ} of {len(self.spots)} components differ (max-T permutation, p < .05)")
        lines.append(f"{len(self.causes)} of {len(self.shares)} patched ones matter (|share| > {MATTERS:g}):")
        lines += [f"  {spot.component} at {self._at(spot)}: {share:+.2f}" for spot, share in self.causes[:TOP]]
        for name, found in self.agreement().items():
            needed = "none to find" if found["patches_needed"] is None else f"{found['patches_needed']} patches needed"
            spearman = "-" if found["spearman"] is None else f"{found['spearman']:.2f}"
            lines.append(
                f"ranked by {name}: {needed}, precision at 10 {found['precision_at_10']:.1f}, Spearman {spearman}"
            )
        return lines

    def _at(self, spot: Spot) -> str:
        return f"{spot.position} ({self.tokens[len(self.tokens) - 1 + spot.position]!r})"


def compare_prompts(inside: Inside, pairs: Pairs, looked: Looked = Looked()) -> Comparison:
    """Donor prompts beside receiver prompts, both through one model."""
    check_map(inside)
    donor = activity(inside, pairs.donors, pairs, _names(inside, looked))
    return _compared(inside, pairs, donor, pairs.donors, looked)


def compare_models(inside: Inside, other: Inside, pairs: Pairs, looked: Looked = Looked()) -> Comparison:
    """The receiver prompts through `other`, the donor, beside the same through `inside`.

    Raises UsageError for models of different shapes or tokenizers.
    """
    check_map(inside)
    _refuse_other_ids(inside, other, pairs)
    mine, theirs = ((one.layers, one.heads, one.hidden_size) for one in (inside, other))
    if mine != theirs:
        raise UsageError(
            f"{other.frozen.name} has layers, heads and width {theirs}, {inside.frozen.name} has {mine}; give models "
            "of equal shape"
        )
    check_map(other)
    donor = activity(other, pairs.receivers, pairs, _names(inside, looked))
    return _compared(inside, pairs, donor, pairs.receivers, looked)


def _refuse_other_ids(inside: Inside, other: Inside, pairs: Pairs) -> None:
    """Tokens that one model has beside the other's are fine, as long as the prompts hold none."""
    used = sorted({token for ids in (*pairs.donors, *pairs.receivers) for token in ids})
    names = [{id: name for name, id in one.frozen.tokenizer.get_vocab().items()} for one in (inside, other)]
    if differ := [one for one in used if names[0].get(one) != names[1].get(one)]:
        raise UsageError(
            f"{inside.frozen.name} and {other.frozen.name} have different tokenizers ({len(differ)} of {len(used)} "
            "tokens of these prompts); give models made from one base"
        )


def _names(inside: Inside, looked: Looked) -> list[str]:
    return list(dict.fromkeys([*inside.names(looked.kinds), _end(inside)]))


def _end(inside: Inside) -> str:
    return f"resid.{inside.layers - 1}"


def _compared(inside: Inside, pairs: Pairs, donor: Activity, texts: Sequence[list[int]], looked: Looked) -> Comparison:
    receiver = activity(inside, pairs.receivers, pairs, list(donor.values))
    ends = Ends(float(donor.leads.mean()), float(receiver.leads.mean()))
    if not abs(ends.donor - ends.receiver) >= LEAST_GAP:  # nor where it is no number
        raise UsageError(
            f"donors and receivers say the same (logit difference {ends.donor:.2f} and {ends.receiver:.2f}); "
            "give prompts that the model answers differently"
        )
    apart = {name: donor.values[name] - receiver.values[name] for name in inside.names(looked.kinds)}
    first = max(pairs.start, pairs.length - looked.most_positions)
    spots = [Spot(name, place + 1 - pairs.length) for place in range(first, pairs.length) for name in apart]
    own = [rounding(inside) * root_mean_square(_residual(inside, donor.values, spot, pairs)) for spot in spots]
    values = [_residual(inside, apart, spot, pairs) for spot in spots]
    # what is the same in both, but for rounding, causes nothing
    held = [place for place, value in enumerate(values) if root_mean_square(value) > own[place]]
    if not held:
        raise UsageError("what was looked at differs by rounding alone; give more --kinds or --positions")
    spots = [spots[place] for place in held]
    found = differences([values[place] for place in held], pairs.groups, [own[place] for place in held], looked.seed)
    scores = {name: getattr(found, name).tolist() for name in ("norm", "root_mean_square", "effect_size")}
    for name, steps in (("gradient", 1), ("integrated", STEPS)):
        told = gradients(inside, pairs, apart, texts, steps)
        scores[name] = [abs(told[spot]) for spot in spots]
    best = order(scores["integrated"])[: looked.patches]
    shares = _shares(inside, pairs, donor, ends, [spots[place] for place in sorted(best.tolist())])
    everything = _everything(inside, pairs, donor, ends)
    tokens = tuple(str(inside.frozen.tokenizer.decode([token])) for token in pairs.receivers[0][-pairs.length :])
    return Comparison(
        tuple(spots), ends, found, scores, shares, everything, tokens, len(pairs.items), len(set(pairs.groups))
    )


def _at(apart: dict[str, Tensor], spot: Spot, pairs: Pairs) -> Tensor:
    """[N W] the items' values, or differences, at a spot."""
    return apart[spot.component][:, pairs.length - 1 + spot.position]


def _residual(inside: Inside, apart: dict[str, Tensor], spot: Spot, pairs: Pairs) -> np.ndarray:
    """[N H] the same in the residual stream, where heads of all sizes can be compared."""
    with torch.no_grad():
        return inside.contribution(spot.component, _at(apart, spot, pairs)).numpy()


def _shares(inside: Inside, pairs: Pairs, donor: Activity, ends: Ends, spots: Sequence[Spot]) -> dict[Spot, float]:
    gap = ends.donor - ends.receiver
    return {spot: (patched_leads(inside, pairs, donor.values, [spot]) - ends.receiver) / gap for spot in spots}


def _everything(inside: Inside, pairs: Pairs, donor: Activity, ends: Ends) -> float:
    """What leaves the last block at the last token decides what is said: the donor's makes the donor's LD."""
    name, values = _end(inside), donor.values
    return (patched_leads(inside, pairs, values, [Spot(name, 0)]) - ends.receiver) / (ends.donor - ends.receiver)
