"""May a distance be quoted? Why it is censored, and which rules of admissibility it does not keep.

    outside     the upper anchor is not the least loss seen
    training    scored training units x Lns / ln 2 >= 10 B, or test minus training loss < 2 % of the gap
    selective   S >= 1: every control lies at least one doubling of tokens + 1 farther; its bound counts if censored

What is not known counts as not kept: an inadmissible distance is printed with the rules that it fails.
"""

import math
from dataclasses import dataclass

import numpy as np

from soft_prompts.stats.shares import Counts, Floats, axis, share_at

SELF = "self"  # name of the upper anchor where the least loss seen stands for Lsat
CEILING, OPTIMISER, CONTEXT, BUDGET = "CEILING", "OPTIMISER", "CONTEXT", "BUDGET"

MOVED = 0.05  # of the share: what a longer run or two doublings must move it by to count
PLENTY = 10  # bits of training labels for each bit of the prompt
OVERFIT = 0.02  # of the gap, between test and training loss
SELECTIVE = 1.0  # doublings by which a control must be farther than the task


@dataclass(frozen=True)
class Evidence:
    """What is known beside the losses: why a distance may be censored, and whether it is admissible."""

    optimiser_moved: float | None = None
    """By how much a longer run or another learning rate raised the share at the largest token count."""
    search_failed: bool = False
    """A search start was tried there too and stayed below the mark."""
    most_tokens: int | None = None
    """Longest prompt that fits in front of a sample."""
    training_units: int | None = None
    """Scored units of the training samples, a sample counted once however often it was seen."""
    prompt_bits: float | None = None
    """B of the prompt (soft_prompts/stats/bits.py)."""
    overfit_nats: float | None = None
    """Test loss minus training loss, per unit."""
    selectivity: float | None = None
    """S or its lower bound (soft_prompts/stats/contrasts.py): the least over the controls."""


NOTHING_KNOWN = Evidence()


def censoring_reason(shares: Floats, tokens: Counts, evidence: Evidence) -> str:
    """Why the share at the largest token count is below the mark.

    OPTIMISER where a longer run or another learning rate raised it by more than .05. Else, where it is flat (not more
    than .05 above the share two doublings of P + 1 earlier): CEILING if a search start failed too, OPTIMISER if none
    was tried. Else it still rises: CONTEXT where twice as long a prompt does not fit, BUDGET where it does. Shares
    below 0 count as 0: to be less sure of what is wrong is no way to the skill.
    """
    shares = np.maximum(shares, 0.0)
    if evidence.optimiser_moved is not None and evidence.optimiser_moved > MOVED:
        return OPTIMISER
    earlier = axis(tokens)[-1] - 2
    if earlier >= axis(tokens)[0] and shares[-1] - share_at(shares, tokens, earlier) <= MOVED:
        return CEILING if evidence.search_failed else OPTIMISER
    return CONTEXT if evidence.most_tokens is not None and 2 * tokens[-1] > evidence.most_tokens else BUDGET


def failed_rules(saturation: str, no_skill: float | None, gap: float, evidence: Evidence) -> tuple[str, ...]:
    """A line for each rule that is not kept; losses and the gap in nats per unit."""
    failed = []
    if saturation == SELF:
        failed.append("no upper anchor from outside: the share is of the gain seen at the most tokens")
    if not _enough_training(no_skill, gap, evidence):
        failed.append(
            f"training labels do not hold {PLENTY} times the prompt's bits, "
            f"nor is the train-test gap known to be under {OVERFIT:.0%} of the gap"
        )
    if evidence.selectivity is None:
        failed.append("no control tells whether the prompt or the model holds the skill")
    elif evidence.selectivity < SELECTIVE:
        failed.append(f"a control is only {evidence.selectivity:.2f} doublings farther, not {SELECTIVE:g}")
    return tuple(failed)


def _enough_training(no_skill: float | None, gap: float, evidence: Evidence) -> bool:
    if evidence.overfit_nats is not None and evidence.overfit_nats < OVERFIT * gap:
        return True
    if no_skill is None or evidence.training_units is None or evidence.prompt_bits is None:
        return False
    return evidence.training_units * no_skill / math.log(2) >= PLENTY * evidence.prompt_bits
