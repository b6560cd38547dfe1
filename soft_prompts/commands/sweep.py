"""How are the runs of a file made, on one machine or many? `soft-prompts sweep FILE.yaml`, and the same from Python."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from soft_prompts.commands.experiments import experiment_of
from soft_prompts.common.console import say
from soft_prompts.common.errors import UsageError
from soft_prompts.common.settings import Bounds, check_settings, setting
from soft_prompts.common.urls import url_of

if TYPE_CHECKING:
    from soft_prompts.experiments.scale_out.account import Account
    from soft_prompts.experiments.scale_out.file import Asked


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """The runs of a file: grids of experiments by their flags, or runs as --print-config prints them.

    A result that is there is not made again, and whatever dies, the same command goes on from the runs' own files.
    """

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """YAML or JSON: a list of `experiment: NAME` with its flags, several values of which are as many settings."""
    on: Literal["local", "ray", "slurm"] = "local"
    """This machine; a Ray cluster (pip install 'soft_prompts[ray]'); Slurm, by submitit ('soft_prompts[slurm]')."""
    output_dir: Path | None = None
    """Where runs/, results/ and snapshots/ go, whatever the file says; workers elsewhere have to share it. A URL, as
    s3://bucket/x, is for the same command on several machines."""
    jobs: int = setting(1, "nothing", Bounds(least=1))
    """local: runs side by side, each in a process of its own."""
    together: int | Literal["auto", "off"] = setting("auto", "nothing", Bounds(least=1))
    """Prompts that are trained in the same passes of a model; off: each alone, to the same bits everywhere."""
    address: str | None = None
    """ray: the cluster's address, or auto for the one of this machine; without it a small one is started here."""
    cpus: int = setting(1, "nothing", Bounds(least=1))
    """ray, slurm: CPUs, and threads, of each piece of the sweep."""
    gpus: float = setting(0.0, "nothing", Bounds(least=0))
    """ray, slurm: GPUs of each piece; ray takes shares, as .25."""
    memory: float | None = setting(None, "nothing", Bounds(above=0))
    """ray, slurm: GiB of each piece."""
    runs_a_piece: int = setting(16, "nothing", Bounds(least=1))
    """ray, slurm: runs of one model that a worker makes before the next piece."""
    tries: int = setting(3, "nothing", Bounds(least=1))
    """ray, slurm: workers that may die over one piece in a row, none of which got any further."""
    at_once: int = setting(64, "nothing", Bounds(least=1))
    """ray, slurm: pieces that the cluster holds at once, at work or waiting; the others come after them."""
    minutes: int = setting(240, "nothing", Bounds(least=1))
    """slurm: time of a job; one that runs out of it goes on in the next."""
    partition: str | None = None
    """slurm: where jobs are queued."""
    experiments: tuple[Path, ...] = ()
    """Files with an EXPERIMENT of your own that the sweep may name by their stem: no file starts code by itself."""
    trust_remote_code: bool = False
    """Let models run their own code. Never set but by this flag."""
    print_config: bool = False
    """Print the settings of every run as JSON, which is a sweep again, and stop."""
    skypilot: bool = False
    """Print a SkyPilot task that starts this command on a machine of a cloud, and stop."""
    json: bool = False
    """Print what became of the runs as JSON."""
    debug: bool = False
    """Show the traceback of an error too."""

    takes_urls: ClassVar = ("output_dir",)

    def __post_init__(self) -> None:
        check_settings(self)
        if self.on != "local" and self.jobs > 1:
            raise UsageError(f"jobs is {self.jobs} and on {self.on}; give cpus for each piece, the cluster shares out")
        if self.on != "ray" and self.address is not None:
            raise UsageError(f"address is {self.address} and on {self.on}; give --on ray, or no address")
        if self.on == "slurm" and self.gpus != int(self.gpus):
            raise UsageError(f"gpus is {self.gpus:g} and on slurm, which gives whole ones; give 0, 1 or more")


def sweep(file: str | Path, **options: Any) -> "Account":
    """Every run of the file, as `soft-prompts sweep`; options are its flags. Returns what became of the runs.

    Raises UsageError, InputError or Interrupted; a run that ends badly is in the account, and the others go on.
    """
    return _swept(SweepOptions(file=Path(file), **options), None)


def sweep_command(options: SweepOptions, arguments: Sequence[str] = ()) -> int:
    """Print what was asked for, or make the runs; returns the exit code."""
    command = shlex.join(["soft-prompts", *arguments])
    if options.skypilot:
        from soft_prompts.experiments.scale_out.skypilot import skypilot_task

        print(skypilot_task(arguments, options.cpus, options.gpus, options.memory), end="")
        return 0
    if options.print_config:
        from soft_prompts.config import as_json

        configs = [config for one in _asked(options) for config in one.configs]
        print(json.dumps([as_json(config) for config in dict.fromkeys(configs)], indent=2))
        return 0
    found = _swept(options, command)
    for line in found.lines():
        say(line)
    if options.json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    return found.exit_code


def _swept(options: SweepOptions, command: str | None) -> "Account":
    asked = _asked(options)
    from soft_prompts.experiments.scale_out.run_sweep import Way, run_sweep

    shared = {one: getattr(options, one) for one in Way.__dataclass_fields__}
    return run_sweep(asked, Way(**shared), command)


def _asked(options: SweepOptions) -> "list[Asked]":
    """The file's runs, checked before anything is loaded."""
    from soft_prompts.experiments.places import refuse_unusable
    from soft_prompts.experiments.scale_out.file import read_sweep  # torch takes seconds to load

    own = {path.stem: experiment_of(str(path)) for path in options.experiments}

    def named(name: str) -> Any:
        if name in own:
            return own[name]
        if Path(name).suffix == ".py":
            raise UsageError(f"experiment is {name}: name the file after --experiments, and here {Path(name).stem}")
        return experiment_of(name)

    asked = read_sweep(options.file, named, options.output_dir)
    if options.trust_remote_code:
        asked = [one._replace(configs=[replace(run, trust_remote_code=True) for run in one.configs]) for one in asked]
    for folder in {config.output_dir for one in asked for config in one.configs}:
        refuse_unusable(folder)
        if options.on != "local" and (url := url_of(folder)) is not None:
            raise UsageError(
                f"output-dir is {url} and on {options.on}, whose workers share a folder; give one, or start the same "
                "command without --on on each machine"
            )
    return asked
