"""How do words and numbers of results stand on the page? What nobody could see is written out; digits end with their
error."""

import math
import re
from collections.abc import Sequence

from markupsafe import Markup

# Control characters but tab and line feed, marks that turn the direction of writing or have no width, halves of a
# surrogate pair, and what Unicode never assigns: a page that holds them may show something else than what was written.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
Number = int | float

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"  # in the place of a number that is not there


def visible(text: str) -> str:
    """The text with each unseen character as its code point, as ⟨U+202E⟩; carriage returns before a line feed go."""
    if isinstance(text, Markup):
        return text
    return UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n"))


def shorter(text: str, most: int) -> str:
    """The first `most` characters, and how many are left out."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most:,} more characters)"


def value_text(value: Number | None, stderr: Number | None = None, signed: bool = False) -> str:
    """As many digits as the standard error has two of, else four."""
    if value is None:
        return NOTHING
    decimals = min(max(1 - math.floor(math.log10(stderr)), 0), 6) if stderr else _decimals(value)
    return f"{value:{'+' if signed else ''},.{decimals}f}".replace("-", MINUS)


def _decimals(value: Number) -> int:
    return 3 if value == 0 else min(max(3 - math.floor(math.log10(abs(value))), 0), 6)


def share_text(value: Number | None) -> str:
    """`.62`, `1.00`: no zero before the point, as in the sentences."""
    return NOTHING if value is None else re.sub(r"^(-?)0\.", r"\1.", f"{value:.2f}").replace("-", MINUS)


def interval_text(found: Sequence[Number | None] | None) -> str:
    """`.62 [.55, .70]`, of a value and its ends; the value alone where there are none."""
    if found is None:
        return share_text(None)
    value, low, high = found
    ends = "" if low is None or high is None else f" [{share_text(low)}, {share_text(high)}]"
    return f"{share_text(value)}{ends}"


def count_text(count: int, noun: str) -> str:
    """`1 run`, `1,204 runs`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def plain_name(name: str) -> str:
    """`chat_detuning` as words."""
    return name.replace("_", " ")


def anchor_id(*parts: object) -> str:
    """A name for a place on the page: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(str(part) for part in parts if part).lower()).strip("-") or "part"
