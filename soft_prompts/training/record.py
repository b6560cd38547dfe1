"""What stays of a run? Its result, its snapshot and the last of its tensorboard events."""

from datetime import UTC, datetime

from accelerate import PartialState

from soft_prompts.config import as_json
from soft_prompts.prompts.kinds import UNCONDITIONAL
from soft_prompts.prompts.snapshot import Snapshot, save_snapshot
from soft_prompts.results.files import (
    DataSection,
    Generation,
    Items,
    Metric,
    ModelSection,
    PromptSection,
    Result,
    TimingSection,
    TrainingSection,
    items_fingerprint,
    write_result,
)
from soft_prompts.training.apparatus import Apparatus, encoder_for_run, shape_for
from soft_prompts.training.checkpoint import forget
from soft_prompts.training.environment import environment
from soft_prompts.training.events import EventLog
from soft_prompts.training.loop import Progress
from soft_prompts.training.titles import flat_settings


def record(at: Apparatus, result: Result, items: Items | None, events: EventLog) -> None:
    """Events, snapshot, and last the result: a run is finished when its result stands. The first process writes for
    all."""
    if PartialState().is_main_process:
        _record_events(at, result, events)
        if result.status == "success" and at.config.tokens > 0 and at.config.role.learns != "weights":
            _record_snapshot(at, result)
        write_result(at.paths.result, result, items)
        if result.status == "success":
            forget(at.paths.snapshot / "state")
    PartialState().wait_for_everyone()


def _record_events(at: Apparatus, result: Result, events: EventLog) -> None:
    step = result.training.steps
    events.generations(result.generations, step)
    metrics = {f"test/{name.removeprefix('test_')}": metric.value for name, metric in result.metrics.items()}
    events.settings(flat_settings(at.config), metrics, step)
    events.close()


def _record_snapshot(at: Apparatus, result: Result) -> None:
    snapshot = Snapshot(
        prompt=at.prompt,
        kind=at.config.prompt_kind or UNCONDITIONAL,
        shape=shape_for(at.config, at.frozen),
        conditions=encoder_for_run(at.config),
        model=at.config.model,
        revision=at.frozen.revision,
        fingerprint=at.frozen.fingerprint,
        step=result.training.best_step or 0,
        position=at.config.task.position,
    )
    save_snapshot(at.paths.snapshot, snapshot)


def as_result(
    at: Apparatus,
    progress: Progress,
    items: Items | None,
    metrics: dict[str, Metric],
    generations: list[Generation],
    started: datetime,
    failure: str | None,
) -> Result:
    """All of it in the form of the result JSON."""
    config, frozen, data = at.config, at.frozen, at.data
    prompted, trained = config.tokens > 0, config.trains
    per_second = progress.target_tokens / progress.seconds if progress.seconds else None
    return Result(
        status="success" if failure is None else "failed",
        reason=failure,
        role=config.role.name,
        experiment=config.task.name,
        variant=config.task.variant,
        model=ModelSection(
            name=config.model,
            revision=frozen.revision,
            architecture=frozen.model.config.model_type,
            parameters=sum(parameter.numel() for parameter in frozen.model.parameters()),
            fingerprint=frozen.fingerprint,
            dtype=frozen.dtype,
            probes={probe.name: probe.text for probe in frozen.probes} or None,
        ),
        prompt=PromptSection(
            kind=config.prompt_kind,
            tokens=config.tokens,
            parameters=sum(parameter.numel() for parameter in at.prompt.parameters()),
            position=config.task.position if prompted else None,
            conditions=config.condition_names,
            condition_mode=(config.condition if config.task.condition_names else None) if prompted else None,
        ),
        data=DataSection(
            name=data.name,
            train=data.train,
            test=data.test,
            fingerprint=data.fingerprint,
            items_fingerprint=None if items is None else items_fingerprint(items.cluster, items.scored_tokens),
            train_samples=progress.step * config.batch_size,
            test_samples=0 if items is None else len(items.loss_nats),
            rejected=data.rejected(progress.position),
        ),
        training=TrainingSection(
            steps=progress.step,
            best_step=progress.best_step if trained else None,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            schedule=config.schedule,
            seed=config.seed,
            target_tokens=progress.target_tokens,
            skipped_steps=progress.skipped_steps,
            micro_batch_size=progress.micro_batch_size or None,
        ),
        timing=TimingSection(
            wall_seconds=progress.seconds if trained else (datetime.now(UTC) - started).total_seconds(),
            target_tokens_per_second=per_second,
            data_wait_share=progress.wait_seconds / progress.seconds if progress.seconds else None,
        ),
        headline=config.task.headline,
        metrics=metrics,
        generations=tuple(generations),
        environment=environment(frozen, started),
        config=as_json(config) | dict(at.source),
    )
