"""Which results are made beside the runs of a grid, so that its verdict can be believed? Each is a result like any
other, skipped where it is there already; what it may cost is said before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from soft_prompts.common.console import duration, say
from soft_prompts.common.launch import is_main_process
from soft_prompts.config import RunConfig
from soft_prompts.experiments.cost import expected_seconds
from soft_prompts.experiments.evidence.order import Part, Read, Reader, Standing, Wish, most_left, parts
from soft_prompts.experiments.evidence.subjects import open_subject, runs_by_subject
from soft_prompts.experiments.grid import Grid, Together
from soft_prompts.experiments.sweep import run_all
from soft_prompts.training.apparatus import LoadedModel, run_paths


@dataclass
class Made:
    """What stands beside a grid's runs."""

    configs: list[RunConfig] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Going(NamedTuple):
    """A subject whose parts are being made."""

    standing: Standing
    wish: Wish
    parts: Iterator[Part]


class Sharing(NamedTuple):
    """How runs share the machine."""

    jobs: int = 1
    together: Together = "auto"


def make_beside(configs: Sequence[RunConfig], grid: Grid, sharing: Sharing | None = None) -> Made:
    """Make the evidence that the grid asks for, when its runs are finished; without `sharing` as these were made."""
    sharing = sharing or Sharing(grid.jobs, grid.together)
    if grid.evidence == "none":
        return Made()
    if grid.settings.snapshot is not None:  # what stands beside a run is trained as the run was
        say("no evidence is made beside a --snapshot; the same command without it makes some, and compare reads both")
        return Made()
    standings = _standings(configs)
    read = Reader([one for one in standings if one.subject.base.model == grid.reference], grid.reference)
    going = [Going(one, wish, parts(one, wish, read)) for one in standings for wish in [_wish(one, standings, grid)]]
    if is_main_process():
        say(f"evidence {grid.evidence}: {_cost(going, configs, sharing.jobs, read)}")
    return make_parts(going, configs, sharing)


def _standings(configs: Sequence[RunConfig]) -> list[Standing]:
    """Of every subject; those of one model share it."""
    loaded = LoadedModel()
    return [Standing(open_subject(runs, loaded.named_by)) for runs in runs_by_subject(configs)]


def make_parts(going: Sequence[Going], runs: Sequence[RunConfig], sharing: Sharing) -> Made:
    """Part after part, those of several subjects together, beside runs that are finished."""
    made, done = Made(), {run_paths(config).result for config in runs}
    while now := [(one, part) for one in going if (part := next(one.parts, None)) is not None]:
        _make(now, runs, sharing, made, done)
    shown = {path for one in going for path in one.standing.paths()}  # not what grown prompts grow from
    made.configs = [config for config in made.configs if run_paths(config).result in shown]
    return made


def _wish(standing: Standing, standings: Sequence[Standing], grid: Grid) -> Wish:
    models = {one.subject.base.model for one in standings}
    has_reference = grid.reference in models and standing.subject.base.model != grid.reference
    return Wish(grid.evidence == "full", grid.resolve, has_reference)


def _make(
    now: Sequence[tuple[Going, Part]], runs: Sequence[RunConfig], sharing: Sharing, made: Made, done: set[Path]
) -> None:
    """The parts of several subjects together, having said how many results there are and how long the new ones may
    take; what this command has made before is not made again."""
    wanted = {run_paths(config).result: config for _, part in now for config in part.runs}
    wanted = {path: config for path, config in wanted.items() if path not in done}
    if wanted:
        if is_main_process():
            new = _missing([*wanted.values()])
            seconds = sum(expected_seconds(config, runs) for config in new) / sharing.jobs
            expected = f", {len(new)} of them new: about {duration(seconds)}" if new else ", all there already"
            names = ", ".join(dict.fromkeys(part.name for _, part in now if part.runs))
            say(f"{names}: {_results(len(wanted))} beside the runs{expected}")
        made.failures.extend(run_all([*wanted.values()], sharing.jobs, sharing.together))
        made.configs.extend(wanted.values())
        done.update(wanted)
    for one, part in now:
        one.standing.add(part.runs)


def _missing(configs: Sequence[RunConfig]) -> list[RunConfig]:
    return [config for config in configs if config.fresh or not run_paths(config).result.is_file()]


def _cost(going: Sequence[Going], runs: Sequence[RunConfig], jobs: int, read: Read) -> str:
    """How much is to be made at most, wherever the brackets will lie."""
    left = {run_paths(run).result: run for one in going for run in _left(one, read)}
    if not left:
        return "all there already"
    seconds = sum(expected_seconds(run, runs) for run in left.values()) / jobs
    return f"at most {_results(len(left))} beside the runs, about {duration(seconds)} at most"


def _left(one: Going, read: Read) -> list[RunConfig]:
    """As far as the results go that are there, the parts say exactly what they want."""
    ahead = one.standing.copy()
    for part in parts(ahead, one.wish, read):
        if _missing(part.runs):
            return _missing(most_left(ahead, one.wish, part.name))
        ahead.add(part.runs)
    return []


def _results(count: int) -> str:
    return f"{count} result{'' if count == 1 else 's'}"
