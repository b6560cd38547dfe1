"""How long does one step of soft-prompt training take here, and how long with PEFT and with a loop like the paper's?

`python -m tests.benchmarks.training_speed` times every contender at every token count on a model of random weights, in
turn, several times over, each in a process of its own (on a GPU in one, for its memory is counted tensor by tensor);
prints milliseconds, ratios, memory and the share of the machine's own matrix rate; writes them, and a figure, beside
the other references. `--help` lists the settings.

All get the same texts and start, and all text tokens are scored: the first losses have to agree. PEFT has no prompt
that depends on conditions; its nearest peer, against which a conditional prompt stands here too, is its prompt tuning
at the same token count.
"""

import json
import multiprocessing
import statistics
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from soft_prompts.common.machine import threads_for
from soft_prompts.engine.rows import recorded
from soft_prompts.models.loading.quiet import quiet
from tests.benchmarks.contenders import CONTENDERS, PEER, Case
from tests.benchmarks.machine import Memory, clock_of, describe, faster_dtypes, matrix_rate
from tests.benchmarks.shapes import FORMULA, SHAPES, Size, least_work, save_random

REFERENCE = Path(__file__).parent / "reference"
AGREEMENT = {"float32": 1e-4, "bfloat16": 1e-2}  # of the first losses, relative
WIDTH = 100  # columns of the table
ENOUGH_SECONDS = 15.0  # of measured steps in one process
NOTES = {
    "ms": "a step: CPU milliseconds of the process, on a GPU those until it has finished; median, least and most",
    "times": "as fast as PEFT's prompt tuning in the same precision (under autocast in bfloat16): its median step over "
    "this contender's, in each round; median, least and most over rounds",
    "mb": "the most that the process held during its steps (VmHWM), above what it held before its first step",
    "mb_share": "mb over the peer's",
    "mb_whole": "the same with model, torch and all else",
    "gflop": FORMULA,
    "share_of_rate": "gflop a second over the rate of a square matrix product in the same precision and process",
}
SMALLER: dict[str, dict[str, Any]] = {  # of models whose step takes seconds, unless a flag says otherwise
    "smollm2-135m": {
        "cases": (1, 16),
        "contenders": ("ours", "conditional", "PEFT"),
        "dtypes": ("float32",),
        "batch": 4,
        "length": 64,
        "rounds": 1,
    }
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    shape: Literal[tuple(SHAPES)] = "pythia-70m"  # pyright: ignore[reportInvalidTypeForm]
    """Of the model; its weights are random. smollm2-135m has smaller settings of its own: two minutes."""
    cases: tuple[int, ...] = (1, 16, 64, 256, 1024)
    """Prompt tokens."""
    contenders: tuple[Literal[tuple(CONTENDERS)], ...] = tuple(CONTENDERS)  # pyright: ignore[reportInvalidTypeForm]
    """Who takes part."""
    dtypes: tuple[Literal["float32", "bfloat16"], ...] = ()
    """Precisions; by default float32, and bfloat16 where a second's probe finds its matrix products faster."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where."""
    batch: int = 8
    """Samples a step."""
    length: int = 256
    """Text tokens a sample."""
    template: int = 0
    """So many of them all samples begin with, and none of these is scored: a chat's template, worked examples."""
    rounds: int = 3
    """Times that each contender is measured at each token count, in turn with the others."""
    steps: int = 3
    """Steps measured each time after a first one; fewer where they take long."""
    threads: int = threads_for(2)
    """Of each process."""
    quick: bool = False
    """One round of one step, and nothing is saved: does it run, and about how fast?"""
    save: Path | None = REFERENCE
    """Folder of the JSON and the figure; None writes nothing."""


class Measured(NamedTuple):
    """What one process found."""

    seconds: list[float]
    """Of each step behind the first."""
    loss: float
    """Before the first step."""
    mb: float
    mb_whole: float
    rate: float
    """Of a matrix product, multiplications and additions a second."""


def measure(name: str, folder: Path, case: Case, steps: int, threads: int) -> Measured:
    """One contender's work: a first step, which sets things up, and those that count."""
    warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for what has another name now
    torch.set_num_threads(threads)
    rate, clock = matrix_rate(case.dtype, case.device), clock_of(case.device)
    recorded.forget()  # what a GPU keeps of an earlier contender's steps
    with quiet():
        step = CONTENDERS[name].prepare(folder, case)
        memory, loss, seconds = Memory(case.device), step(), []
        if case.device == "cuda":
            step()  # is recorded
        while len(seconds) < steps and sum(seconds) < ENOUGH_SECONDS:
            began = clock()
            step()
            seconds.append(clock() - began)
    peak = memory.peak()
    return Measured(seconds, loss, peak - memory.before, peak, rate)


def rows_of(case: Case, size: Size, rounds: Sequence[dict[str, Measured]]) -> list[Row]:
    """A row a contender; raises ValueError where contenders disagree about the first loss."""
    peer = PEER[case.dtype]
    losses = {name: found.loss for name, found in rounds[0].items() if CONTENDERS[name].shared}
    if losses and max(losses.values()) - min(losses.values()) > AGREEMENT[case.dtype] * max(losses.values()):
        raise ValueError(f"at {case.tokens} tokens in {case.dtype} the first losses differ: {losses}")
    rows = []
    for name in rounds[0]:
        found = [one[name] for one in rounds]
        work = least_work(size, case.tokens, case.batch, case.length, CONTENDERS[name].shared, case.template)
        rates = [work / statistics.median(one.seconds) / one.rate for one in found]
        row = {"tokens": case.tokens, "dtype": case.dtype, "contender": name}
        row |= _spread("ms", [1000 * seconds for one in found for seconds in one.seconds], 1)
        row |= {what: round(statistics.median(getattr(one, what) for one in found)) for what in ("mb", "mb_whole")}
        if peer in rounds[0]:
            theirs = statistics.median(one[peer].mb for one in rounds)
            row |= _spread("times", ratios(rounds, name, peer), 2) | {"mb_share": round(row["mb"] / theirs, 2)}
        row |= {"gflop": round(work / 1e9, 1), "share_of_rate": round(statistics.median(rates), 3)}
        rows.append(row | {"matrix_gflop_per_second": round(statistics.median(one.rate for one in found) / 1e9, 1)})
    return rows


def ratios(rounds: Sequence[dict[str, Measured]], name: str, peer: str) -> list[float]:
    """The peer's median step over this one's, round by round: of the same minutes of the machine."""
    medians = [(statistics.median(one[peer].seconds), statistics.median(one[name].seconds)) for one in rounds]
    return [theirs / this for theirs, this in medians]


def _spread(name: str, values: Sequence[float], digits: int) -> Row:
    found = {name: statistics.median(values), f"{name}_least": min(values), f"{name}_most": max(values)}
    return {key: round(value, digits) for key, value in found.items()}


def measure_all(settings: Settings, dtypes: Sequence[str], folder: Path) -> Iterator[list[Row]]:
    """The rows of one token count in one precision after another."""
    with quiet():
        size = save_random(settings.shape, folder)
    for dtype in dtypes:
        for tokens in settings.cases:
            case = Case(tokens, dtype, settings.device, settings.batch, settings.length, settings.template)
            names = [name for name in settings.contenders if dtype in CONTENDERS[name].dtypes]
            given, work = (folder, case, settings.steps, settings.threads), _apart if case.device == "cpu" else measure
            rounds = [{name: work(name, *given) for name in names} for _ in range(settings.rounds)]
            yield rows_of(case, size, rounds)


def _apart(*given: Any) -> Measured:
    """What a fresh process measures."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *given).result()


def table_of(rows: Sequence[Row], title: str) -> Table:
    """Within 100 columns."""
    table = Table("P", title=title)
    table.add_column("contender", no_wrap=True)
    for name in ("ms a step", "least-most", "x PEFT", "least-most", "MB", "of PEFT", "of rate"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, row in enumerate(rows):
        times = (f"{row['times']:.2f}", _span(row, "times", ".2f")) if "times" in row else ("", "")
        memory = (f"{row['mb']}", f"{row['mb_share']:.2f}" if "times" in row else "")
        cells = (f"{row['ms']:.0f}", _span(row, "ms", ".0f"), *times, *memory, f"{row['share_of_rate']:.0%}")
        last = number + 1 == len(rows) or rows[number + 1]["tokens"] != row["tokens"]
        table.add_row(str(row["tokens"]), row["contender"], *cells, end_section=last)
    return table


def _span(row: Row, name: str, form: str) -> str:
    return f"{row[f'{name}_least']:{form}}-{row[f'{name}_most']:{form}}"


def drawn(figures: Row) -> Figure:
    """Milliseconds a step above, memory below, over prompt tokens; a column a precision."""
    dtypes = list(dict.fromkeys(row["dtype"] for row in figures["rows"]))
    figure = Figure(figsize=(0.5 + 5.5 * len(dtypes), 8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(dtypes), squeeze=False, sharex=True, sharey="row")
    for column, dtype in enumerate(dtypes):
        for name, colour in zip(CONTENDERS, ("C0", "C0", "C2", "C2", "C3", "C3", "C1", "C7"), strict=True):
            rows = [row for row in figures["rows"] if row["dtype"] == dtype and row["contender"] == name]
            look = {"color": colour, "linestyle": "--" if "plain" in name else "-", "marker": "o", "label": name}
            for panel, what in zip(panels[:, column], ("ms", "mb"), strict=True):
                panel.plot([row["tokens"] for row in rows], [row[what] for row in rows], **look if rows else {})
        top, bottom = panels[:, column]
        top.set(title=f"{figures['shape']}, {dtype}", xscale="log", yscale="log", ylabel="ms a step")
        bottom.set(xscale="log", yscale="log", xlabel="prompt tokens P", ylabel="MB above what a process holds")
        bottom.set_xticks(figures["cases"], [str(tokens) for tokens in figures["cases"]])
        bottom.minorticks_off()
        top.legend(fontsize=8, frameon=False)
    alike = f", {figures['template']} of them a template" if figures.get("template") else ""
    figure.suptitle(f"{figures['batch']} x {figures['length']} text tokens{alike}; {figures['machine']['device']}")
    return figure


def main(settings: Settings) -> None:
    """Measure, print after every token count, and keep it."""
    usual, own = Settings(), SMALLER.get(settings.shape, {})
    left = {name: value for name, value in own.items() if getattr(settings, name) == getattr(usual, name)}
    settings = replace(settings, **left)
    if not 0 <= settings.template < settings.length:
        sys.exit(f"template is {settings.template}; give less than length, {settings.length}")
    if settings.quick:
        settings = Settings(**asdict(settings) | {"rounds": 1, "steps": 1, "save": None})
    torch.set_num_threads(settings.threads)
    dtypes = settings.dtypes or faster_dtypes(settings.device)
    kept = ("shape", "cases", "batch", "length", "template", "rounds", "steps")
    figures: Row = {name: getattr(settings, name) for name in kept}
    figures |= {"machine": describe(settings.device, settings.threads), "notes": NOTES, "rows": []}
    console = Console(width=WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        for rows in measure_all(settings, dtypes, Path(folder)):
            figures["rows"] += rows
            console.print(table_of(rows, f"{settings.shape}, {rows[0]['dtype']}, {settings.batch} x {settings.length}"))
            if settings.save:
                _save(figures, settings.save, _name(settings))


def _name(settings: Settings) -> str:
    """The reference of the usual shape has the benchmark's name alone."""
    other = [] if settings.shape == "pythia-70m" else [settings.shape.replace("-", "_")]
    other += ["template"] if settings.template else []
    return "_".join(["training_speed", *other, *([] if settings.device == "cpu" else [settings.device])])


def _save(figures: Row, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
    drawn(figures).savefig(folder / f"{name}.png", dpi=100)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
