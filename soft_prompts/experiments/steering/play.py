"""Which parts does the experiment have, and in which order? Each writes a finding as soon as it is done."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soft_prompts.common.command_line import command_line, guarded
from soft_prompts.common.console import each_line_once, say
from soft_prompts.experiments.presets import options_of
from soft_prompts.experiments.steering.options import SteeringExperimentOptions


@dataclass(frozen=True)
class SteeringExperiment:
    """The experiment `steering`."""

    name: str
    question: str
    presets: Mapping[str, SteeringExperimentOptions]

    def main(self, arguments: Sequence[str] | None = None, program: str | None = None) -> int:
        """Run what the command line asks for; returns the exit code."""
        arguments = sys.argv[1:] if arguments is None else list(arguments)
        with guarded("--debug" in arguments) as ending, each_line_once():
            ending.exit_code = self._run(self.parse(arguments, program))
        return ending.exit_code

    def parse(self, arguments: Sequence[str], program: str | None = None) -> SteeringExperimentOptions:
        """Flags on top of the preset that they name; raises UsageError in one line."""
        return options_of(self.presets, arguments, program, self.question)

    def _run(self, options: SteeringExperimentOptions) -> int:
        from soft_prompts.engine.activations.module_map import Inside  # torch takes seconds to load
        from soft_prompts.experiments.steering.sections import PARTS
        from soft_prompts.models.frozen import load_frozen_model
        from soft_prompts.report.figures.findings import draw_findings
        from soft_prompts.results.findings import FINDING, Finding, write_finding
        from soft_prompts.training.environment import versions

        inside, folder = Inside(load_frozen_model(options.model)), options.output_dir / "steering"
        for part in options.parts:
            began = time.perf_counter()
            for one in PARTS[part](inside, options):
                facts = {"versions": versions(), "command": command_line(), "says": tuple(one.says)}
                named = (one.kind, inside.frozen.name, one.data, one.n, options.seed, one.figures)
                write_finding(folder / f"{one.name}{FINDING}", Finding(*named, inside.frozen.fingerprint, **facts))
                print(f"== {one.title}", *one.says, sep="\n", flush=True)
            say(f"{part}: {time.perf_counter() - began:.0f} s")
        draw_findings(folder)
        return 0
