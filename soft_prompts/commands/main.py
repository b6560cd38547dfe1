"""The soft-prompts command: which subcommands are there, and what does each of them start?"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Any

import tyro

from soft_prompts.calibration.options import CalibrateOptions
from soft_prompts.commands.behaviour import BehaviourOptions, behaviour_command
from soft_prompts.commands.doctor.command import DoctorOptions, divided, doctor_command
from soft_prompts.commands.experiments import ListOptions, RunOptions, list_command, run_command
from soft_prompts.commands.export import ExportOptions, export_command
from soft_prompts.commands.gate import GateOptions, gate_command
from soft_prompts.commands.generate import GenerateOptions, generate_command
from soft_prompts.commands.guidance_data import GuidanceDataOptions, guidance_data_command
from soft_prompts.commands.guidance_eval import GuidanceEvalOptions, guidance_eval_command
from soft_prompts.commands.imports import ImportOptions, import_command
from soft_prompts.commands.intervene import InterveneOptions, intervene_command
from soft_prompts.commands.models import InstallOptions, ModelsOptions, install_command, models_command
from soft_prompts.commands.steer.activations import ActivationsOptions, activations_command
from soft_prompts.commands.steer.command import STEER, SteerOptions, steer_command
from soft_prompts.commands.steer.concepts import ConceptsOptions, concepts_command
from soft_prompts.commands.sweep import SweepOptions, sweep_command
from soft_prompts.common.command_line import guarded, parse
from soft_prompts.report.page.command import ReportOptions, report_command
from soft_prompts.report.terminal.command import CompareOptions, compare_command

PROGRAM = "soft-prompts"
DESCRIPTION = """How many soft-prompt tokens does it take to bring a behaviour out of a frozen language model?

Begin with `soft-prompts list` and `soft-prompts run chess`; `soft-prompts --version` says which version this is."""
Command = (
    Annotated[ActivationsOptions, tyro.conf.subcommand("activations")]
    | Annotated[BehaviourOptions, tyro.conf.subcommand("behaviour")]
    | Annotated[CalibrateOptions, tyro.conf.subcommand("calibrate")]
    | Annotated[CompareOptions, tyro.conf.subcommand("compare")]
    | Annotated[ConceptsOptions, tyro.conf.subcommand("concepts")]
    | Annotated[DoctorOptions, tyro.conf.subcommand("doctor")]
    | Annotated[ExportOptions, tyro.conf.subcommand("export")]
    | Annotated[GateOptions, tyro.conf.subcommand("gate")]
    | Annotated[GenerateOptions, tyro.conf.subcommand("generate")]
    | Annotated[GuidanceDataOptions, tyro.conf.subcommand("guidance-data")]
    | Annotated[GuidanceEvalOptions, tyro.conf.subcommand("guidance-eval")]
    | Annotated[ImportOptions, tyro.conf.subcommand("import")]
    | Annotated[InterveneOptions, tyro.conf.subcommand("intervene")]
    | Annotated[ListOptions, tyro.conf.subcommand("list")]
    | Annotated[ModelsOptions, tyro.conf.subcommand("models")]
    | Annotated[ReportOptions, tyro.conf.subcommand("report")]
    | Annotated[RunOptions, tyro.conf.subcommand("run")]
    | Annotated[SteerOptions, tyro.conf.subcommand("steer")]
    | Annotated[SweepOptions, tyro.conf.subcommand("sweep")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    with guarded("--debug" in arguments) as ending:
        ending.exit_code = _dispatch(arguments)
    sys.exit(ending.exit_code)


def _dispatch(arguments: Sequence[str]) -> int:
    if list(arguments) == ["--version"]:
        print(PROGRAM, version("soft_prompts"))
        return 0
    if arguments[:1] == ["run"] and len(arguments) > 1 and not arguments[1].startswith("-"):
        return run_command(arguments[1], arguments[2:])  # the flags are the experiment's own
    if list(arguments[:2]) == ["models", "install"]:
        words = arguments[2:]
        return install_command(parse(InstallOptions, words, f"{PROGRAM} models install", InstallOptions.__doc__ or ""))
    if list(arguments[:1]) == ["steer"]:
        return steer_command(parse(STEER, arguments[1:], f"{PROGRAM} steer", SteerOptions.__doc__ or ""))
    command = None
    if arguments[:1] == ["doctor"]:
        arguments, command = divided(arguments)
    options = parse(Command, arguments, PROGRAM, DESCRIPTION)
    if isinstance(options, DoctorOptions):
        return doctor_command(options, command)
    if isinstance(options, SweepOptions):
        return sweep_command(options, arguments)  # workers elsewhere say in their results what they work for
    return DOES[type(options)](options)


def _calibrate(options: CalibrateOptions) -> int:
    from soft_prompts.calibration.certificate import calibrate_command  # torch takes seconds to load

    return calibrate_command(options)


DOES: Mapping[type, Callable[[Any], int]] = {
    ActivationsOptions: activations_command,
    BehaviourOptions: behaviour_command,
    CalibrateOptions: _calibrate,
    CompareOptions: compare_command,
    ConceptsOptions: concepts_command,
    ExportOptions: export_command,
    GateOptions: gate_command,
    GenerateOptions: generate_command,
    GuidanceDataOptions: guidance_data_command,
    GuidanceEvalOptions: guidance_eval_command,
    ImportOptions: import_command,
    InterveneOptions: intervene_command,
    ListOptions: list_command,
    ModelsOptions: models_command,
    ReportOptions: report_command,
    RunOptions: lambda options: run_command(options.experiment, ()),
}
