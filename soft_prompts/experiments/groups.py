"""Which runs go through the frozen model together, and which of several groups first? Those that differ in their
prompts alone, as many as pay; those that no other node is at."""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import torch

from soft_prompts.common.urls import url_of
from soft_prompts.config import PROMPT_ONLY, RunConfig
from soft_prompts.engine.processes import told_by_first
from soft_prompts.experiments.evidence.makers import maker_of
from soft_prompts.experiments.grid import Together
from soft_prompts.results.files import items_path
from soft_prompts.results.shared import shared_of
from soft_prompts.training.apparatus import Paths, run_paths
from soft_prompts.training.resume import is_elsewhere
from soft_prompts.training.sources import source_folder

T = TypeVar("T")

# Text tokens of the steps together: more of them gain nothing. By tests/benchmarks/together_speed.py; on an H100 four
# prompts of 8 x 128 were 2.3 times as fast as one after another and eight no more so, before steps were recorded.
WORTH_TOKENS = {"cpu": 1024, "cuda": 16384}
MOST_PROMPTS = 16  # each has data, a prompt and moments of its own in memory
OWN = (PROMPT_ONLY - {"batch_size"}) | {"tokens", "role", "checkpoint_every"}  # in what runs of a group may differ


def groups(configs: Sequence[RunConfig], together: Together = "auto", jobs: int = 1) -> list[list[int]]:
    """Places of the runs, those that go together beside each other; groups are made in this order.

    A run whose result is there is alone, and one that begins from another's prompt comes after it.
    """
    alike: dict[Hashable, list[int]] = {}
    for place, config in enumerate(configs):
        if _may_share(config):
            alike.setdefault(_what_is_shared(config), []).append(place)
    size = {place: _size(configs[place], len(places), together, jobs) for places in alike.values() for place in places}
    found, open_group = list[list[int]](), dict[Hashable, int]()  # of each kind the group that is not full yet
    made_in: dict[object, int] = {}
    for place, config in enumerate(configs):
        kind = _what_is_shared(config) if place in size else place
        number = open_group.get(kind)
        source = source_folder(config)
        if number is None or len(found[number]) >= size[place] or made_in.get(source, -1) >= number:
            number = open_group[kind] = len(found)
            found.append([])
        found[number].append(place)
        made_in[run_paths(config).snapshot] = number
    return found


def fetch_results(configs: Sequence[RunConfig]) -> None:
    """Have those that lie behind a URL here, to see which runs are left; the first process fetches for all."""
    by_place: dict[Path, list[Paths]] = {}
    for config in configs:
        if url_of(config.output_dir) is not None:
            by_place.setdefault(config.output_dir, []).append(run_paths(config))
    for runs in by_place.values():
        told_by_first(lambda runs=runs: _fetch(runs))


def _fetch(runs: Sequence[Paths]) -> None:
    if (shared := shared_of(runs[0].result)) is not None:
        shared.fetch_results((paths.result, items_path(paths.result)) for paths in runs)


def free_first(tasks: Iterable[T], runs_of: Callable[[T], Sequence[RunConfig]]) -> Iterator[T]:
    """The tasks, and at the end those with a run that another node was at when their turn came, or that begins from
    such a run: nobody waits for what is made elsewhere while there is work."""
    later, put_off = list[T](), set[object]()
    for task in tasks:
        runs = runs_of(task)
        is_shared = any(url_of(run.output_dir) is not None for run in runs)
        if is_shared and told_by_first(lambda runs=runs: any(_is_made_elsewhere(run, put_off) for run in runs)):
            later.append(task)
            put_off.update(run_paths(run).snapshot for run in runs)
        else:
            yield task
    yield from later


def _is_made_elsewhere(run: RunConfig, put_off: set[object]) -> bool:
    return _is_to_be_made(run) and (source_folder(run) in put_off or is_elsewhere(run_paths(run)))


def _may_share(config: RunConfig) -> bool:
    """Is a prompt trained, on a model that other runs have too, in a run that has to be made?"""
    return config.trains and config.role.learns == "prompt" and not config.role.own_model and _is_to_be_made(config)


def _is_to_be_made(config: RunConfig) -> bool:
    return config.fresh or not run_paths(config).result.is_file()


def _what_is_shared(config: RunConfig) -> Hashable:
    """What is one for all of a group: the model, the form of a step, the data, and how it runs."""
    shared = (getattr(config, one.name) for one in fields(config) if one.name not in OWN)
    return *shared, maker_of(config.role).model


def _size(config: RunConfig, count: int, together: Together, jobs: int) -> int:
    """How many of `count` like runs form a group."""
    if together == "off" or config.engine == "plain":  # there is no pass to share
        return 1
    if together != "auto":
        return together
    samples = config.micro_batch_size or config.batch_size
    most = WORTH_TOKENS[_device(config)] // (samples * config.sample_tokens)
    several = math.ceil(count / max(1, min(most, MOST_PROMPTS)))
    several = math.ceil(several / jobs) * jobs  # as many groups for each job
    return math.ceil(count / several)


def _device(config: RunConfig) -> str:
    return "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"
