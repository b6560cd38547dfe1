"""The soft-prompts command: what can be done with results and trained prompts?"""

import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from soft_prompts.calibration.options import CalibrateOptions
from soft_prompts.commands.generate import GenerateOptions, generate_command
from soft_prompts.commands.guidance_data import GuidanceDataOptions, guidance_data_command
from soft_prompts.commands.guidance_eval import GuidanceEvalOptions, guidance_eval_command
from soft_prompts.commands.models import ModelsOptions, models_command
from soft_prompts.common.command_line import guarded, parse
from soft_prompts.report.page.command import ReportOptions, report_command
from soft_prompts.report.terminal.command import CompareOptions, compare_command

PROGRAM = "soft-prompts"


DESCRIPTION = "How many soft-prompt tokens does it take to bring a behaviour out of a frozen language model?"


Command = (
    Annotated[CalibrateOptions, tyro.conf.subcommand("calibrate")]
    | Annotated[CompareOptions, tyro.conf.subcommand("compare")]
    | Annotated[GenerateOptions, tyro.conf.subcommand("generate")]
    | Annotated[GuidanceDataOptions, tyro.conf.subcommand("guidance-data")]
    | Annotated[GuidanceEvalOptions, tyro.conf.subcommand("guidance-eval")]
    | Annotated[ModelsOptions, tyro.conf.subcommand("models")]
    | Annotated[ReportOptions, tyro.conf.subcommand("report")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    sys.exit(guarded(lambda: _dispatch(arguments), debug="--debug" in arguments))


def _dispatch(arguments: Sequence[str]) -> int:
    options = parse(Command, arguments, PROGRAM, DESCRIPTION)
    if isinstance(options, CalibrateOptions):
        from soft_prompts.calibration.certificate import calibrate_command  # torch takes seconds to load

        return calibrate_command(options)
    if isinstance(options, CompareOptions):
        return compare_command(options)
    if isinstance(options, ReportOptions):
        return report_command(options)
    if isinstance(options, GuidanceDataOptions):
        return guidance_data_command(options)
    if isinstance(options, GuidanceEvalOptions):
        return guidance_eval_command(options)
    return generate_command(options) if isinstance(options, GenerateOptions) else models_command(options)
