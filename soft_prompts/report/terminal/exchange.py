"""What does it cost to bring a skill out, in every unit? The exchange table of `compare --units`, a row a curve."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from soft_prompts.analysis.readings import Reading
from soft_prompts.analysis.units import Amount, Units, VectorShare, units, vector_shares, without_edl
from soft_prompts.report.labels import NATS, Labels, group_name
from soft_prompts.report.terminal.numbers import count_text, hundredths, mark_text
from soft_prompts.report.terminal.sentences import print_hanging
from soft_prompts.results.findings import Finding
from soft_prompts.stats.brackets import Bracket

COLUMNS = (
    *("soft\ntokens", "hard\ntokens", "prompt\nbits", "EDL\nbits"),
    *("LoRA\nrank", "para-\nmeters", "exam-\nples"),
)
VECTOR_SAYS = "vector's share: of the scale, by one steering vector on the same items"
VECTOR = "vector's\nshare"
OTHERS = 52  # characters that they take
Row = tuple[str, Reading, Units]


def print_exchange(console: Console, readings: Sequence[Reading], findings: Sequence[Finding] = ()) -> None:
    """Of curves with one experiment and data set; a score has no price. Vectors that were measured on a curve's items
    are among the findings."""
    curves = [reading.curve for reading in readings]
    if not curves[0].unit.startswith(NATS):
        return
    labels = Labels(curves)
    priced = [(labels.row(one.curve), one, units(one)) for one in readings]
    found = [row for row in priced if row[2].soft_tokens is not None]
    if found:
        _print_table(
            console, f"{group_name(curves)}: what reaches a share of {mark_text(found[0][2].mark)}", found, findings
        )
    if without := [name for name, _, price in priced if price.soft_tokens is None]:
        where = "" if found else f"{group_name(curves)}: "
        print_hanging(console, Text(f"{where}no sound scale: {', '.join(without)}", style="dim"))


def _print_table(console: Console, title: str, rows: Sequence[Row], findings: Sequence[Finding]) -> None:
    shares = [vector_shares(reading, findings) for _, reading, _ in rows]
    console.print(Text(title, style="bold"))
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("\nmodel", max_width=max(console.width - OTHERS, 12), overflow="fold")
    for column in [*COLUMNS, VECTOR] if any(shares) else COLUMNS:
        table.add_column(column, justify="right", overflow="fold")
    for (name, reading, price), mine in zip(rows, shares, strict=True):
        last = [shares_text(mine)] if any(shares) else []
        table.add_row(Text(name, style="bold cyan"), *_cells(reading, price), *last)
    console.print(table)
    said = f"; {VECTOR_SAYS}" if any(shares) else ""
    print_hanging(console, Text(f"> what was tried and does not reach it; empty: not run{said}", style="dim"))
    for why in sorted({why for _, reading, price in rows for why in without_edl([reading], price.mark)}):
        print_hanging(console, Text(why, style="dim"))


def _cells(reading: Reading, price: Units) -> list[str]:
    most = max((point.tokens for point in reading.points), default=0)
    amounts = (price.ranks, price.parameters, price.shots)
    return [
        "" if price.soft_tokens is None else bracket_text(price.soft_tokens, most),
        amount_text(price.hard_tokens),
        count_text(price.prompt_bits),
        count_text(price.edl_bits),
        *map(amount_text, amounts),
    ]


def bracket_text(bracket: Bracket, most: int) -> str:
    """`1`, `3-4` of more than 2 and at most 4, `> 16` of not reached; counts in doubt may reach it already."""
    if bracket.at_most is None:
        if bracket.state != "not_reached":
            return ""
        return f"> {bracket.more_than or 0}" if bracket.in_doubt else f"> {most}"
    least = 0 if bracket.at_most == 0 else (bracket.more_than or 0) + 1
    return str(bracket.at_most) if least == bracket.at_most else f"{least}-{bracket.at_most}"


def shares_text(shares: Sequence[VectorShare]) -> str:
    """`.83`; of several vectors each with its method."""
    if len(shares) == 1:
        return hundredths(shares[0].share)
    return ", ".join(f"{one.method} {hundredths(one.share)}" for one in shares)


def amount_text(amount: Amount | None) -> str:
    """`8`, `> 8`; `yes` or `no` where the result does not say how much it used."""
    if amount is None:
        return ""
    if amount.reached:
        return "yes" if amount.least is None else count_text(amount.least)
    return "no" if amount.most is None else f"> {count_text(amount.most)}"
