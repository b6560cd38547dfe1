"""What is read of models whose truth is known? Organisms are made, asked by ordinary runs with their evidence, and
their results are read as everybody's are: soft_prompts/analysis/readings.py.

A question is one curve: prompts of a few token counts, frequencies, random tokens, what can be had, a control, three
seeds at the ends of the bracket. Where the mark is not reached the search is doubted too: the whole battery, and
secrets planted in the same model, or locks that copies of it are taught.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.calibration.catalogue import ORGANISMS, Organism, Truth
from soft_prompts.calibration.codebook import Books, CodebookReading, read_codebook
from soft_prompts.calibration.organisms import organism_folder, samples_file
from soft_prompts.calibration.suite_options import SuiteOptions
from soft_prompts.common.console import say
from soft_prompts.config import RunConfig
from soft_prompts.experiments.beside import Going, Sharing, make_parts
from soft_prompts.experiments.evidence.locks import lock_runs, untaught_run
from soft_prompts.experiments.evidence.order import Part, Read, Reader, Standing, Wish, battery_parts, parts
from soft_prompts.experiments.evidence.planting import Planting, plant
from soft_prompts.experiments.evidence.power import power_runs
from soft_prompts.experiments.evidence.subjects import open_subject
from soft_prompts.experiments.sweep import run_all
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.tasks.known_source import KnownSourceTask, SelfPlantedTask
from soft_prompts.training.apparatus import load_for, run_paths

MARKS = {"selector": 0.5, "partial": 0.9}  # family -> share that a prompt of a book has to reach
BOOKS = {  # long enough for 2^6 to be in all
    "selector": Books(8, 1024, entries=8),
    "partial": Books(16, 512, entries=12),
}
STANDARD = Wish(is_full=False, resolve=True)
SELF_PLANTED = "self-planted secret"


class Asked(NamedTuple):
    """What is known of a cell before it is read."""

    organism: str
    what: str
    question: str
    truth: Truth
    row: str
    """Of the table of truths against verdicts."""
    size: int = 0
    """Of the organism in its family; of a secret its tokens."""


class Cell(NamedTuple):
    """A question and the runs of its grid, the bare model's first."""

    asked: Asked
    configs: tuple[RunConfig, ...]


class CellReading(NamedTuple):
    """A question and its answer."""

    asked: Asked
    reading: Reading


class BookReading(NamedTuple):
    """Bits of an organism by the codebook, a reading a table."""

    organism: Organism
    readings: tuple[CodebookReading, ...]


@dataclass(frozen=True)
class SuiteReadings:
    """All that the suite found."""

    cells: tuple[CellReading, ...] = ()
    books: tuple[BookReading, ...] = ()
    failures: tuple[str, ...] = field(default=())


def read_suite(options: SuiteOptions) -> SuiteReadings:
    """Make what is missing, then read everything."""
    organisms = [ORGANISMS[name] for name in dict.fromkeys(options.organisms)]
    folders = {organism.name: organism_folder(organism, options.output_dir) for organism in organisms}
    cells = [cell for organism in organisms for cell in cells_of(options, organism, folders[organism.name])]
    cells += [cell for model in options.planted_in for cell in secret_cells(options, model)]
    say(f"{len(cells)} cells of {len({cell.asked.organism for cell in cells})} organisms")
    runs = [config for cell in cells for config in cell.configs]
    failures = run_all(runs, options.jobs)
    beside = make_parts(going_of(cells), runs, Sharing(options.jobs))
    paths = [run_paths(config).result for config in dict.fromkeys([*runs, *beside.configs])]
    books = tuple(read_books(one, folders[one.name]) for one in organisms if one.family in BOOKS)
    return SuiteReadings(read_cells(cells, paths), books, (*failures, *beside.failures))


def cells_of(options: SuiteOptions, organism: Organism, folder: Path) -> list[Cell]:
    """One for each question that the organism is asked."""
    cells = []
    for one in organism.questions:
        path = samples_file(one.name, one.table, options.output_dir)
        asked = Asked(organism.name, organism.what, one.name, one.truth, one.row, organism.size)
        cells.append(Cell(asked, _grid(base_run(options, str(folder), str(path)), options.tokens)))
    return cells


def secret_cells(options: SuiteOptions, model: str) -> list[Cell]:
    """Secrets of a few tokens, planted in an embedded model: at most as many bring out what it says behind them."""
    cells = []
    for tokens in options.planted:
        planting = Planting(tokens, options.secrets, target_tokens=8, training=4096, test=512)
        base = replace(
            base_run(options, model, ""), task=SelfPlantedTask(), sample_tokens=planting.length, steps=2 * options.steps
        )
        frozen = load_for(base)
        rate = float(f"{frozen.vocabulary.float().pow(2).mean().sqrt().item():.2g}")  # alike on every machine
        for planted in plant(frozen, planting, options.output_dir):
            what = f"its own words behind {tokens} secret token{'' if tokens == 1 else 's'}"
            asked = Asked(model, what, planted.samples.stem, "hidden", SELF_PLANTED, tokens)
            run = replace(base, data=str(planted.samples), learning_rate=rate)
            cells.append(Cell(asked, _grid(run, sorted({max(1, tokens // 2), tokens, 2 * tokens}))))
    return cells


def base_run(options: SuiteOptions, model: str, data: str) -> RunConfig:
    """Settings of every run."""
    return RunConfig(
        KnownSourceTask(),
        model,
        0,
        data=data,
        prompt="direct",
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        weight_decay=0.0,
        warmup_steps=min(20, options.steps),
        sample_tokens=8,
        test_samples=1000,
        validate_every=max(1, options.steps // 3),
        checkpoint_every=2 * options.steps,
        data_workers=0,
        device="cpu",
        output_dir=options.output_dir,
        offline=True,
    )


def _grid(base: RunConfig, tokens: Sequence[int]) -> tuple[RunConfig, ...]:
    return tuple(replace(base, tokens=count) for count in (0, *tokens))


def going_of(cells: Sequence[Cell]) -> list[Going]:
    """The evidence of every cell."""
    read, planted, going = Reader([], None), dict[str, bool](), []
    for cell in cells:
        standing = Standing(open_subject(cell.configs))
        going.append(Going(standing, STANDARD, evidence_of(standing, read, planted)))
    return going


def evidence_of(standing: Standing, read: Read, planted: dict[str, bool]) -> Iterator[Part]:
    """Standard evidence; where no prompt reaches the mark also the battery and the search's power, secrets
    planted once a model, for they do not depend on the question, and locks taught where they say nothing."""
    yield from parts(standing, STANDARD, read)
    half = read(standing).half
    if half is None or half.state != "not_reached":
        return
    yield from battery_parts(standing, max(standing.subject.counts))
    base = standing.subject.base
    if base.model not in planted:
        planted[base.model] = False
        yield Part("power", power_runs(base))
        planted[base.model] = read(standing).has_power
    if not planted[base.model]:
        yield Part("power, untaught", [untaught_run(base)])
        yield Part("power, taught", lock_runs(base))


def read_cells(cells: Sequence[Cell], paths: Sequence[Path]) -> tuple[CellReading, ...]:
    """Each cell's curve, as `soft-prompts compare` reads it."""
    curves: dict[tuple[str, str], Reading] = {}
    for reading in read_all(paths).readings:
        place = reading.curve.model, reading.curve.data
        if place not in curves or len(reading.runs) > len(curves[place].runs):
            curves[place] = reading
    found = []
    for cell in cells:
        reading = curves.get((cell.configs[0].model, cell.asked.question))
        found += [] if reading is None else [CellReading(cell.asked, reading)]
    return tuple(found)


def read_books(organism: Organism, folder: Path) -> BookReading:
    """Bits by the codebook code, one reading a table."""
    frozen = load_frozen_model(str(folder), offline=True)
    readings = read_codebook(frozen, organism.book_tables, MARKS[organism.family], BOOKS[organism.family])
    return BookReading(organism, tuple(readings))
