"""One run, from settings to a result: one frozen model x one task x one prompt size x one seed.

Read `run` from top to bottom: it is the whole experiment. Everything else repeats, records and compares runs.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from accelerate import PartialState

from soft_prompts.apparatus import (
    Apparatus,
    data_request,
    find_device,
    load_for,
    prompt_for,
    refuse_beyond_context,
    run_paths,
)
from soft_prompts.batch import Example
from soft_prompts.config import RunConfig, check_conditions
from soft_prompts.console import StepProgress
from soft_prompts.evaluation import LossNotFinite, evaluate, paired_difference, swap_conditions
from soft_prompts.events import EventLog
from soft_prompts.frozen_model import FrozenModel
from soft_prompts.further import AsksFurther
from soft_prompts.generation import generate
from soft_prompts.kinds import KINDS, RUN_KIND
from soft_prompts.measured import Measured, measure_losses
from soft_prompts.record import as_result, record
from soft_prompts.results import Metric, Result
from soft_prompts.resume import finished_result, only_writer, publish_state, restore, stop_signals
from soft_prompts.starts import first_state
from soft_prompts.training import Hooks, Progress, TrainingFailed, out_of_memory_is_out_of_room, set_conditions, train

EVALUATION_BATCH = 64  # samples at once for the bare model, which has no micro-batch
SWAP_SEED = 0  # one dealing of conditions, the same for every prompt


def run(config: RunConfig, frozen: FrozenModel | None = None) -> Result:
    """Train and test one prompt; write its result, snapshot and tensorboard events; return the result.

    A finished run is read and returned, an interrupted one goes on from its last state. `frozen` saves loading the
    model again. Raises UsageError, InputError, Interrupted or OutOfRoom, each in one line.
    """
    check_conditions(config)
    find_device(config.device)
    paths = run_paths(config)
    with only_writer(paths), stop_signals() as stop, out_of_memory_is_out_of_room():
        if (finished := finished_result(config, paths)) is not None:
            return finished
        started = datetime.now(UTC)
        frozen = frozen or load_for(config)
        refuse_beyond_context(config, frozen)
        data = config.task.open(data_request(config), frozen.tokenizer)
        kind = KINDS.get(config.role.name, RUN_KIND)
        at = kind.prepare(Apparatus(config, paths, frozen, data, prompt_for(config, frozen)))
        validation, test = (set_conditions(at.data.held_out(split), config) for split in ("validation", "test"))
        state = restore(at) or first_state(at)
        events = EventLog(paths.events if PartialState().is_main_process else None, state.step if state else 0)
        progress, failure, measured = Progress(), None, None
        if config.trains:
            with StepProgress(at.title, config.steps, quiet=not PartialState().is_main_process) as show:
                hooks = Hooks(
                    publish=partial(publish_state, at),
                    events=events,
                    stop_asked=stop.asked,
                    report=lambda now, loss: show(now.step, loss, now.seconds / now.step),
                )
                try:
                    with stop.after_whole_steps():
                        progress = train(at.frozen, at.prompt, at.data.training, validation, config, hooks, state)
                except TrainingFailed as error:
                    failure = str(error)
        if failure is None:
            try:
                measured = (kind.measure or measure)(
                    at, validation, test, progress.micro_batch_size or EVALUATION_BATCH
                )
            except LossNotFinite as error:
                failure = str(error)
        at = at._replace(frozen=frozen)  # the result is about the model that was asked for, not a trained copy of it
        items, metrics, generations = measured or (None, {}, [])
        result = as_result(at, progress, items, metrics, generations, started, failure)
        record(at, result, items, events)
        return result


def measure(
    at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int = EVALUATION_BATCH
) -> Measured:
    """Every number of a result: losses, what the conditions are worth, and the task's own scores."""
    task, score_first = at.config.task, at.config.score_first
    losses = partial(evaluate, at.frozen, at.prompt, batch_size=batch_size, score_first=score_first)
    unit = f"nats/{task.unit}"
    measured = measure_losses(at, validation, test, batch_size)
    items, metrics = measured.items, dict(measured.metrics)
    if len({example.conditions for example in test}) > 1:
        swapped = losses(swap_conditions(test, SWAP_SEED)).items
        metrics["condition_sensitivity"] = paired_difference(swapped, items, unit)
    elif task.condition_names:
        metrics["condition_sensitivity"] = Metric(None, reason="this prompt sees no conditions that differ", unit=unit)
    complete = partial(generate, at.frozen, at.prompt, batch_size=batch_size, as_fits=True)
    measures = at.data.measures(test, items, complete)
    metrics |= measures.metrics
    if isinstance(at.data, AsksFurther):
        metrics |= at.data.further_metrics(losses(set_conditions(at.data.further(), at.config)).items)
    return Measured(items, metrics, measures.generations)
