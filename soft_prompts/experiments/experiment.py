"""What is an experiment? A task, its presets, and a main that runs the grid, prints the table and draws the curve."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from accelerate import PartialState

from soft_prompts.common.command_line import guarded, parse
from soft_prompts.common.console import each_line_once, say
from soft_prompts.common.errors import UsageError, near_match
from soft_prompts.config import RunConfig, as_json
from soft_prompts.experiments.beside import make_beside
from soft_prompts.experiments.curve_events import write_curves
from soft_prompts.experiments.grid import Grid, TaskT, variant
from soft_prompts.experiments.progress import say_where
from soft_prompts.experiments.sweep import run_all
from soft_prompts.finetuning.stages import after_lessons, wanted
from soft_prompts.report.terminal.command import CompareOptions, compare_command
from soft_prompts.results.files import find_results
from soft_prompts.training.apparatus import run_paths


@dataclass(frozen=True)
class Experiment(Generic[TaskT]):
    """A question, asked of models: `python -m tests.<name>_test`."""

    name: str
    question: str
    presets: Mapping[str, Grid[TaskT]]
    cases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings of RunConfig under a name each: every case is run for the whole grid. They win over flags."""
    metrics: tuple[str, ...] = ()
    """Metrics that get a table below that of the headline."""
    drawn: str | None = None
    """Metric of the figure; default: the headline."""
    folder: str = "tests"
    """Where its file lies: `exploratory_tests` for a question that is not settled."""

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run what the command line asks for; returns the exit code."""
        arguments = sys.argv[1:] if arguments is None else list(arguments)
        return guarded(lambda: self._run(arguments), debug="--debug" in arguments)

    def _run(self, arguments: Sequence[str]) -> int:
        grid = self.parse(arguments)
        configs = self.runs(grid)
        if grid.print_config:
            print(json.dumps([as_json(config) for config in configs], indent=2))
            return 0
        with each_line_once():
            configs = after_lessons(configs, grid.jobs)
            failures = run_all(configs, grid.jobs)
            beside = make_beside(configs, grid)
            failures += beside.failures
        if not PartialState().is_main_process:
            return 0
        results = tuple(run_paths(config).result for config in [*configs, *beside.configs])
        plot = grid.settings.output_dir / "results" / f"{self.name}.png"
        measured = {name for _, result in find_results(results).results for name in result.metrics}
        drawn, code = self.drawn if self.drawn in measured else None, 0
        for metric in [None, *(name for name in self.metrics if name in measured)]:
            options = CompareOptions(paths=results, metric=metric, plot=plot if metric == drawn else None)
            code |= compare_command(options if metric else replace(options, reference=grid.reference))
        write_curves(configs)
        say_where(configs)
        for failure in failures:
            say(failure)
        return 1 if failures else code

    def runs(self, grid: Grid[TaskT]) -> list[RunConfig]:
        """Every run of the grid, in every case; the bare model, which no case changes, once."""
        cases = self.cases.values() or [{}]
        every = (replace(config, **case) for case in cases for config in wanted(grid.runs()))
        return list({run_paths(config): config for config in every}.values())

    def parse(self, arguments: Sequence[str]) -> Grid[TaskT]:
        """The grid that flags ask for, on top of the preset that they name; raises UsageError in one line."""
        preset = self.presets[self._preset(arguments)]
        given = {argument.split("=")[0] for argument in arguments}
        if "--data" in given:
            preset = variant(preset, test_data=None)  # the preset's test data belong to the preset's data
        if "--models" in given:
            preset = replace(preset, reference=None)  # and its reference to its models
        kind: Any = Grid[type(preset.task)]  # pyright: ignore[reportInvalidTypeArguments]
        return parse(kind, arguments, f"python -m {self.folder}.{self.name}_test", self.question, default=preset)

    def _preset(self, arguments: Sequence[str]) -> str:
        name = "default"
        for place, argument in enumerate(arguments):
            if argument == "--preset":
                name = arguments[place + 1] if place + 1 < len(arguments) else ""
            elif argument.startswith("--preset="):
                name = argument.removeprefix("--preset=")
        if name not in self.presets:
            known = list(self.presets)
            raise UsageError(f"--preset is {name!r}; {near_match(name, known)}give {', '.join(known)}")
        return name
