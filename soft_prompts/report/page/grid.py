"""What is the answer at a glance? One cell a curve: verdict, bracket, share at the most tokens, evidence.

Tasks by models where most of that grid is filled; else a line an experiment, its curves one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from soft_prompts.analysis.readings import Reading
from soft_prompts.report.figures.groups import Group
from soft_prompts.report.labels import Labels
from soft_prompts.report.text import MINUS, plain_name, share_text

MOST_MODELS = 5  # columns that fit a page
FILLED = 0.6  # share of the grid that has to be
ROOMY = 30  # curves with room for three lines each


@dataclass(frozen=True)
class Square:
    """One curve."""

    label: str
    word: str
    bracket: str
    brief: str
    """The bracket where there is little room."""
    share: str
    evidence: str
    sentence: str
    href: str

    @property
    def tone(self) -> str:
        """Its class of the style sheet."""
        return tone(self.word)


@dataclass(frozen=True)
class Line:
    name: str
    squares: tuple[Square | None, ...]
    """Of a grid of models one a column, None where it was not run; else all of an experiment."""


@dataclass(frozen=True)
class Grid:
    models: tuple[str, ...]
    """Columns; none where each line is an experiment with all its curves."""
    lines: tuple[Line, ...]

    @property
    def is_dense(self) -> bool:
        """So many curves that each has to do with two lines, or the answer is more than a screen."""
        return sum(len(line.squares) for line in self.lines) > ROOMY


def tone(word: str) -> str:
    return f"is-{word.lower().replace(' ', '-')}"


def grid_of(groups: Sequence[Group]) -> Grid:
    readings = [reading for group in groups for reading in group.readings]
    models = tuple(dict.fromkeys(reading.curve.model for reading in readings))
    tasks = list(dict.fromkeys(_task(reading) for reading in readings))
    cells = {(_task(reading), reading.curve.model) for reading in readings}
    is_grid = len(cells) == len(readings) and len(cells) >= FILLED * len(tasks) * len(models)
    if is_grid and 1 < len(models) <= MOST_MODELS:
        return _matrix(groups, models)
    return Grid((), tuple(Line(plain_name(_experiment(group)).capitalize(), _squares(group)) for group in groups))


def place_of(group: Group, number: int) -> str:
    """A curve's name in addresses."""
    return f"{group.place}-{number + 1}"


def _matrix(groups: Sequence[Group], models: tuple[str, ...]) -> Grid:
    lines: dict[tuple[str, ...], dict[str, Square]] = {}
    for group in groups:
        for reading, square in zip(group.readings, _squares(group), strict=True):
            lines.setdefault(_task(reading), {})[reading.curve.model] = square
    curves = [reading.curve for group in groups for reading in group.readings]
    short = Labels(curves).short
    rows = tuple(Line(_task_name(task), tuple(found.get(model) for model in models)) for task, found in lines.items())
    return Grid(tuple(short[model] for model in models), rows)


def _task(reading: Reading) -> tuple[str, ...]:
    curve = reading.curve
    settings = [f"{name} {value}" for name, value in curve.settings.items()]
    return tuple(
        part or ""
        for part in (curve.experiment, curve.metric, curve.variant, curve.data, curve.prompt, curve.condition_mode)
    ) + tuple(settings)


def _task_name(task: tuple[str, ...]) -> str:
    experiment, _, variant, data, *_ = task
    return plain_name(experiment).capitalize() + (f" {variant}" if variant else "") + f" on {data}"


def _experiment(group: Group) -> str:
    return group.readings[0].curve.experiment


def _squares(group: Group) -> tuple[Square, ...]:
    named = zip(group.readings, group.names, strict=True)
    return tuple(_square(reading, name, place_of(group, at)) for at, (reading, name) in enumerate(named))


def _square(reading: Reading, name: str, place: str) -> Square:
    verdict = reading.verdict
    most = max((point.tokens for point in reading.points), default=0)
    half = reading.lead.half if reading.lead is not None and reading.lead.half.state != "no_scale" else None
    bracket, brief = (half.text(most), half.brief(most)) if half else ("", "")
    evidence = f"{reading.evidence} of {len(reading.checks)}"
    return Square(name, verdict.word, bracket, brief, _share(reading), evidence, verdict.sentence, f"#{place}")


def _share(reading: Reading) -> str:
    """At the most tokens; what was gained where there is no scale."""
    shares = reading.lead.shares if reading.lead is not None else {}
    if shares:
        most = max(shares)
        return f"{share_text(shares[most].value)} at {most:,}"
    last = reading.points[-1] if reading.points else None
    if last is None or last.gain is None or not last.tokens:
        return ""
    change = f"{-last.gain.value:+.2g}".replace("-", MINUS)
    return f"{change} {reading.curve.unit.split('/')[0]} at {last.tokens:,}"


def said(readings: Sequence[Reading]) -> str:
    """How often each verdict was given, the surest first."""
    words = ("PRESENT", "HIDDEN", "FAR", "NOT FOUND", "UNDECIDED", "NO SCALE")
    counts = [(word, sum(reading.verdict.word == word for reading in readings)) for word in words]
    return ", ".join(f"{count} {word}" for word, count in counts if count)
