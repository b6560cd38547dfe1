"""What does a run hold in its hands? Settings, places, the frozen model, the data and the prompt; and how each is
made."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import PartialState

from soft_prompts.common.errors import UsageError
from soft_prompts.config import RunConfig, settings_that_count
from soft_prompts.data.conditions import NO_CONDITIONS, ConditionEncoder
from soft_prompts.engine.forward import records
from soft_prompts.engine.processes import meet, told_by_first
from soft_prompts.engine.rows.recorded import forget
from soft_prompts.models.frozen import find_context_length, load_frozen_model, model_key
from soft_prompts.models.loading.spread import Spread
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.precision import FASTEST, dtype_name
from soft_prompts.prompts.architectures import Prompt, PromptShape
from soft_prompts.prompts.build import build_prompt
from soft_prompts.prompts.kinds import UNCONDITIONAL
from soft_prompts.results.paths import result_path, run_path
from soft_prompts.results.roles import RUN
from soft_prompts.tasks.task import DataRequest, TaskData
from soft_prompts.training.environment import Versions


class Paths(NamedTuple):
    """The same path under three folders."""

    events: Path
    result: Path
    snapshot: Path


BEFORE_TRAINING = 2**63 - 1  # of what is not trained: no sample is kept from it


class Apparatus(NamedTuple):
    """Everything a run works with; only the prompt's parameters ever change."""

    config: RunConfig
    paths: Paths
    frozen: FrozenModel
    data: TaskData
    prompt: Prompt
    title: str = ""
    """The run's name for people."""
    source: Mapping[str, str] = {}
    """What the prompt is made from, where it is made from another: `source_print`."""
    seen: int | None = BEFORE_TRAINING
    """Different training samples that the prompt has seen; None: it is not known."""
    sittings: Sequence[Versions] = ()
    """The versions under which it was trained up to the state that it goes on from, first to last."""
    place: str | None = None
    """Where a given prompt stands, if not where the task puts one."""

    @property
    def position(self) -> str:
        """Where the prompt stands."""
        return self.place or self.config.task.position


def run_paths(config: RunConfig) -> Paths:
    """Where this run's outputs go; every setting that changes the numbers is in the path."""
    where = run_path(
        config.task.name,
        config.task.variant,
        data_request(config).name,
        config.model,
        config.prompt_kind,
        config.tokens,
        config.seed if config.tokens or config.trains else 0,  # the bare model is one run for all seeds
        settings_that_count(config),
    )
    where = where.with_name(config.role.prefix + where.name)
    folders = ("runs", "results", "snapshots")
    return Paths(*(result_path(config.folder, folder, where) for folder in folders))


def snapshot_name(config: RunConfig) -> str:
    """The folder of the run's trained prompt, seen from snapshots/."""
    return run_paths(config).snapshot.relative_to(config.folder / "snapshots").as_posix()


@contextmanager
def algorithms(config: RunConfig) -> Iterator[None]:
    """Only those that give the same bits every time, where the settings ask for them; as before afterwards."""
    if not config.deterministic:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch refuses cuBLAS without it
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def settled(config: RunConfig) -> RunConfig:
    """The settings with the precision that `fastest` means here, the same for every process and every later sitting."""
    if config.dtype != FASTEST:
        return config
    device = find_device(config.device)
    found: Any = told_by_first(lambda: dtype_name(FASTEST, device))
    return replace(config, dtype=found)


def load_for(config: RunConfig) -> FrozenModel:
    """The frozen model that a run's settings name, on the device that they name."""
    return load_frozen_model(
        config.model,
        revision=config.revision,
        dtype=config.dtype,
        device=find_device(config.device),
        offline=config.offline,
        trust_remote_code=config.trust_remote_code,
        spread=spread_of(config),
    )


def spread_of(config: RunConfig) -> Spread:
    """How the settings spread a model over several devices."""
    return Spread(config.device_map, config.max_memory, config.parallel)


def with_engine(config: RunConfig, frozen: FrozenModel) -> FrozenModel:
    """The model on the roads that the settings allow."""
    return replace(frozen, packs=False, head=None) if config.engine == "plain" else frozen


def engine_line(frozen: FrozenModel, prompts: int) -> str:
    """`engine: packed rows and shared prefixes where they save work, float32, fused loss, 4 prompts together`.

    On a GPU `recorded steps` too, where steps of one form are.
    """
    rows = "packed rows and shared prefixes where they save work" if frozen.packs else "plain rows"
    loss = "whole logits" if frozen.head is None else "fused loss"
    return ", ".join(
        [
            f"engine: {rows}",
            frozen.dtype,
            loss,
            *([] if frozen.parallel == "none" else [_spread_line(frozen)]),
            *(["recorded steps"] if frozen.packs and records(frozen) else []),
            *([f"{prompts} prompts together"] if prompts > 1 and frozen.packs else []),
        ]
    )


def _spread_line(frozen: FrozenModel) -> str:
    processes = PartialState().num_processes
    return f"{frozen.parallel} over {processes} processes" if frozen.in_step else frozen.parallel


def refuse_beside_runs(config: RunConfig, frozen: FrozenModel) -> None:
    """Raise UsageError for what stands beside the runs where the model is in parts: some of it trains weights or draws
    others."""
    if frozen.in_step and config.role != RUN:
        raise UsageError(
            f"parallel is {frozen.parallel}, and {config.role.name} wants the model whole; give --evidence none, or "
            "--parallel pipeline"
        )


def refuse_other_model(config: RunConfig, frozen: FrozenModel) -> None:
    """Raise UsageError unless the loaded model is the one that the settings name, in their precision and place."""
    if differs := differences(config, frozen):
        raise UsageError(f"{'; '.join(differs)}; leave the loaded model out, or load it as the settings say")


def differences(config: RunConfig, frozen: FrozenModel) -> list[str]:
    """How a loaded model departs from the one that the settings name, a phrase each."""
    then, now = frozen.loaded, frozen.held
    if frozen.key is None or then is None or then.module != now.module:
        return ["the model was put together by hand"]
    if then != now:
        return [f"the model was loaded as {then.dtype} on {then.device}, and is {now.dtype} on {now.device} now"]
    device, trusted = find_device(config.device), config.trust_remote_code
    asked = model_key(config.model, config.revision, config.dtype, device, trusted, spread_of(config))
    return [
        f"{what.replace('source', 'model')} is {named}, the loaded model's {found}"
        for what, named, found in zip(asked._fields, asked, frozen.key, strict=True)
        if named != found
    ]


class LoadedModel:
    """The one frozen model that a process holds: asked for another, it lets the old one go before that one comes."""

    def __init__(self) -> None:
        self._frozen: FrozenModel | None = None

    def named_by(self, config: RunConfig) -> FrozenModel:
        """The very model that the settings name, in their precision and place; loaded where it is not held."""
        if self._frozen is not None and differences(config, self._frozen):
            self._frozen = None
        if self._frozen is None:
            forget()  # what a GPU keeps of the last one's steps
            self._frozen = load_for(config)
        return self._frozen


def find_device(name: str) -> torch.device:
    """The device of this process; auto takes a GPU if torch sees one.

    The first call meets the other processes of a launch: call it before anything asks which process this is.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    process = meet(launched and (name == "cpu" or not torch.cuda.is_available()))
    device = (None if name == "cpu" else process.device) or torch.device("cpu")
    if name == "cuda" and device.type != "cuda":
        raise UsageError("device is cuda, but torch sees no GPU here; give cpu or auto")
    return device


def refuse_beyond_context(config: RunConfig, context_length: int | None) -> None:
    """Prompt and text must fit the model's positions: rotary models raise nothing by themselves."""
    positions = config.tokens + config.sample_tokens
    if context_length is not None and positions > context_length:
        raise UsageError(
            f"tokens {config.tokens} + sample-tokens {config.sample_tokens} = {positions} positions; "
            f"{config.model} has {context_length}; give fewer of either"
        )


def refuse_long_prompts(configs: Sequence[RunConfig]) -> None:
    """Of each model the longest prompt and text, before the first of many runs."""
    longest: dict[tuple[str, str | None], RunConfig] = {}
    for config in sorted(configs, key=lambda config: config.tokens + config.sample_tokens):
        longest[config.model, config.revision] = config
    for config in longest.values():
        asked = (config.model, config.revision, config.offline, config.trust_remote_code)
        refuse_beyond_context(config, find_context_length(*asked))


def data_request(config: RunConfig) -> DataRequest:
    """The part of the settings that a task's data depend on."""
    names = set(DataRequest._fields) - {"workers"}
    return DataRequest(workers=config.data_workers, **{name: getattr(config, name) for name in names})


def encoder_for_run(config: RunConfig) -> ConditionEncoder:
    """What turns into floats the conditions that the run's prompt sees."""
    return config.task.conditions_of(data_request(config)) if config.condition_names else NO_CONDITIONS


def shape_for(config: RunConfig, frozen: FrozenModel) -> PromptShape:
    """The sizes of the run's prompt."""
    return PromptShape(
        tokens=config.tokens,
        hidden_size=frozen.hidden_size,
        conditions=len(encoder_for_run(config).names),
        hidden_layers=config.hidden_layers,
        hidden_width=config.hidden_width,
        residual_width=config.residual_width,
    )


def prompt_for(config: RunConfig, frozen: FrozenModel) -> Prompt:
    """The run's prompt before its first step, on the model's device; without tokens an empty one."""
    vocabulary = frozen.vocabulary.cpu()  # beyond is padding
    kind, shape = config.prompt_kind or UNCONDITIONAL, shape_for(config, frozen)
    return build_prompt(kind, shape, vocabulary, config.init, config.seed).to(frozen.device)
