"""What does the measure read on organisms whose distance is known? Make them, train prompts, read, and judge.

Every prompt is trained by an ordinary run, every number comes from stored results (and, for bits, from books of random
prompts); what is there already is read. The verdicts are soft_prompts/calibration/verdicts.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from soft_prompts.calibration.certificate import Certificate, certify
from soft_prompts.calibration.codebook import Books, CodebookReading, read_codebook
from soft_prompts.calibration.options import CalibrateOptions
from soft_prompts.calibration.organisms import ORGANISMS, Organism, organism_folder, samples_file
from soft_prompts.calibration.reading import Cell, load_cell, read_cell
from soft_prompts.common.console import say
from soft_prompts.common.errors import UsageError, near_match
from soft_prompts.config import RunConfig
from soft_prompts.experiments.sweep import run_all
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.stats.distance import Distance
from soft_prompts.tasks.known_source import KnownSourceTask
from soft_prompts.training.apparatus import run_paths

MARKS = {"selector": 0.5, "partial": 0.9}  # family -> share that a prompt of a book has to reach
BOOKS = {"selector": Books(8, 1024), "partial": Books(16, 512, entries=12)}  # long enough for 2^6 to be in all
UNTRAINED = ("selector",)  # families without trained prompts: bits alone are planted
BY_TWO = ("learning_rate", "steps", "batch_size")


@dataclass(frozen=True)
class SuiteOptions:
    """What the suite does; a preset is one of these, flags change it."""

    organisms: tuple[str, ...] = tuple(ORGANISMS)
    """Organisms that are made and read."""
    varied: tuple[str, ...] = ("password-1", "password-2", "password-4", "password-strict-3")
    """Organisms that are read again with twice and half the learning rate, steps and batch; those among organisms."""
    certified: tuple[str, ...] = ("tiny-mazes",)
    """Models that get a certificate; none of them with an empty list."""
    planted: tuple[int, ...] = (1, 2, 4)
    """Tokens of the secrets that are planted in them."""
    secrets: int = 2
    """Secrets of each length."""
    tokens: tuple[int, ...] = (1, 8)
    """Prompt token counts on organisms, beside 0."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the prompts; each is read by itself too."""
    steps: int = 120
    """Optimiser steps of a prompt."""
    batch_size: int = 32
    """Samples a step."""
    learning_rate: float = 0.03
    """Peak learning rate: about the root mean square of the organisms' embeddings."""
    jobs: int = 1
    """Runs side by side."""
    output_dir: Path = Path(".")
    """Where runs/, results/, snapshots/ and calibration.json go."""
    preset: str = "default"
    """default: the whole suite; quick: a few organisms, within a minute."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        for name in (name for name in (*self.organisms, *self.varied) if name not in ORGANISMS):
            known = list(ORGANISMS)
            raise UsageError(f"organisms holds {name!r}; {near_match(name, known)}give some of {', '.join(known)}")
        for name in ("organisms", "tokens", "seeds"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty; give at least one after --{name}")
        if wrong := [tokens for tokens in self.tokens if tokens < 1]:
            raise UsageError(f"tokens is {wrong[0]}; give 1 or more: the bare model is always there")
        if self.jobs < 1:
            raise UsageError(f"jobs is {self.jobs}; give 1 or more")
        self.base("", "")

    def base(self, model: str, data: str) -> RunConfig:
        """Settings of every run on organisms."""
        return RunConfig(
            KnownSourceTask(),
            model or "organism",
            0,
            data=data,
            prompt="direct",
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=0.0,
            warmup_steps=min(20, self.steps),
            sample_tokens=8,
            test_samples=1000,
            validate_every=max(1, self.steps // 3),
            checkpoint_every=self.steps,
            data_workers=0,
            device="cpu",
            output_dir=self.output_dir,
            offline=True,
        )


class OrganismCell(NamedTuple):
    """A cell and what is asked of whom."""

    organism: Organism
    table: str
    cell: Cell


class CellReading(NamedTuple):
    """What was read of one organism and table."""

    organism: Organism
    table: str
    whole: Distance
    """Of all seeds."""
    by_seed: tuple[Distance, ...]
    against_zero: tuple[Distance, ...]
    """Each seed's again, with the bare model for a reference: what it would have read without the no-skill anchor."""


class BookReading(NamedTuple):
    organism: Organism
    readings: tuple[CodebookReading, ...]
    """One a table."""


class Varied(NamedTuple):
    """The distance with one setting changed by two, and with all as they are; of all seeds, as it is always read."""

    organism: Organism
    setting: str
    factor: float
    d_50: float | None
    unchanged: float | None


@dataclass(frozen=True)
class SuiteReadings:
    cells: tuple[CellReading, ...] = ()
    books: tuple[BookReading, ...] = ()
    varied: tuple[Varied, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    failures: tuple[str, ...] = field(default=())


def read_suite(options: SuiteOptions) -> SuiteReadings:
    """Make what is missing, then read everything."""
    organisms = [ORGANISMS[name] for name in dict.fromkeys(options.organisms)]
    folders = {organism.name: organism_folder(organism, options.output_dir) for organism in organisms}
    cells = [cell for organism in organisms for cell in cells_of(options, organism, folders[organism.name])]
    books = tuple(read_books(organism, folders[organism.name]) for organism in organisms if organism.family in BOOKS)
    say(f"{len(cells)} cells of {len(organisms)} organisms")
    configs = [config for one in cells for config in [*one.cell.configs(), *one.cell.anchors()]]
    failures = run_all(configs, options.jobs)
    failures += run_all(list(searches(cells)), options.jobs)
    again = list(variations([one for one in cells if one.organism.name in options.varied]))
    varied = [config for *_, cell in again for config in cell.configs()]
    failures += run_all(list({run_paths(config): config for config in varied}.values()), options.jobs)  # one bare model
    readings = tuple(_read(one) for one in cells)
    return SuiteReadings(
        readings,
        books,
        tuple(_varied(one, setting, factor, cell) for one, setting, factor, cell in again),
        tuple(certify(certificate_options(options, model)) for model in options.certified),
        tuple(failures),
    )


def cells_of(options: SuiteOptions, organism: Organism, folder: Path) -> list[OrganismCell]:
    """One for each table that is asked of the organism."""
    if organism.family in UNTRAINED:
        return []
    files = {name: samples_file(name, table, options.output_dir) for name, table in organism.tables.items()}
    return [
        OrganismCell(organism, name, Cell(options.base(str(folder), str(path)), options.tokens, options.seeds))
        for name, path in files.items()
    ]


def read_books(organism: Organism, folder: Path) -> BookReading:
    """Bits by the codebook code, one reading a table."""
    frozen = load_frozen_model(str(folder), offline=True)
    readings = read_codebook(frozen, list(organism.tables.values()), MARKS[organism.family], BOOKS[organism.family])
    return BookReading(organism, tuple(readings))


def searches(cells: Sequence[OrganismCell]) -> Iterator[RunConfig]:
    """Search starts for every seed whose prompts stay below d_90: only then may a censored distance say CEILING."""
    for one in cells:
        loaded = load_cell(one.cell)
        for config in one.cell.searched():
            if loaded.was_searched(config.seed) or read_cell(one.cell, loaded, [config.seed]).d_90.censored:
                yield config


def variations(cells: Sequence[OrganismCell]) -> Iterator[tuple[OrganismCell, str, float, Cell]]:
    """The cell with one setting doubled or halved."""
    for one in cells:
        for setting in BY_TWO:
            for factor in (0.5, 2.0):
                value = getattr(one.cell.base, setting) * factor
                changed = {setting: value if setting == "learning_rate" else round(value)}
                yield one, setting, factor, replace(one.cell, base=replace(one.cell.base, **changed))


def certificate_options(options: SuiteOptions, model: str) -> CalibrateOptions:
    """One seed of few secrets, whose samples are short."""
    return CalibrateOptions(
        model,
        tokens=options.planted,
        secrets=options.secrets,
        seeds=options.seeds[:1],
        target_tokens=8,
        output_dir=options.output_dir,
        offline=True,
    )


def _read(one: OrganismCell) -> CellReading:
    loaded, seeds = load_cell(one.cell), one.cell.seeds
    return CellReading(
        one.organism,
        one.table,
        read_cell(one.cell, loaded),
        tuple(read_cell(one.cell, loaded, [seed]) for seed in seeds),
        tuple(read_cell(one.cell, loaded, [seed], "zero") for seed in seeds),
    )


def _varied(one: OrganismCell, setting: str, factor: float, cell: Cell) -> Varied:
    changed, unchanged = (read_cell(some, load_cell(some)).d_50.value for some in (cell, one.cell))
    return Varied(one.organism, setting, factor, changed, unchanged)
