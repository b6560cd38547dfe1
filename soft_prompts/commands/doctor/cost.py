"""What would a command need of memory and time? Its own flags are read, and no weight is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from soft_prompts.commands.doctor.report import Report, gigabytes
from soft_prompts.commands.experiments import experiment_of
from soft_prompts.common.console import duration
from soft_prompts.common.errors import UsageError
from soft_prompts.common.machine import cores, free_memory, resident_memory
from soft_prompts.common.urls import on_disk
from soft_prompts.experiments.estimate.runs import Estimate, estimates
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.titles import titles


def look_at_cost(which: str, arguments: Sequence[str]) -> Report:
    """Of `run WHICH ARGUMENTS`: a line a group of runs that go together, and all of them; raises what the command
    itself would raise of its flags, and InputError for a model that cannot be sketched."""
    experiment: Any = experiment_of(which)
    if not isinstance(experiment, Experiment):
        raise UsageError(f"{which} is no grid of runs, so its cost is not known before; give an experiment that is one")
    grid, configs = experiment.asked(arguments, f"soft-prompts run {which}")
    new = [config for config in configs if config.fresh or not run_paths(config).result.is_file()]
    there = f", {len(configs) - len(new)} of them there already" if len(new) < len(configs) else ""
    facts = [f"cost: {len(configs)} runs{there}"]
    if not new:
        return Report(facts)
    own = resident_memory()
    found = estimates(new, grid.together, grid.jobs)
    named = dict(zip(new, titles(new), strict=True))
    facts += [_line(one, [named[config] for config in one.configs]) for one in found]
    jobs = min(grid.jobs, len(found))
    most = sum(sorted((one.bytes for one in found), reverse=True)[:jobs])
    on_gpu = torch.cuda.is_available() and grid.settings.device != "cpu"
    at_once = 1 if on_gpu else min(jobs, cores())  # processes beyond the cores wait for one another, those of a GPU too
    seconds = max(sum(one.seconds for one in found) / at_once, max(one.seconds for one in found))
    needed = most if on_gpu else most + jobs * own
    torch_itself = "" if on_gpu else f", {gigabytes(jobs * own)} of it Python and torch"
    facts.append(f"cost: about {duration(seconds)}, and {gigabytes(needed)} of memory at most{torch_itself}")
    facts += _not_counted(found, grid.evidence)
    if grid.settings.device_map or grid.settings.parallel != "none":
        facts.append("cost: the model is spread over several devices or processes; memory is of all, none is compared")
        return Report(facts)
    free = float(torch.cuda.mem_get_info()[0]) if on_gpu else free_memory() + own
    return Report(facts, [] if needed <= free else [_too_much(needed, free, jobs)])


def _line(one: Estimate, names: Sequence[str]) -> str:
    name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more together"
    step = f", a step {one.step_seconds:.2f} s" if any(config.trains for config in one.configs) else ""
    bound = " at most" if one.bound else ""
    return (
        f"cost: {name}: {gigabytes(one.bytes)}{bound}, {gigabytes(one.weights_bytes)} of it the model's "
        f"{_count(one.parameters)} weights; {duration(one.seconds)}{bound}{step}"
    )


def _not_counted(found: Sequence[Estimate], evidence: str) -> list[str]:
    """What the estimate leaves out."""
    bounds = dict.fromkeys(one.bound for one in found if one.bound)
    facts = [f"cost: every sample is taken as long as it may be, for {why}" for why in bounds]
    if evidence != "none":
        facts.append(f"cost: evidence {evidence} comes on top; the command says how much when its runs are finished")
    if torch.cuda.is_available() and found[0].configs[0].device != "cpu":
        facts.append(
            "cost: on a GPU steps are recorded, which is not in these figures: less time, and a step's memory twice"
        )
    lessons = [one for one in found if hasattr(one.configs[0].task, "lesson")]
    if lessons:
        facts.append("cost: what models learn before, and in what time, comes on top")
    return facts


def _too_much(needed: float, free: float, jobs: int) -> str:
    what = "fewer --jobs, " if jobs > 1 else ""
    return (
        f"the command needs about {gigabytes(needed)}, and {gigabytes(free)} are free; give {what}a smaller "
        "--micro-batch-size, --dtype bfloat16, or a smaller model"
    )


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.1f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"


def folder_of(arguments: Sequence[str]) -> Path:
    """Where the command would write, as far as its flags say."""
    for place, argument in enumerate(arguments[:-1]):
        if argument in ("--output-dir", "--output_dir"):
            return on_disk(Path(arguments[place + 1]))
    return Path()
