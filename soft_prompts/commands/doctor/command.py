"""Is all well here? `soft-prompts doctor`, and `soft-prompts doctor run ...` for what that command would cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from soft_prompts.commands.doctor.names import look_at_names
from soft_prompts.commands.doctor.report import Report
from soft_prompts.common.errors import UsageError

FOLDERS = ("results", "snapshots")


@dataclass(frozen=True)
class DoctorOptions:
    """Is all well here? Versions, devices, memory, disk, hub, names that hide modules, damaged results and snapshots.

    With a command behind it, as `soft-prompts doctor run chess --tokens 0 1 4`, also what that command would need of
    memory and time; no weight is loaded. Exit code 1 where something is wrong.
    """

    command: tyro.conf.Positional[tuple[str, ...]] = ()
    """run EXPERIMENT, with its own flags."""
    folder: tuple[Path, ...] = ()
    """Folders whose results and snapshots are looked at; default: results and snapshots in this one."""
    offline: tyro.conf.FlagCreatePairsOff[bool] = False
    """Do not ask the model hub."""


def divided(arguments: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """The doctor's own arguments, and what stands behind `run`; None without it."""
    if "run" not in arguments:
        return list(arguments), None
    at = arguments.index("run")
    return list(arguments[:at]), list(arguments[at + 1 :])


def doctor_command(options: DoctorOptions, command: Sequence[str] | None = None) -> int:
    """Look at everything, print facts and findings; returns 1 if there is a finding."""
    if options.command:
        raise UsageError(f"{options.command[0]} is no command that has a cost; give run EXPERIMENT and its flags")
    if command is not None and not command:
        raise UsageError("run has no experiment behind it; give one, as `soft-prompts list` names them")
    findings = list[str]()
    for report in _looks(options, command):
        findings += report.findings
        for fact in report.facts:
            print(fact, flush=True)
    for finding in findings:
        print(f"wrong: {finding}")
    print(f"{len(findings)} found" if findings else "all well")
    return 1 if findings else 0


def _looks(options: DoctorOptions, command: Sequence[str] | None) -> Iterator[Report]:
    """Names first: nothing else may be importable."""
    names = look_at_names(Path())
    yield names
    if names.findings:
        return
    from soft_prompts.commands.doctor import cost, files, machine  # torch takes seconds to load

    yield machine.look_at_versions()
    yield machine.look_at_devices()
    yield machine.look_at_room(cost.folder_of(command or ()))
    yield machine.look_at_hub(options.offline)
    for folder in options.folder or map(Path, FOLDERS):
        if not folder.is_dir() and options.folder:
            raise UsageError(f"--folder is {folder}, which is no folder; give one that holds results or snapshots")
        yield files.look_at_files(folder)
    if command:
        yield cost.look_at_cost(command[0], command[1:])
