"""What does a distance rest on? Anchors, controls, battery, bits and comparisons, as far as they were run."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from soft_prompts.analysis.battery import Optimiser
from soft_prompts.analysis.bits import Bits, Code
from soft_prompts.analysis.controls import Control
from soft_prompts.analysis.drafts import Run
from soft_prompts.analysis.readings import Reading
from soft_prompts.report.drawing.forest import distance_text
from soft_prompts.report.page.distances import most_tokens
from soft_prompts.report.page.losses import metric_value
from soft_prompts.report.page.table import Cell, Links, Table, number
from soft_prompts.report.page.text import (
    MINUS,
    NOTHING,
    Number,
    count_text,
    listed,
    plain_name,
    share_text,
    tokens_text,
    value_text,
)
from soft_prompts.results.roles import ANCHOR
from soft_prompts.stats.contrasts import Contrast, Selectivity

Row = tuple[Cell, ...]
Named = Sequence[tuple[Reading, str]]
Loss = tuple[float, Run]


def evidence_tables(members: Sequence[Reading], names: Sequence[str], links: Links) -> tuple[Table, ...]:
    """Only what was measured: no empty table."""
    named = list(zip(members, names, strict=True))
    tables = (
        _anchors(named, links),
        _controls(named, links),
        _battery(named, links),
        _bits(named, links),
        _codes(named, links),
        _contrasts(named),
        _conditions(named),
    )
    return tuple(table for table in tables if table.rows)


def _heads(*names: str) -> Row:
    """The first is a name, the others are numbers; `*` before a name: it is text."""
    return tuple(Cell(name.removeprefix("*"), number=not name.startswith("*")) for name in names)


def _anchors(named: Named, links: Links) -> Table:
    """One row for the curves that share the files of an anchor."""
    shared: dict[tuple[str, int, tuple[Path, ...]], list[str]] = defaultdict(list)
    losses: dict[tuple[str, int, tuple[Path, ...]], list[Loss]] = {}
    for reading, name in named:
        for role, runs in reading.anchors.items():
            for tokens in sorted({run.tokens for run in runs}):
                valued = [(value, run) for run in runs if (value := _loss(reading, run, tokens)) is not None]
                if valued:
                    key = role, tokens, tuple(run.path for _, run in valued)
                    shared[key].append(name)
                    losses[key] = sorted(valued, key=lambda pair: pair[0])
    rows = [
        _anchor("all" if len(names) == len(named) > 1 else listed(names), key[0], key[1], losses[key], links)
        for key, names in shared.items()
    ]
    heads = _heads("*curve", "*anchor", "tokens", "least loss", "greatest", "files", "*models")
    return Table("Anchors", "Untrained or trained otherwise, on the same held-out items.", heads, tuple(rows))


def _loss(reading: Reading, run: Run, tokens: int) -> float | None:
    return metric_value(run, reading.curve.metric) if run.tokens == tokens else None


def _anchor(name: str, role: str, tokens: int, valued: Sequence[Loss], links: Links) -> Row:
    (least, first), (greatest, last) = valued[0], valued[-1]
    models = listed(sorted({run.result.model.name for _, run in valued}))
    return (
        *(Cell(name), Cell(plain_name(role.removeprefix(ANCHOR))), number(tokens)),
        Cell(value_text(least), links.to(first.path), True, least),
        Cell(value_text(greatest), links.to(last.path), True, greatest),
        *(number(len(valued)), Cell(models)),
    )


def _controls(named: Named, links: Links) -> Table:
    rows = [_control(name, control, links) for reading, name in named for control in reading.controls]
    note = "Selectivity: doublings of tokens + 1 by which the control is farther; at least 1 is asked for."
    heads = _heads("*curve", "*control", "d₅₀ [95 %]", "selectivity", "files")
    return Table("Controls", note, heads, tuple(rows))


def _control(name: str, control: Control, links: Links) -> Row:
    distance = control.distance
    text = distance_text(distance.d_50, most_tokens(distance)) if distance else control.no_distance or NOTHING
    href = links.to(control.runs[0].path) if control.runs else ""
    return (
        *(Cell(name), Cell(plain_name(control.name), href), Cell(text, number=True)),
        *(Cell(_selectivity(control.selectivity), number=True), number(len(control.runs))),
    )


def _selectivity(found: Selectivity) -> str:
    return f"{'≥ ' if found.is_bound and found.value is not None else ''}{value_text(found.value)}"


def _battery(named: Named, links: Links) -> Table:
    tried = [(reading, name) for reading, name in named if reading.battery or reading.violations]
    rows = [_optimiser(name, reading, reading.battery, links) for reading, name in tried]
    note = (
        "At the most tokens. Moved: share of the best trial minus the curve's; elasticity: share a doubling of steps."
    )
    names = ("moved", "search start", "failures", "seeds", "elasticity", "*worse than with fewer tokens", "*trials")
    return Table("Optimiser battery", note, _heads("*curve", *names), tuple(rows))


def _optimiser(name: str, reading: Reading, battery: Optimiser | None, links: Links) -> Row:
    """A dash where nothing was tried; the first trial is linked, the others stand in the table of results."""
    violations = listed([tokens_text(tokens) for tokens in reading.violations]) or NOTHING
    if battery is None:
        return (Cell(name), *[number(None)] * 5, Cell(violations), Cell(NOTHING))
    trials = [f"{plain_name(role.removeprefix('battery:'))} {len(runs)}" for role, runs in battery.runs.items()]
    first = next((runs[0] for runs in battery.runs.values() if runs), None)
    return (
        Cell(name),
        number(battery.moved, _change(battery.moved)),
        number(battery.search, share_text(battery.search)),
        number(battery.failure_rate, _percent(battery.failure_rate)),
        number(battery.seeds),
        number(battery.elasticity, _change(battery.elasticity)),
        Cell(violations),
        Cell(", ".join(trials) or NOTHING, links.to(first.path) if first else ""),
    )


def _change(value: Number | None) -> str:
    return value_text(value, 0.01, signed=True)


def _percent(share: Number | None) -> str:
    return NOTHING if share is None else f"{share:.0%}"


def _bits(named: Named, links: Links) -> Table:
    rows = [_size(name, reading.bits, links) for reading, name in named if reading.bits]
    note = "d in bits: the fewest at which a rounded prompt reaches the share. N*: units of text that pay for it."
    names = ("d₅₀, bits", "d₉₀, bits", "prompt, bits", "of tokens", "bits a coordinate", "N*", "*shortest for N units")
    return Table("Bits", note, _heads("*curve", *names), tuple(rows))


def _size(name: str, bits: Bits, links: Links) -> Row:
    prompt = bits.prompt
    return (
        *(Cell(name), *(number(least, _whole(least)) for least in (bits.d_50, bits.d_90))),
        Cell(_whole(prompt.bits), links.to(prompt.run.path), True, prompt.bits) if prompt else number(None),
        *(number(prompt.tokens if prompt else None), number(prompt.bits_per_coordinate if prompt else None)),
        *(number(bits.break_even_units, _whole(bits.break_even_units)), Cell(_lengths(bits) or NOTHING)),
    )


def _lengths(bits: Bits) -> str:
    """MDL(N): with how many tokens N units are sent in the fewest bits."""
    return "; ".join(
        f"{one.units:,}: {count_text(one.tokens, 'token') if one.tokens else 'no prompt'}, {one.bits:,.0f} bits"
        for one in bits.lengths
    )


def _whole(value: Number | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _codes(named: Named, links: Links) -> Table:
    rows = [_code(name, code, links) for reading, name in named if reading.bits for code in reading.bits.codes]
    note = "Trained prompts rounded to so many bits a coordinate and not trained again."
    heads = _heads("*curve", "tokens", "seed", "bits a coordinate", "bits", "loss", "lost", "share")
    return Table("Rounded prompts", note, heads, tuple(rows))


def _code(name: str, code: Code, links: Links) -> Row:
    return (
        *(Cell(name), number(code.tokens), number(code.seed), number(code.bits_per_coordinate)),
        *(number(code.bits, _whole(code.bits)), Cell(value_text(code.loss), links.to(code.run.path), True, code.loss)),
        *(number(code.lost, _change(code.lost)), number(code.share, share_text(code.share))),
    )


def _contrasts(named: Named) -> Table:
    rows: list[Row] = []
    seen: set[tuple[object, ...]] = set()
    for reading, name in named:
        curve = reading.curve
        task = (curve.variant, curve.data, curve.prompt, curve.condition_mode)
        for one in reading.contrasts:
            if (*task, one.model, curve.model) in seen:
                continue  # the same pair, the other way round
            seen.add((*task, curve.model, one.model))
            adjusted = number(one.adjusted, None if one.adjusted is None else f"{one.adjusted:.3f}")
            rows.append((Cell(name), Cell(one.model), *_contrast(one.contrast), adjusted, number(one.tasks)))
    note = "d₅₀ of this curve minus that of the other model, in doublings of tokens + 1; p after Holm over the tasks."
    heads = _heads("*curve", "*other model", "difference", "95 %", "left out", "p", "tasks")
    return Table("Beside other models", note, heads, tuple(rows))


def _contrast(found: Contrast) -> Iterable[Cell]:
    """An end of the interval that is None lies beyond every count tried."""
    low = f"{MINUS}∞" if found.low is None else _change(found.low)
    high = "∞" if found.high is None else _change(found.high)
    yield number(found.value, _change(found.value))
    yield Cell(NOTHING if found.p_value is None else f"{low} to {high}", number=True)
    yield number(found.left_out, _percent(found.left_out))


def _conditions(named: Named) -> Table:
    rows = [
        (
            *(Cell(name), number(one.tokens)),
            *(number(one.value, value_text(one.value, one.stderr, True)), number(one.stderr, value_text(one.stderr))),
            number(one.items),
        )
        for reading, name in named
        for one in reading.curve.condition_information
    ]
    note = "Loss of a prompt trained without conditions minus that of one with them, on the same items."
    return Table(
        "What the conditions are worth", note, _heads("*curve", "tokens", "gain", "± one error", "items"), tuple(rows)
    )
