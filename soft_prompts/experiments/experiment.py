"""What is an experiment? A task, its presets, and a main that runs the grid, prints the table and draws the curve.

Nothing here loads torch before flags and paths are checked.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from soft_prompts.common.command_line import guarded, made_by, parse, started_as
from soft_prompts.common.console import each_line_once, say
from soft_prompts.common.errors import UsageError, near_match
from soft_prompts.common.launch import is_main_process
from soft_prompts.common.machine import keep_freed_memory
from soft_prompts.config import RunConfig, as_json
from soft_prompts.experiments.grid import Grid, TaskT, variant
from soft_prompts.experiments.places import refuse_missing_places
from soft_prompts.models.loading.spread import IN_STEP
from soft_prompts.report.terminal.command import CompareOptions, compare_command
from soft_prompts.results.files import find_results
from soft_prompts.results.roles import RUN


def flags_of(arguments: Sequence[str]) -> set[str]:
    """What a command line sets, whatever to."""
    return {argument.split("=")[0] for argument in arguments}


@dataclass(frozen=True)
class Experiment(Generic[TaskT]):
    """A question, asked of models: `soft-prompts run <name>`."""

    name: str
    question: str
    presets: Mapping[str, Grid[TaskT]]
    cases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings of RunConfig under a name each: every case is run for the whole grid. They win over flags."""
    metrics: tuple[str, ...] = ()
    """Metrics that get a table below that of the headline."""
    drawn: str | None = None
    """Metric of the figure; default: the headline."""
    brief: bool = False
    """Is a line a curve the end of what is printed?"""

    def main(self, arguments: Sequence[str] | None = None, program: str | None = None) -> int:
        """Run what the command line asks for; returns the exit code. `program` is what help calls the command."""
        arguments = sys.argv[1:] if arguments is None else list(arguments)
        typed = f"soft-prompts run {self.name}" if self._is_ours() else program or started_as()
        with guarded("--debug" in arguments) as ending, made_by(typed, arguments):
            grid, configs = self.asked(arguments, program)
            if grid.print_config:
                print(json.dumps([as_json(config) for config in configs], indent=2))
                return 0
            from soft_prompts.experiments.beside import make_beside  # torch takes seconds to load
            from soft_prompts.experiments.progress import say_evidence
            from soft_prompts.experiments.sweep import run_all
            from soft_prompts.finetuning.stages import after_lessons

            keep_freed_memory()
            with each_line_once():
                configs = after_lessons(configs, grid.jobs)
                failures = run_all(configs, grid.jobs, grid.together)
                beside = make_beside(configs, grid)
            failures += beside.failures
            if is_main_process():
                ending.exit_code = self._show(grid, [*configs, *beside.configs], failures)
                self._say_reference(grid, arguments)
                settings = grid.settings
                none_beside = grid.evidence == "none" and settings.snapshot is None and settings.parallel not in IN_STEP
                if none_beside and any(config.tokens for config in configs):
                    say_evidence(program or started_as(), arguments)
        return ending.exit_code

    def _is_ours(self) -> bool:
        """Does `soft-prompts run` know it by its name?"""
        module = sys.modules.get(f"soft_prompts.experiments.catalogue.{self.name}")
        return getattr(module, "EXPERIMENT", None) is self

    def asked(self, arguments: Sequence[str], program: str | None = None) -> tuple[Grid[TaskT], list[RunConfig]]:
        """The grid that flags ask for and its runs; raises UsageError or InputError where flags or places are wrong."""
        grid = self.parse(arguments, program)
        refuse_missing_places(grid)
        return grid, self.runs(grid)

    def runs(self, grid: Grid[TaskT]) -> list[RunConfig]:
        """Every run of the grid, in every case; the bare model, which no case changes, once."""
        asked = list(grid.runs())
        from soft_prompts.finetuning.stages import wanted  # settings are checked: only now is torch worth its seconds
        from soft_prompts.training.apparatus import run_paths, settled

        cases = self.cases.values() or [{}]
        every = (settled(replace(config, **case)) for case in cases for config in wanted(asked))
        return list({run_paths(config): config for config in every}.values())

    def parse(self, arguments: Sequence[str], program: str | None = None) -> Grid[TaskT]:
        """The grid that flags ask for, on top of the preset that they name; raises UsageError in one line."""
        preset = self.presets[self._preset(arguments)]
        given, usual = flags_of(arguments), preset.reference
        if "--data" in given:
            preset = variant(preset, test_data=None)  # the preset's test data belong to the preset's data
        if "--models" in given:
            preset = replace(preset, reference=None)  # and its reference to its models
        kind: Any = Grid[type(preset.task)]  # pyright: ignore[reportInvalidTypeArguments]
        grid = parse(kind, arguments, program or started_as(), self.question, default=preset)
        return replace(grid, reference=usual) if usual in grid.models and "--reference" not in given else grid

    def _say_reference(self, grid: Grid[TaskT], arguments: Sequence[str]) -> None:
        """Where the preset's own was lost with its models: another scale is behind the verdicts."""
        usual = self.presets[self._preset(arguments)].reference
        if usual not in (None, *grid.models) and "--reference" not in flags_of(arguments):
            say(f"no reference: {usual}, that of the preset, is not among the models; --reference names another")

    def _show(self, grid: Grid[TaskT], made: Sequence[RunConfig], failures: Sequence[str]) -> int:
        """A table a metric, the figure, where all that was made is, and a line a failure; returns the exit code."""
        from soft_prompts.experiments.curve_events import write_curves
        from soft_prompts.experiments.progress import say_where
        from soft_prompts.training.apparatus import run_paths

        results = tuple(run_paths(config).result for config in made)
        plot = grid.settings.folder / "results" / f"{self.name}.png"
        found = [result for _, result in find_results(results).results]
        measured = {name for result in found for name in result.metrics} - {result.outcome for result in found}
        drawn, code = self.drawn if self.drawn in measured else None, 0
        runs = [config for config in made if config.role == RUN]
        for metric in [None, *(name for name in self.metrics if name in measured)]:
            wanted = plot if metric == drawn and len({config.tokens for config in runs}) > 1 else None
            options = CompareOptions(paths=results, metric=metric, plot=wanted)
            headline = replace(options, reference=grid.reference)
            code |= compare_command(replace(options, draws=0) if metric else headline)  # one sentence a curve
        if self.brief:
            code |= compare_command(CompareOptions(paths=results, brief=True))
        write_curves(runs)
        say_where(runs)
        for failure in failures:
            say(failure)
        return 1 if failures else code

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
