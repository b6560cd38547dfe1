"""How wide is a text? Rather too wide than too narrow, so that no two names touch in any reader's font.

Advance widths of DejaVu Sans, the widest of the usual sans-serif fonts and the one that PNG and PDF are set in.
"""

from soft_prompts.report.text import Number

WIDTHS = {  # in ems, rounded up
    0.30: "'ijlIJ",
    0.36: " ,./:;\\|f-·",
    0.42: "()[]t!r₀₁₂₃₄₅₆₇₈₉",
    0.54: '"*_`sz?\N{EN DASH}',
    0.60: "cLFkvxyP",
    0.65: "TYaoeESbdghnpqu$0123456789{}",
    0.71: "KAVBRXZC",
    0.79: "UHNDG&OQ",
    0.88: "w#+<=>^~M±→\N{MINUS SIGN}",
}
WIDEST = 1.0  # of any other letter
BOLD = 1.13  # times as wide, over whole words
_BY_LETTER = {letter: width for width, letters in WIDTHS.items() for letter in letters}


def text_width(text: str, size: Number, bold: bool = False) -> float:
    ems = sum(_BY_LETTER.get(letter, WIDEST) for letter in text)
    return ems * size * (BOLD if bold else 1.0)


def shortened(text: str, room: Number, size: Number, bold: bool = False) -> str:
    """As much of it as fits, its end rather than its middle left out."""
    if text_width(text, size, bold) <= room:
        return text
    kept = text
    while len(kept) > 1 and text_width(f"{kept}…", size, bold) > room:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"
