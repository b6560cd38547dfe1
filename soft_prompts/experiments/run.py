"""One run, from settings to a result: one frozen model x one task x one prompt size x one seed.

Read `run_together` from top to bottom: it is the whole experiment, of one run or of several whose prompts take their
steps together. Everything else repeats, records and compares runs.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from accelerate import PartialState

from soft_prompts.common.console import StepProgress, say
from soft_prompts.common.signals import stop_signals
from soft_prompts.config import RunConfig, check_conditions
from soft_prompts.engine.evaluation import LossNotFinite
from soft_prompts.engine.processes import others_are_there, told_by_first
from soft_prompts.experiments.evidence.makers import Maker, maker_of
from soft_prompts.experiments.progress import Turn
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.schema import Result
from soft_prompts.tasks.task import Example
from soft_prompts.training.apparatus import (
    Apparatus,
    algorithms,
    data_request,
    engine_line,
    find_device,
    load_for,
    prompt_for,
    refuse_beside_runs,
    refuse_beyond_context,
    refuse_other_model,
    run_paths,
    settled,
    with_engine,
)
from soft_prompts.training.events import EventLog
from soft_prompts.training.loop import Fit, Hooks, Progress, out_of_memory_is_out_of_room, set_conditions, train
from soft_prompts.training.measures import first_pass
from soft_prompts.training.record import Clock, Outcome, as_result, record
from soft_prompts.training.resume import (
    earlier_sittings,
    finished_result,
    only_writers,
    publish_state,
    restore,
)
from soft_prompts.training.sources import source_print
from soft_prompts.training.starts import as_given, first_state
from soft_prompts.training.titles import titles


def run(config: RunConfig, frozen: FrozenModel | None = None) -> Result:
    """Train and test one prompt; write its result, snapshot and tensorboard events; return the result.

    A finished run is read and returned, an interrupted one goes on from its last state. `frozen` saves loading the
    model again, and has to be the very model that the settings name. Raises UsageError, InputError, Interrupted or
    OutOfRoom, each in one line.
    """
    [result] = run_together([config], frozen)
    return result


def run_together(
    configs: Sequence[RunConfig], frozen: FrozenModel | None = None, turn: Turn | None = None
) -> list[Result]:
    """As `run`, of several runs of one model that `groups` lets go together; `turn` is their place among others."""
    configs = [settled(config) for config in configs]
    for config in configs:
        check_conditions(config)
        find_device(config.device)
        if frozen is not None:
            refuse_other_model(config, frozen)
    first, turn, paths = configs[0], turn or Turn(titles(configs)), [run_paths(config) for config in configs]
    with (
        only_writers(paths),
        stop_signals(first.fresh) as stop,
        others_are_there(),
        out_of_memory_is_out_of_room(),
        algorithms(first),
    ):
        named = list(zip(configs, turn.titles, strict=True))
        finished = [finished_result(config, run_paths(config), title) for config, title in named]
        if all(finished):
            return [result for result in finished if result is not None]
        began = time.perf_counter()
        frozen = frozen or (turn.load or partial(load_for, first))()
        for config in configs:
            refuse_beside_runs(config, frozen)
        used, begun = with_engine(first, maker_of(first.role).model(frozen)), list[Begun]()
        for (config, title), result in zip(named, finished, strict=True):
            if result is None:
                begun.append(_begin(config, used, title, began))
                began = time.perf_counter()
        if fits := [one.fit for one in begun if one.fit is not None]:
            if any(fit.goes_on for fit in fits):
                say(engine_line(begun[0].at.frozen, len(fits)))
            quiet, steps = not PartialState().is_main_process, max(fit.config.steps for fit in fits)
            with StepProgress(turn.title, steps, quiet, turn.grid) as show, stop.after_whole_steps():
                train(begun[0].at.frozen, fits, stop.asked, partial(_report, show, steps))
        made = (_finish(one, frozen) for one in begun)
        return [result or next(made) for result in finished]


class Begun(NamedTuple):
    """A run that is ready for its first step, or for that after its last state."""

    maker: Maker
    at: Apparatus
    validation: Sequence[Example]
    test: Sequence[Example]
    events: EventLog
    fit: Fit | None
    """None where nothing is trained."""
    started: datetime
    opening_seconds: float


def _begin(config: RunConfig, frozen: FrozenModel, title: str, began: float) -> Begun:
    """Open the data, make the prompt or take it from the last state; `began`: the clock, when this was begun."""
    started, maker = datetime.now(UTC), maker_of(config.role)
    refuse_beyond_context(config, frozen.context_length)
    data, source = config.task.open(data_request(config), frozen.tokenizer), told_by_first(lambda: source_print(config))
    at = Apparatus(config, run_paths(config), frozen, data, prompt_for(config, frozen), title, source)
    at = as_given(maker.prepare(at))
    validation, test = (set_conditions(at.data.held_out(split), config) for split in ("validation", "test"))
    state = restore(at) or first_state(at)
    at = at._replace(sittings=earlier_sittings(state))
    events = EventLog(at.paths.events if PartialState().is_main_process else None, state.step if state else 0)
    fit = None
    if config.trains:
        hooks = Hooks(partial(publish_state, at), events)
        fit = Fit(config, at.prompt, validation, hooks).begin(at.data.training, state)
    return Begun(maker, at, validation, test, events, fit, started, time.perf_counter() - began)


def _report(show: Callable[[int, float, float], None], steps: int, fits: Sequence[Fit]) -> None:
    """Of several runs the one with most steps to go says how far they are; the loss is their mean."""
    left = max(fit.config.steps - fit.progress.step for fit in fits)
    seconds = sum(fit.progress.seconds / fit.progress.step for fit in fits)  # each has its share of a step's time
    show(steps - left, sum(fit.loss for fit in fits) / len(fits), seconds)


def _finish(one: Begun, frozen: FrozenModel) -> Result:
    """Measure what was trained, and keep it; `frozen` is the model that was asked for, not a trained copy of it."""
    config, began, measured = one.at.config, time.perf_counter(), None
    progress, failure = (one.fit.progress, one.fit.failure) if one.fit is not None else (Progress(), None)
    at = one.at if one.fit is None else one.at._replace(seen=progress.distinct_samples)
    try:
        if failure is None:
            at_once = progress.micro_batch_size or config.micro_batch_size or config.batch_size
            measured = one.maker.measure(at, one.validation, one.test, at_once)
            if one.fit is not None:
                measured.metrics.update(first_pass(progress, config.task.unit))
    except LossNotFinite as error:
        failure = str(error)
    clock = Clock(one.started, one.opening_seconds, time.perf_counter() - began if measured else None)
    at = one.at._replace(frozen=frozen)
    result = as_result(at, Outcome(progress, measured, failure, clock))
    record(at, result, measured.items if measured else None, one.events)
    return result
