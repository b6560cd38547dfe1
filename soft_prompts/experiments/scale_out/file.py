"""Which runs does a sweep file ask for? Grids of experiments, by their own flags, and runs as `--print-config` prints
them (sweep.schema.json).

A file is data: no code is run because it says so. Experiments of one's own and models that bring code are named on the
command line.
"""

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from soft_prompts.common.errors import InputError, UsageError, near_match
from soft_prompts.common.plain_values import plain_values
from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid, refuse_one_name
from soft_prompts.experiments.places import refuse_missing_places
from soft_prompts.experiments.scale_out.told import is_tuple, kinds, may_be_none, run_of
from soft_prompts.tasks.task import Task

MOST_BYTES = 64 * 2**20
MOST_RUNS = 200_000  # a list of values too much multiplies; more than this was not meant
AXES = ("models", "data", "tokens", "seeds")  # of a grid
OF_THE_COMMAND = ("jobs", "together", "print_config", "debug")
NEVER_IN_A_FILE = {
    "trust_remote_code": "give --trust-remote-code to the command",
    "fresh": "remove what is to be made again: a sweep that goes on would start over",
}
ExperimentOf = Callable[[str], Any]


class Asked(NamedTuple):
    """The runs of an entry, before any lesson, and the grid that says what is made beside them, if it is one."""

    configs: Sequence[RunConfig]
    grid: Grid | None = None


@cache
def schema() -> Any:
    """What a sweep file may hold."""
    return json.loads(
        resources.files("soft_prompts.experiments.scale_out").joinpath("sweep.schema.json").read_text("utf-8")
    )


class Wanted(NamedTuple):
    """Grids of one experiment that are not built yet."""

    experiment: Experiment
    settings: Mapping[str, Any]

    def runs(self) -> int:
        """How many at most, by the lengths of lists alone; what a list says twice counts once."""
        flags, grid = _flags(self.experiment, self.settings), _preset(self.experiment, self.settings)
        values = {name: [list(getattr(grid, name))] for name in AXES}
        values |= {name: _values(name, value, flags[name]) for name, value in self.settings.items()}
        several = {*AXES, *(() if type(grid.task).each is Task.each else kinds(type(grid.task)))}
        sizes = {name: [len(_each(one)) if name in several else 1 for one in values[name]] for name in values}
        bare = sum("0" in _each(one) for one in values["tokens"])  # one run, whatever the seeds
        count = (sum(sizes.pop("tokens")) - bare) * sum(seeds := sizes.pop("seeds")) + bare * len(seeds)
        return count * max(1, len(self.experiment.cases)) * math.prod(map(sum, sizes.values()))


def _each(value: Any) -> set[str]:
    return set(map(str, value if isinstance(value, list) else [value]))


def read_sweep(path: Path, experiment_of: ExperimentOf, output_dir: Path | None = None) -> list[Asked]:
    """Every entry's runs. Raises InputError for a file that cannot be read, UsageError or InputError for an entry that
    asks for what cannot be."""
    values = _loaded(path)
    shared = {} if isinstance(values, list) else values.get("settings", {})
    entries, count = values if isinstance(values, list) else values["grids"], 0
    wanted, found = list[list[Wanted]](), list[Asked]()
    for number, entry in enumerate(entries, 1):  # before anything is built
        with _told_where(path, number):
            wanted.append([] if _is_run(entry) else _wanted(entry, shared, experiment_of))
            count += sum(one.runs() for one in wanted[-1]) if wanted[-1] else 1
            if count > MOST_RUNS:
                raise UsageError(f"more than {MOST_RUNS} runs; give fewer values, or several files")
    for number, (entry, grids) in enumerate(zip(entries, wanted, strict=True), 1):
        with _told_where(path, number):
            found += (
                [asked for one in grids for asked in _built(one, output_dir)] if grids else [_run(entry, output_dir)]
            )
    configs = [config for asked in found for config in asked.configs]
    try:
        refuse_one_name(((one.output_dir, one.task.name, one.task.variant), one.data, one.test_data) for one in configs)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return found


@contextmanager
def _told_where(path: Path, number: int) -> Iterator[None]:
    try:
        yield
    except (UsageError, InputError) as error:
        raise type(error)(f"{path}, entry {number}: {error}") from error


def _loaded(path: Path) -> Any:
    """The file's values, as the schema has them; JSON is read as JSON, for YAML takes 1e-05 for a text."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES // 2**20} MB: no sweep; give several files")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; give a YAML file of grids or runs") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8; give a YAML file of grids or runs") from error
    values = plain_values(text, str(path), text.lstrip().startswith(("[", "{")))
    if values is None:
        raise UsageError(f"{path} is empty; a sweep is a list of grids (experiment: NAME, flags) or of runs")
    if (wrong := best_match(Draft202012Validator(schema()).iter_errors(values))) is not None:
        where = "".join(f", {'entry ' if isinstance(step, int) else ''}{_counted(step)}" for step in wrong.path)
        message = wrong.message if len(wrong.message) < 200 else f"{wrong.message[:200]} ..."
        raise UsageError(f"{path}{where}: {message}; a sweep is a list of grids (experiment: NAME, flags) or of runs")
    return values


def _counted(step: object) -> object:
    return step + 1 if isinstance(step, int) else step


def _is_run(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("task"), Mapping)


def _run(entry: Mapping[str, Any], output_dir: Path | None) -> Asked:
    _refuse_what_no_file_says(entry)
    config = run_of(entry)
    return Asked([config if output_dir is None else replace(config, output_dir=output_dir)])


def _wanted(entry: Mapping[str, Any], shared: Mapping[str, Any], experiment_of: ExperimentOf) -> list[Wanted]:
    settings = _by_name(shared) | _by_name(entry)
    names = settings.pop("experiment")
    _refuse_what_no_file_says(settings)
    wanted = []
    for name in names if isinstance(names, list) else [names]:
        experiment = experiment_of(name)
        if not isinstance(experiment, Experiment):
            raise UsageError(f"{name} is no grid of runs; start it by itself: soft-prompts run {name}")
        wanted.append(Wanted(experiment, settings))
    return wanted


def _by_name(settings: Mapping[str, Any]) -> dict[str, Any]:
    found = dict[str, Any]()
    for name, value in settings.items():
        plain = str(name).replace("-", "_")
        if plain in found:
            raise UsageError(f"{plain} is there twice, with - and with _; leave one of them out")
        found[plain] = value
    return found


def _built(wanted: Wanted, output_dir: Path | None) -> Iterator[Asked]:
    experiment = wanted.experiment
    for words in _command_lines(experiment, wanted.settings):
        grid = experiment.parse(words, f"soft-prompts run {experiment.name}")
        _refuse_what_no_file_says({one: getattr(grid.settings, one) for one in NEVER_IN_A_FILE})
        if output_dir is not None:  # whatever the file says
            grid = replace(grid, settings=replace(grid.settings, output_dir=output_dir))
        refuse_missing_places(grid)
        yield Asked(experiment.runs(grid), grid)


def _refuse_what_no_file_says(settings: Mapping[str, Any]) -> None:
    for name in OF_THE_COMMAND:
        if name in settings:
            raise UsageError(f"{name} belongs to the command, not to the file; leave it out")
    for name, instead in NEVER_IN_A_FILE.items():
        if settings.get(name) not in (None, False):
            raise UsageError(f"{name} is never set by a file; {instead}")


def _command_lines(experiment: Experiment, settings: Mapping[str, Any]) -> Iterator[list[str]]:
    """The experiment's flags, once for every combination of what takes one value and is given several."""
    flags = _flags(experiment, settings)
    alternatives = [
        [_words(name, one, flags[name]) for one in _values(name, value, flags[name])]
        for name, value in settings.items()
    ]
    for chosen in itertools.product(*alternatives):
        yield [word for words in chosen for word in words]


def _preset(experiment: Experiment, settings: Mapping[str, Any]) -> Grid:
    preset = settings.get("preset", "default")
    return experiment.presets.get(preset if isinstance(preset, str) else "", next(iter(experiment.presets.values())))


def _flags(experiment: Experiment, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Type of every flag; the task's own come from the preset's task. Raises UsageError for a setting that is none."""
    known = kinds(RunConfig) | kinds(type(_preset(experiment, settings).task)) | kinds(Grid)
    flags = {name: kind for name, kind in known.items() if name not in ("settings", "task", "role", "model", "seed")}
    for name in settings:
        if name not in flags:
            near = near_match(name, sorted(flags))
            raise UsageError(f"{name} is no flag of {experiment.name}; {near}see soft-prompts run {experiment.name} -h")
    return flags


def _values(name: str, value: Any, kind: Any) -> list[Any]:
    """What a setting is set to, one after another: of a flag that takes several values a list of lists."""
    if not isinstance(value, list):
        return [value]
    if not value or [] in value:
        raise UsageError(f"{name} has an empty list; give at least one value, or leave it out")
    if not is_tuple(kind):
        return value
    return value if any(isinstance(one, list) for one in value) else [value]


def _words(name: str, value: Any, kind: Any) -> list[str]:
    flag, values = name.replace("_", "-"), value if isinstance(value, list) else [value]
    if kind is bool and isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    if None in values and not may_be_none(kind):
        raise UsageError(f"{name} holds an empty value; give one, or leave it out")
    return [f"--{flag}", *map(_word, values)]


def _word(value: Any) -> str:
    """As it is typed; some flags have true and false among their words. Raises UsageError for a text that would be a
    flag."""
    if isinstance(value, str) and re.match("-[-A-Za-z]", value):
        raise UsageError(f"{value[:60]!r} is a flag among values; give it as a key of its own")
    return str(value).lower() if isinstance(value, bool) else str(value)
