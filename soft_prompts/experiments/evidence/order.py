"""In which order is the evidence of a subject made? Each part says what it wants when the results before it are there:
the bracket that these show decides where the next ones are worth most.

    standard   floor, ceiling, the bracket at half, counts inside it, three seeds at its ends, a control there
    full       also all weights where LoRA is the ceiling, hard prompts, all controls, the battery, the rounded witness,
               and power: secrets planted in the model, or locks taught to copies of it where they change nothing
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from soft_prompts.analysis.battery import LEAST_SECRETS
from soft_prompts.analysis.readings import Reading, read_all
from soft_prompts.config import RunConfig
from soft_prompts.experiments.evidence.battery import as_many, first_rung, halves, most_trials, second_rung, third_rung
from soft_prompts.experiments.evidence.locks import lock_runs, untaught_run
from soft_prompts.experiments.evidence.power import power_runs
from soft_prompts.experiments.evidence.resolution import (
    controlled_counts,
    doubted_count,
    most_new_counts,
    next_count,
    seeded_counts,
)
from soft_prompts.experiments.evidence.subjects import Subject
from soft_prompts.experiments.evidence.wanted import (
    SEEDS,
    ceiling_runs,
    control_runs,
    floor_runs,
    full_runs,
    further_anchors,
    grown_from,
    rounded_runs,
    run_at,
    seed_runs,
)
from soft_prompts.results import roles
from soft_prompts.results.roles import RUN
from soft_prompts.stats.brackets import Bracket
from soft_prompts.training.apparatus import run_paths

ROUNDS = 2  # seeds may move the bracket, and new counts want seeds
PERMUTED = (roles.PermutedTargets(),)
EVERY_CONTROL = (roles.PermutedTargets(), roles.RandomStrings(), roles.RandomWeights())


class Wish(NamedTuple):
    """How much evidence is asked for."""

    is_full: bool
    resolve: bool
    """With counts inside the bracket."""
    has_reference: bool = False
    """Are another model's results of the grid what the skill is worth?"""


class Part(NamedTuple):
    """Results that are made together."""

    name: str
    runs: Sequence[RunConfig]


class Seen(NamedTuple):
    """What the results of a subject show on its leading scale."""

    half: Bracket | None = None
    """None: nothing at all."""
    witness: Path | None = None
    """Result of the prompt that shows the upper end."""
    has_power: bool = False
    """Were enough secrets planted that change what the model says, or locks taught?"""
    is_final: bool = False
    """Has the model the training samples already, so that no search can tell more?"""


Read = Callable[["Standing"], Seen]


@dataclass
class Standing:
    """A subject, and what is there of it so far."""

    subject: Subject
    beside: list[RunConfig] = field(default_factory=list)
    """Results that are no runs of it."""

    def add(self, made: Sequence[RunConfig]) -> None:
        """New runs belong to the subject, but for those of another start, which its prompts grow from."""
        new = [run for run in made if run not in self.subject.runs and run not in self.beside]
        own = tuple(run for run in new if run.role == RUN and run.init == self.subject.base.init)
        self.subject = self.subject._replace(runs=self.subject.runs + own)
        self.beside += [run for run in new if run not in own]

    def paths(self) -> dict[Path, RunConfig]:
        """Where the results are, or would be."""
        own = [run for run in self.beside if run.role != RUN]
        return {run_paths(run).result: run for run in (*self.subject.runs, *own)}

    def copy(self) -> "Standing":
        """To go on from here without a trace."""
        return Standing(self.subject, list(self.beside))


class Reader:
    """Readings of subjects, each made once for the same results."""

    def __init__(self, references: Sequence[Standing], model: str | None) -> None:
        self.references, self.model = references, model
        self._known: dict[frozenset[Path], Seen] = {}

    def __call__(self, standing: Standing) -> Seen:
        """The subject's own curve, by its results and those of its reference alone."""
        base = standing.subject.base
        paths = [*standing.paths()]
        rivals = [one for one in self.references if _same_question(one.subject.base, base) and base.model != self.model]
        paths += [path for one in rivals for path in one.paths()]
        found = frozenset(path for path in paths if path.is_file())
        if found not in self._known:
            every = read_all(sorted(found), reference=self.model if rivals else None).readings
            own = [one for one in every if one.curve.model == base.model]
            own = [one for one in own if one.curve.prompt is not None] or own  # the bare model stands in every curve
            self._known[found] = _seen(max(own, key=lambda one: len(one.runs), default=None))
        return self._known[found]


def _same_question(one: RunConfig, other: RunConfig) -> bool:
    return (one.task, one.data, one.test_data) == (other.task, other.data, other.test_data)


def _seen(reading: Reading | None) -> Seen:
    if reading is None or reading.lead is None:
        return Seen()
    witness = reading.lead.witness.get(reading.lead.half.mark)
    known = reading.power is not None and reading.power.tried >= LEAST_SECRETS
    search = reading.checks["search"]
    final = search.is_final and reading.verdict.why == f"search: {search.text}"
    return Seen(reading.lead.half, None if witness is None else witness.path, known, final)


def parts(standing: Standing, wish: Wish, read: Read) -> Iterator[Part]:
    """One after another; the results of a part are added to the standing before the next one is asked for."""

    def seen() -> tuple[Bracket | None, Sequence[int]]:
        return read(standing).half, standing.subject.counts

    yield Part("floor", floor_runs(standing.subject))
    yield Part("ceiling", _ceilings(standing.subject, wish))
    for _ in range(ROUNDS):
        while wish.resolve and standing.subject.base.init != "grown" and (count := next_count(*seen())) is not None:
            yield Part("counts", [run_at(standing.subject, count)])
        seeds = seed_runs(standing.subject, seeded_counts(*seen()))
        yield Part("grown from", grown_from(seeds))
        yield Part("seeds", seeds)
    controls = _controls(standing.subject, wish)
    yield Part("controls", control_runs(standing.subject, controlled_counts(*seen()), controls))
    if wish.is_full:
        yield Part("anchors", further_anchors(standing.subject, controlled_counts(*seen())))
        if read(standing).is_final:
            return
        yield from battery_parts(standing, doubted_count(*seen()))
        yield Part("rounded", _rounded(standing, read(standing).witness))
        if (count := doubted_count(*seen())) is not None:  # else there is no search to be doubted
            yield Part("power", power_runs(run_at(standing.subject, count)))
            if not read(standing).has_power:
                yield Part("power, untaught", [untaught_run(run_at(standing.subject, count))])
                yield Part("power, taught", lock_runs(run_at(standing.subject, count)))


def _ceilings(subject: Subject, wish: Wish) -> list[RunConfig]:
    runs = ceiling_runs(subject, wish.has_reference)
    return [*runs, *full_runs(subject)] if runs and wish.is_full else runs


def _controls(subject: Subject, wish: Wish) -> Sequence[roles.Role]:
    """Other labels are judged to the letter: a task that judges otherwise is asked of random weights."""
    is_to_the_letter = subject.base.task.outcome in (None, "exact_match")
    return EVERY_CONTROL if wish.is_full else PERMUTED if is_to_the_letter else (roles.RandomWeights(),)


def battery_parts(standing: Standing, count: int | None) -> Iterator[Part]:
    """The rungs, each chosen by the one before."""
    if count is None:
        return
    subject = standing.subject
    base = run_at(subject, count)
    yield Part("battery, what grows", halves(base, subject.runs))
    first = first_rung(base, subject.runs)
    yield Part("battery, rung 1", first)
    second = second_rung(base, first)
    yield Part("battery, rung 2", second)
    yield Part("battery, rung 3", third_rung(base, second, subject.runs))


def _rounded(standing: Standing, witness: Path | None) -> list[RunConfig]:
    """The prompt that shows the upper end; none where that is the bare model, or where there is none."""
    config = None if witness is None else standing.paths().get(witness)
    return [] if config is None else rounded_runs(config)


def most_left(standing: Standing, wish: Wish, name: str) -> list[RunConfig]:
    """From the part of this name on, as many results as there can be wherever the bracket lies: at the largest counts,
    which take longest."""
    subject, largest = standing.subject, standing.subject.counts[-2:]
    base, new = subject.base, most_new_counts(subject.counts) * (wish.resolve and subject.base.init != "grown")
    most = {
        "floor": floor_runs(subject),
        "ceiling": _ceilings(subject, wish),
        "counts": as_many(base, new),
        "seeds": as_many(base, max(0, SEEDS - len(subject.seeds)) * (len(subject.counts) + new), new),
        "controls": control_runs(subject, largest, _controls(standing.subject, wish)),
    }
    if wish.is_full:
        most["anchors"] = further_anchors(subject, largest)
    if wish.is_full and subject.counts:
        most["battery"] = most_trials(base, subject.runs)
        most["rounded"] = rounded_runs(base)
        most["power"] = [*power_runs(base), untaught_run(base), *lock_runs(base)]
    places = list(most)
    first = places.index({"grown from": "seeds"}.get(name, name.split(",")[0]))
    return [run for place in places[first:] for run in most[place]]
