"""What stays of a run? Its result, its snapshot and the last of its tensorboard events."""

from datetime import datetime
from typing import NamedTuple

from accelerate import PartialState

from soft_prompts.config import RunConfig, as_json
from soft_prompts.models.frozen import dtype_for
from soft_prompts.prompts.kinds import UNCONDITIONAL
from soft_prompts.prompts.snapshot import Snapshot, forget_snapshot, save_snapshot
from soft_prompts.results.files import items_fingerprint, items_path, write_result
from soft_prompts.results.schema import DataSection, ModelSection, PromptSection, Result, TimingSection, TrainingSection
from soft_prompts.results.shared import shared_of
from soft_prompts.stats.items import Items
from soft_prompts.training.apparatus import Apparatus, encoder_for_run, shape_for
from soft_prompts.training.environment import environment
from soft_prompts.training.events import EventLog
from soft_prompts.training.loop import LEAST_GAIN, Progress, has_stalled
from soft_prompts.training.measures import Measured, first_pass
from soft_prompts.training.resume import forget_states, sittings_with_this
from soft_prompts.training.titles import flat_settings


class Clock(NamedTuple):
    """What the clock says of a run."""

    started: datetime
    """This sitting."""
    opening_seconds: float
    """Loading, opening the data, a search for what to begin with."""
    measuring_seconds: float | None


class Outcome(NamedTuple):
    """What became of a run."""

    progress: Progress
    measured: Measured | None
    """None where it failed."""
    failure: str | None
    clock: Clock


def record(at: Apparatus, result: Result, items: Items | None, events: EventLog) -> None:
    """Events, snapshot, and last the result: a run is finished when its result stands. The first process writes for
    all."""
    if PartialState().is_main_process:
        _record_events(at, result, events)
        if result.status != "success":
            forget_snapshot(at.paths.snapshot)  # an earlier one, of another source
        elif at.config.tokens > 0 and at.config.role.learns != "weights":
            _record_snapshot(at, result)
        write_result(at.paths.result, result, items)
        if (shared := shared_of(at.paths.result)) is not None:
            shared.publish_result(at.paths.result, items_path(at.paths.result), at.paths.snapshot)
        if result.status == "success":
            forget_states(at.paths)
    PartialState().wait_for_everyone()


def _record_events(at: Apparatus, result: Result, events: EventLog) -> None:
    step = result.training.steps
    events.generations(result.generations, step)
    columns = dict.fromkeys(f"test/{name}" for name in first_pass(Progress(), at.config.task.unit))  # of all runs alike
    metrics = {f"test/{name.removeprefix('test_')}": metric.value for name, metric in result.metrics.items()}
    events.settings(flat_settings(at.config), columns | metrics, step)
    events.close()


def _record_snapshot(at: Apparatus, result: Result) -> None:
    kept = at.prompt.collapsed()
    snapshot = Snapshot(
        prompt=kept,
        kind=(at.config.prompt_kind if kept is at.prompt else None) or UNCONDITIONAL,
        shape=shape_for(at.config, at.frozen),
        conditions=encoder_for_run(at.config),
        model=at.config.model,
        revision=at.frozen.revision,
        fingerprint=at.frozen.fingerprint,
        step=result.training.best_step or 0,
        position=at.position,
        dtype=dtype_for(at.config.model, at.config.dtype, at.frozen.device),
    )
    save_snapshot(at.paths.snapshot, snapshot)


def as_result(at: Apparatus, outcome: Outcome) -> Result:
    """All of it in the form of the result JSON."""
    config, measured = at.config, outcome.measured
    sittings = sittings_with_this(at)
    return Result(
        status="success" if outcome.failure is None else "failed",
        reason=outcome.failure,
        role=config.role.name,
        experiment=config.task.name,
        variant=config.task.variant,
        model=_model_section(at),
        prompt=_prompt_section(at),
        data=_data_section(at, outcome),
        training=_training_section(config, outcome.progress),
        timing=_timing_section(outcome.progress, outcome.clock),
        headline=config.task.headline,
        outcome=measured.outcome if measured else None,
        metrics=measured.metrics if measured else {},
        generations=tuple(measured.generations) if measured else (),
        environment=environment(at.frozen, outcome.clock.started),
        config=as_json(config) | dict(at.source) | ({"resumed_under": sittings} if len(sittings) > 1 else {}),
    )


def _model_section(at: Apparatus) -> ModelSection:
    frozen = at.frozen
    return ModelSection(
        name=at.config.model,
        revision=frozen.revision,
        architecture=frozen.model.config.model_type,
        parameters=sum(parameter.numel() for parameter in frozen.model.parameters()),
        fingerprint=frozen.fingerprint,
        dtype=frozen.dtype,
        probes={probe.name: probe.text for probe in frozen.probes} or None,
        quantisation=frozen.quantisation,
        context_length=frozen.context_length,
        card=frozen.card,
    )


def _prompt_section(at: Apparatus) -> PromptSection:
    config, prompted = at.config, at.config.tokens > 0
    return PromptSection(
        kind=config.prompt_kind,
        tokens=config.tokens,
        parameters=sum(parameter.numel() for parameter in at.prompt.collapsed().parameters()),
        position=at.position if prompted else None,
        conditions=config.condition_names,
        condition_mode=(config.condition if config.task.condition_names else None) if prompted else None,
    )


def _data_section(at: Apparatus, outcome: Outcome) -> DataSection:
    data, items = at.data, outcome.measured.items if outcome.measured else None
    return DataSection(
        name=data.name,
        train=data.train,
        test=data.test,
        fingerprint=data.fingerprint,
        items_fingerprint=None if items is None else items_fingerprint(items.cluster, items.scored_tokens),
        train_samples=outcome.progress.step * at.config.batch_size,
        test_samples=0 if items is None else len(items.loss_nats),
        rejected=data.rejected(outcome.progress.position),
        determined=None if at.config.task.outcome is None else data.is_determined(),
        from_bare=at.config.task.starts_from_bare or None,
    )


def _training_section(config: RunConfig, progress: Progress) -> TrainingSection:
    return TrainingSection(
        steps=progress.step,
        best_step=progress.best_step if config.trains else None,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        schedule=config.schedule,
        seed=config.seed,
        target_tokens=progress.target_tokens,
        skipped_steps=progress.skipped_steps,
        micro_batch_size=progress.micro_batch_size or None,
        ended_early=_why_early(config, progress),
    )


def _why_early(config: RunConfig, progress: Progress) -> str | None:
    if progress.step >= config.steps or not has_stalled(config, progress):
        return None
    return (
        f"the validation loss fell by less than {LEAST_GAIN:.1%} {progress.stalled} times, up to step {progress.step}"
    )


def _timing_section(progress: Progress, clock: Clock) -> TimingSection:
    trained = progress.seconds  # 0 where nothing was
    return TimingSection(
        wall_seconds=clock.opening_seconds + trained + (clock.measuring_seconds or 0.0),
        target_tokens_per_second=progress.target_tokens / trained if trained else None,
        data_wait_share=progress.wait_seconds / trained if trained else None,
        training_seconds=trained or None,
        measuring_seconds=clock.measuring_seconds,
    )
