"""How many tokens reach a mark? At most so many, of which a prompt is the witness, and more than so many, of which the
search is. No number between counts that were not tried.

    at most b     least P whose chosen prompt has a share >= the mark beyond doubt
    more than a   largest P < b whose chosen prompt has a share < the mark beyond doubt
    in doubt      counts between them whose interval holds the mark
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from soft_prompts.stats.bootstrap import Interval

State = Literal["shown", "not_reached", "no_scale", "no_gap"]


@dataclass(frozen=True)
class Bracket:
    """Prompt tokens that reach a share of `mark`."""

    mark: float
    state: State
    more_than: int | None = None
    at_most: int | None = None
    in_doubt: tuple[int, ...] = ()
    interpolated: float | None = None
    """Between the two counts, linear in log2(P + 1); for figures alone."""

    def text(self, most: int) -> str:
        """`more than 4, at most 16 tokens`; `most` is the largest count tried."""
        doubt = f" ({', '.join(map(str, self.in_doubt))} in doubt)" if self.in_doubt else ""
        if self.state == "not_reached" and most == 0:
            return f"not {'shown' if self.in_doubt else 'reached'} with nothing in front"
        if self.state == "not_reached":
            return f"not reached by {most}{doubt}" if not self.in_doubt else f"not shown by {most}{doubt}"
        if self.state != "shown":
            return self.state.replace("_", " ")
        if self.at_most == 0:
            return "0: nothing in front"
        end = f"at most {self.at_most} token{'' if self.at_most == 1 else 's'}"
        if self.more_than:  # more than none goes without saying
            return f"more than {self.more_than}, {end}{doubt}"
        return end + doubt

    def brief(self, most: int) -> str:
        """`> 4, ≤ 16`, where there is little room; `≤ 16?` where the most tokens are in doubt."""
        if self.state == "not_reached":
            return f"≤ {self.in_doubt[-1]}?" if self.in_doubt else f"> {most}"
        if self.state != "shown":
            return self.state.replace("_", " ")
        return (f"> {self.more_than}, " if self.more_than else "") + (f"≤ {self.at_most}" if self.at_most else "0")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "mark": self.mark,
            "state": self.state,
            "more_than": self.more_than,
            "at_most": self.at_most,
            "in_doubt": list(self.in_doubt),
            "interpolated": self.interpolated,
        }


def bracket(shares: Mapping[int, Interval], mark: float) -> Bracket:
    """Of the shares of chosen prompts by token count; raises ValueError without any."""
    counts = sorted(shares)
    if not counts:
        raise ValueError("no share is given; a bracket without a scale has the state no_scale")
    at_most = next((count for count in counts if shares[count].is_at_least(mark)), None)
    below = [count for count in counts if at_most is None or count < at_most]
    more_than = max((count for count in below if shares[count].is_below(mark)), default=None)
    in_doubt = tuple(count for count in below if count > (-1 if more_than is None else more_than))
    state: State = "not_reached" if at_most is None else "shown"
    return Bracket(mark, state, more_than, at_most, in_doubt, _interpolated(shares, mark))


def _interpolated(shares: Mapping[int, Interval], mark: float) -> float | None:
    counts = sorted(shares)
    after = next((count for count in counts if shares[count].value >= mark), None)
    if after is None or after == counts[0]:
        return None if after is None else float(after)
    before = counts[counts.index(after) - 1]
    low, high = shares[before].value, shares[after].value
    x, end = math.log2(before + 1), math.log2(after + 1)
    return float(np.exp2(x + (mark - low) / (high - low) * (end - x)) - 1)
