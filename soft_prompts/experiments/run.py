"""One run, from settings to a result: one frozen model x one task x one prompt size x one seed.

Read `run` from top to bottom: it is the whole experiment. Everything else repeats, records and compares runs.
"""

import time
from datetime import UTC, datetime
from functools import partial

from accelerate import PartialState

from soft_prompts.common.console import StepProgress
from soft_prompts.config import RunConfig, check_conditions
from soft_prompts.engine.evaluation import LossNotFinite
from soft_prompts.engine.processes import told_by_first
from soft_prompts.experiments.evidence.makers import maker_of
from soft_prompts.experiments.progress import Turn
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.schema import Result
from soft_prompts.training.apparatus import (
    Apparatus,
    algorithms,
    data_request,
    find_device,
    load_for,
    prompt_for,
    refuse_beyond_context,
    refuse_other_model,
    run_paths,
)
from soft_prompts.training.events import EventLog
from soft_prompts.training.loop import (
    Hooks,
    Progress,
    TrainingFailed,
    out_of_memory_is_out_of_room,
    set_conditions,
    train,
)
from soft_prompts.training.record import Clock, Outcome, as_result, record, seconds_before
from soft_prompts.training.resume import (
    earlier_sittings,
    finished_result,
    only_writer,
    publish_state,
    restore,
    stop_signals,
)
from soft_prompts.training.sources import source_print
from soft_prompts.training.starts import first_state
from soft_prompts.training.titles import title


def run(config: RunConfig, frozen: FrozenModel | None = None, turn: Turn | None = None) -> Result:
    """Train and test one prompt; write its result, snapshot and tensorboard events; return the result.

    A finished run is read and returned, an interrupted one goes on from its last state. `frozen` saves loading the
    model again, and has to be the very model that the settings name; `turn` is the run's place among others. Raises
    UsageError, InputError, Interrupted or OutOfRoom, each in one line.
    """
    check_conditions(config)
    find_device(config.device)
    if frozen is not None:
        refuse_other_model(config, frozen)
    paths, turn = run_paths(config), turn or Turn(title(config))
    with only_writer(paths), stop_signals(config.fresh) as stop, out_of_memory_is_out_of_room(), algorithms(config):
        if (finished := finished_result(config, paths, turn.title)) is not None:
            return finished
        started = datetime.now(UTC)
        frozen = frozen or (turn.load or partial(load_for, config))()
        refuse_beyond_context(config, frozen.context_length)
        data = config.task.open(data_request(config), frozen.tokenizer)
        maker, source = maker_of(config.role), told_by_first(lambda: source_print(config))
        at = maker.prepare(Apparatus(config, paths, frozen, data, prompt_for(config, frozen), turn.title, source))
        validation, test = (set_conditions(at.data.held_out(split), config) for split in ("validation", "test"))
        state = restore(at) or first_state(at)
        at = at._replace(sittings=earlier_sittings(state))
        events = EventLog(paths.events if PartialState().is_main_process else None, state.step if state else 0)
        progress, failure, measured, began = Progress(), None, None, time.perf_counter()
        quiet = not PartialState().is_main_process
        try:
            if config.trains:
                with StepProgress(at.title, config.steps, quiet, turn.grid) as show, stop.after_whole_steps():
                    hooks = Hooks(
                        publish=partial(publish_state, at),
                        events=events,
                        stop_asked=stop.asked,
                        report=lambda now, loss: show(now.step, loss, now.seconds / now.step),
                    )
                    progress = train(at.frozen, at.prompt, at.data.training, validation, config, hooks, state)
            began = time.perf_counter()
            at_once = progress.micro_batch_size or config.micro_batch_size or config.batch_size
            measured = maker.measure(at, validation, test, at_once)
        except (TrainingFailed, LossNotFinite) as error:
            failure = str(error)
        at = at._replace(frozen=frozen)  # the result is about the model that was asked for, not a trained copy of it
        clock = Clock(started, time.perf_counter() - began if measured else None, seconds_before(state))
        result = as_result(at, Outcome(progress, measured, failure, clock))
        record(at, result, measured.items if measured else None, events)
        return result
