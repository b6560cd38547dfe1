"""What does a verdict rest on? Ends of the scale, checks, anchors, controls, bits and comparisons, as far as they were
run."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from soft_prompts.analysis.bits import Code
from soft_prompts.analysis.losses.drafts import Run
from soft_prompts.analysis.readings import Reading
from soft_prompts.analysis.scales import End, Scale
from soft_prompts.report.labels import unit_text
from soft_prompts.report.page.table import Cell, Links, Table, heads, number
from soft_prompts.report.text import NOTHING, Number, interval_text, listed, plain_name, value_text
from soft_prompts.results.roles import ANCHOR

Row = tuple[Cell, ...]
Named = Sequence[tuple[Reading, str]]
Loss = tuple[Number, Run]


def evidence_tables(named: Named, links: Links) -> tuple[Table, ...]:
    """Only what was measured: no empty table."""
    tables = (
        *(_checks(named), _scales(named, links), _anchors(named, links), _controls(named, links)),
        *(_bits(named, links), _codes(named, links), _contrasts(named), _conditions(named)),
    )
    return tuple(table for table in tables if table.rows)


def _checks(named: Named) -> Table:
    rows = [
        (Cell(name), Cell(check), Cell(found.state), number(found.figure, value_text(found.figure)), Cell(found.text))
        for reading, name in named
        for check, found in reading.checks.items()
    ]
    note = "An unknown one was not run; the next command beside the verdict runs it."
    return Table("Checks", note, heads("*curve", "*check", "*state", "figure", "*in words"), tuple(rows))


def _scales(named: Named, links: Links) -> Table:
    rows = [
        _scale(name, reading, scale, links)
        for reading, name in named
        for scale in (reading.deed, reading.loss)
        if scale is not None
    ]
    note = "Share 0 is the floor, share 1 the ceiling; neither comes from the curve's own prompts."
    names = ("*curve", "*by", "*floor", "value", "*ceiling", "value", "*half", "*nine tenths", "*shown by", "*sound")
    return Table("Scales and brackets", note, heads(*names), tuple(rows))


def _scale(name: str, reading: Reading, scale: Scale, links: Links) -> Row:
    most = max((point.tokens for point in reading.points), default=0)
    witness = scale.witness.get(scale.half.mark)
    shown = Cell(witness.path.stem, links.to(witness.path)) if witness is not None else Cell(NOTHING)
    by = f"{scale.by} ({unit_text(scale.unit) if '/' in scale.unit else plain_name(scale.unit)})"
    ends = [cell for end in (scale.floor, scale.ceiling) for cell in _end(end, links)]
    marks = [Cell(mark.text(most)) for mark in (scale.half, scale.nine_tenths)]
    return (Cell(name), Cell(by), *ends, *marks, shown, Cell("yes" if scale.sound else f"no: {scale.why or ''}"))


def _end(end: End | None, links: Links) -> Row:
    if end is None:
        return Cell(NOTHING), number(None)
    href = links.to(end.runs[0].path) if end.runs else ""
    return Cell(plain_name(end.kind)), Cell(value_text(end.value), href, True, end.value)


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
    columns = heads("*curve", "*anchor", "tokens", "least loss", "greatest", "files", "*models")
    return Table("Anchors", "Untrained or trained otherwise, on the same held-out items.", columns, tuple(rows))


def _loss(reading: Reading, run: Run, tokens: int) -> float | None:
    metric = run.result.metrics.get(reading.curve.metric)
    return metric.value if metric is not None and run.tokens == tokens else None


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
    rows = []
    for reading, name in named:
        for control in reading.controls:
            href = links.to(control.runs[0].path) if control.runs else ""
            shares = "; ".join(f"{tokens}: {interval_text(share)}" for tokens, share in sorted(control.shares.items()))
            cells = Cell(name), Cell(plain_name(control.name), href), Cell(shares or NOTHING), number(len(control.runs))
            rows.append(cells)
    note = "What cannot be learnt, trained like the task: its share by prompt tokens, from its own bare model."
    return Table("Controls", note, heads("*curve", "*control", "*share by tokens [95 %]", "files"), tuple(rows))


def _bits(named: Named, links: Links) -> Table:
    rows = []
    for reading, name in named:
        if reading.bits is None:
            continue
        prompt, pays = reading.bits.prompt, reading.bits.break_even_units
        size = Cell(_whole(prompt.bits), links.to(prompt.run.path), True, prompt.bits) if prompt else number(None)
        tokens, coordinate = (prompt.tokens, prompt.bits_per_coordinate) if prompt else (None, None)
        rows.append((Cell(name), size, number(tokens), number(coordinate), number(pays, _whole(pays))))
    note = "The fewest bits that keep the share to .02; N*: units of text after which the prompt has paid for itself."
    columns = heads("*curve", "prompt, bits", "of tokens", "bits a coordinate", "N*")
    return Table("Bits", note, columns, tuple(rows))


def _whole(value: Number | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _codes(named: Named, links: Links) -> Table:
    rows = [_code(name, code, links) for reading, name in named if reading.bits for code in reading.bits.codes]
    note = "Trained prompts rounded to so many bits a coordinate and not trained again."
    columns = heads("*curve", "tokens", "seed", "bits a coordinate", "bits", "loss", "lost")
    return Table("Rounded prompts", note, columns, tuple(rows))


def _code(name: str, code: Code, links: Links) -> Row:
    return (
        *(Cell(name), number(code.tokens), number(code.seed), number(code.bits_per_coordinate)),
        *(number(code.bits, _whole(code.bits)), Cell(value_text(code.loss), links.to(code.run.path), True, code.loss)),
        number(code.lost, value_text(code.lost, 0.01, signed=True)),
    )


def _contrasts(named: Named) -> Table:
    """Each pair once."""
    rows: list[Row] = []
    seen: set[tuple[object, ...]] = set()
    for reading, name in named:
        curve = reading.curve
        task = (curve.variant, curve.data, curve.prompt, curve.condition_mode)
        for one in reading.contrasts:
            if (*task, one.model, curve.model) in seen:
                continue
            seen.add((*task, curve.model, one.model))
            adjusted = number(one.adjusted, None if one.adjusted is None else f"{one.adjusted:.3f}")
            found = Cell(interval_text(one.difference), number=True)
            rows.append((Cell(name), Cell(one.model), Cell(one.text), number(one.tokens), found, adjusted))
    note = "Share of this curve minus that of the other model, at the same tokens; p after Holm over the tasks."
    columns = heads("*curve", "*other model", "*in words", "tokens", "difference [95 %]", "p")
    return Table("Beside other models", note, columns, tuple(rows))


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
    columns = heads("*curve", "tokens", "gain", "± one error", "items")
    return Table("What the conditions are worth", note, columns, tuple(rows))
