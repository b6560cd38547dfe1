"""What was measured at each number of prompt tokens, and which prompts were tried for it?"""

from collections.abc import Sequence

from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.points import Point
from soft_prompts.analysis.readings import Reading
from soft_prompts.analysis.units import without_edl
from soft_prompts.report.page.table import Cell, Links, Table, heads, number
from soft_prompts.report.text import NOTHING, Number, interval_text, plain_name, value_text
from soft_prompts.stats.bootstrap import Interval

Named = Sequence[tuple[Reading, str]]


def points_table(named: Named, links: Links) -> Table:
    rows = [_point(name, point, links) for reading, name in named for point in reading.points]
    names = ("*curve", "tokens", "chosen prompt", "gain [95 %]", "items improved", "outcome [95 %]")
    more = ("share by deed", "share by loss", "on training samples", "samples seen", "EDL, bits")
    note = "The prompt that validation chooses, on held-out items; its gain is paired with the bare model, nats a unit."
    for why in without_edl(reading for reading, _ in named):
        note = f"{note} {why[0].upper()}{why[1:]}."
    return Table("Numbers", note, heads(*names, *more), tuple(rows))


def _point(name: str, point: Point, links: Links) -> tuple[Cell, ...]:
    spread = f" ± {value_text(point.stderr, point.stderr)}" if point.stderr else ""
    value = f"{value_text(point.value, point.stderr)}{spread}"
    return (
        *(Cell(name), number(point.tokens), Cell(value, links.to(point.chosen.path), True, point.value)),
        *(Cell(_gain(point.gain), number=True), number(point.improved, _percent(point.improved))),
        *(Cell(interval_text(one), number=True) for one in (point.outcome, point.share_deed, point.share_loss)),
        *(number(point.training_loss, value_text(point.training_loss)), number(point.distinct_samples)),
        number(point.edl_bits, None if point.edl_bits is None else f"{point.edl_bits:,.0f}"),
    )


def _gain(gain: Interval | None) -> str:
    if gain is None:
        return NOTHING
    spread = (gain.high - gain.low) / 4 if gain.low is not None and gain.high is not None else None
    value, *ends = (value_text(one, spread, True) for one in (gain.value, gain.low, gain.high) if one is not None)
    return f"{value} [{', '.join(ends)}]" if len(ends) == 2 else value


def _percent(share: Number | None) -> str | None:
    return None if share is None else f"{share:.0%}"


def prompts_table(named: Named, links: Links) -> Table:
    """Every prompt that counts; nothing where each count has one alone."""
    rows = []
    for reading, name in named:
        chosen = {point.chosen.path for point in reading.points}
        tried = [run for run in reading.prompts if run.tokens]
        if len({run.tokens for run in tried}) < len(tried):
            rows += [_prompt(name, reading, run, run.path in chosen, links) for run in sorted(tried, key=_order)]
    note = "Seeds and trials of the search alike; validation chooses one of each number of tokens."
    columns = heads("*curve", "tokens", "*made as", "seed", "rate", "steps", "validation loss", "held-out", "*chosen")
    return Table("Every prompt tried", note, columns, tuple(rows))


def _order(run: Run) -> tuple[int, str, int]:
    return run.tokens, run.result.role, run.seed


def _prompt(name: str, reading: Reading, run: Run, is_chosen: bool, links: Links) -> tuple[Cell, ...]:
    training, metrics = run.result.training, run.result.metrics
    validation, value = (metrics.get(metric) for metric in ("validation_loss", reading.curve.metric))
    made = plain_name(run.result.role.removeprefix("battery:"))
    shown = Cell(NOTHING, number=True)
    if value is not None and value.value is not None:
        shown = Cell(value_text(value.value, value.stderr), links.to(run.path), True, value.value)
    before = validation.value if validation is not None else None
    return (
        *(Cell(name), number(run.tokens), Cell(made), number(run.seed)),
        *(number(training.learning_rate, f"{training.learning_rate:g}"), number(training.steps)),
        *(number(before, value_text(before)), shown, Cell("chosen" if is_chosen else "")),
    )
