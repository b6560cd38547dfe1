"""Which runs does a sweep file ask for? Grids of experiments, by their own flags, and runs as `--print-config` prints
them (sweep.schema.json).

A file is data: no code is run because it says so. Experiments of one's own and models that bring code are named on the
command line.
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from soft_prompts.common.errors import InputError, UsageError, near_match
from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.places import refuse_missing_places
from soft_prompts.experiments.scale_out.told import is_tuple, kinds, run_of

MOST_BYTES = 64 * 2**20
MOST_RUNS = 200_000  # a list of values too much multiplies; more than this was not meant
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


def read_sweep(path: Path, experiment_of: ExperimentOf, output_dir: Path | None = None) -> list[Asked]:
    """Every entry's runs. Raises InputError for a file that cannot be read, UsageError or InputError for an entry that
    asks for what cannot be."""
    values = _loaded(path)
    shared = {} if isinstance(values, list) else values.get("settings", {})
    entries, found, count = values if isinstance(values, list) else values["grids"], list[Asked](), 0
    for number, entry in enumerate(entries, 1):
        try:
            for asked in _entry(entry, shared, experiment_of, output_dir):
                found.append(asked)
                count += len(asked.configs)
                if count > MOST_RUNS:
                    raise UsageError(f"more than {MOST_RUNS} runs; give fewer values, or several files")
        except (UsageError, InputError) as error:
            raise type(error)(f"{path}, entry {number}: {error}") from error
    return found


def _loaded(path: Path) -> Any:
    """The file's values; JSON is read as JSON, for YAML takes 1e-05 for a text."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES // 2**20} MB: no sweep; give several files")
        text = path.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; give a YAML file of grids or runs") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8; give a YAML file of grids or runs") from error
    try:
        values = json.loads(text) if text.lstrip().startswith(("[", "{")) else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        if (mark := getattr(error, "problem_mark", None)) is not None:
            line = mark.line + 1
        said = getattr(error, "problem", None) or getattr(error, "msg", None) or "it is nested too deeply"
        raise InputError(f"{path}{f', line {line}' if line else ''}: {said}; mend it") from error
    if (wrong := best_match(Draft202012Validator(schema()).iter_errors(values))) is not None:
        where = "".join(f", {'entry ' if isinstance(step, int) else ''}{_counted(step)}" for step in wrong.path)
        message = wrong.message if len(wrong.message) < 200 else f"{wrong.message[:200]} ..."
        raise UsageError(f"{path}{where}: {message}; a sweep is a list of grids (experiment: NAME, flags) or of runs")
    return values


def _counted(step: object) -> object:
    return step + 1 if isinstance(step, int) else step


def _entry(
    entry: Mapping[str, Any], shared: Mapping[str, Any], experiment_of: ExperimentOf, output_dir: Path | None
) -> Iterator[Asked]:
    if isinstance(entry.get("task"), Mapping):
        _refuse_what_no_file_says(entry)
        config = run_of(entry)
        yield Asked([config if output_dir is None else replace(config, output_dir=output_dir)])
        return
    own = {str(name).replace("-", "_"): value for name, value in entry.items()}
    settings = {str(name).replace("-", "_"): value for name, value in shared.items()} | own
    if output_dir is not None:
        settings["output_dir"] = str(output_dir)
    names = settings.pop("experiment")
    _refuse_what_no_file_says(settings)
    for name in names if isinstance(names, list) else [names]:
        experiment = experiment_of(name)
        if not isinstance(experiment, Experiment):
            raise UsageError(f"{name} is no grid of runs; start it by itself: soft-prompts run {name}")
        for words in _command_lines(experiment, settings):
            grid = experiment.parse(words, f"soft-prompts run {name}")
            _refuse_what_no_file_says({one: getattr(grid.settings, one) for one in NEVER_IN_A_FILE})
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
    alternatives = []
    for name, value in settings.items():
        if name not in flags:
            near = near_match(name, sorted(flags))
            raise UsageError(f"{name} is no flag of {experiment.name}; {near}see soft-prompts run {experiment.name} -h")
        alternatives.append([_words(name, one, flags[name]) for one in _values(value, flags[name])])
    for chosen in itertools.product(*alternatives):
        yield [word for words in chosen for word in words]


def _flags(experiment: Experiment, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Type of every flag; the task's own come from the preset's task."""
    preset = settings.get("preset", "default")
    grid = experiment.presets.get(preset if isinstance(preset, str) else "", next(iter(experiment.presets.values())))
    known = kinds(RunConfig) | kinds(type(grid.task)) | kinds(Grid)
    return {name: kind for name, kind in known.items() if name not in ("settings", "task", "role", "model", "seed")}


def _values(value: Any, kind: Any) -> list[Any]:
    """What a setting is set to, one after another: of a flag that takes several values a list of lists."""
    if not isinstance(value, list):
        return [value]
    if not is_tuple(kind):
        return value
    return value if any(isinstance(one, list) for one in value) else [value]


def _words(name: str, value: Any, kind: Any) -> list[str]:
    flag = name.replace("_", "-")
    if kind is bool and isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", *(_word(one) for one in (value if isinstance(value, list) else [value]))]


def _word(value: Any) -> str:
    """As it is typed; YAML takes true and off, which some flags have among their words, for yes and no."""
    return str(value).lower() if isinstance(value, bool) else str(value)
