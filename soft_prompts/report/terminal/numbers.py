"""How is a share, an interval or a change written in a table's cell?"""

import math

from soft_prompts.report.labels import estimate_text
from soft_prompts.stats.bootstrap import Interval

WIDE = 0.1  # an interval of a share that is wider stands in place of the share
ENDS = 2 * 1.96  # standard errors between the ends of a 95 % interval


def share_text(share: Interval | None, always: bool = False) -> str:
    """`.99`, or `.48-.61` where the interval is wide; `always`: both."""
    if share is None or not math.isfinite(share.value):
        return "-"
    if share.low is None or share.high is None:
        return hundredths(share.value)
    between = " to " if share.low < 0 else "-"
    ends = f"{hundredths(share.low)}{between}{hundredths(share.high)}"
    if always:
        return f"{hundredths(share.value)} [{ends}]"
    return ends if share.high - share.low > WIDE else hundredths(share.value)


def hundredths(value: float) -> str:
    """`.99`, `0`, `1`, `1.02`, `-.03`."""
    text = f"{value:.2f}"
    if float(text) in (0.0, 1.0):
        return f"{float(text):.0f}".removeprefix("-")
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def mark_text(mark: float) -> str:
    """`.5`."""
    return f"{mark:g}".removeprefix("0")


def change_text(change: Interval | None, factor: float = 1.0) -> str:
    """A signed value with the standard error that its interval stands for."""
    if change is None or not math.isfinite(change.value):
        return ""
    wide = None if change.low is None or change.high is None else (change.high - change.low) / ENDS
    return estimate_text(change.value * factor, None if wide is None else wide * factor, True)


def count_text(value: int | float | None) -> str:
    """A whole number with its thousands apart."""
    return "" if value is None or not math.isfinite(value) else f"{value:,.0f}"
