"""How is a prompt fitted to a frozen model? One loop: nats per scored token, AdamW on the prompt alone.

A step is `batch_size` samples, however many processes and micro-batches they are split over: losses are summed, and
divided once by the number of scored tokens of the whole step (or the sum of their weights, where a task weighs them).
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn

from soft_prompts.common.errors import Interrupted, OutOfRoom, goes_on
from soft_prompts.config import RunConfig
from soft_prompts.engine.batch import Batch, collate
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.engine.forward import token_losses
from soft_prompts.engine.memory import is_out_of_memory
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.task import Example, Position
from soft_prompts.training.checkpoint import State, restore_training, training_tensors
from soft_prompts.training.events import EventLog

MOST_BAD_STEPS = 10  # in a row without a finite gradient: the run has failed
LEAST_GAIN = 1e-3  # of the best validation loss: what is less does not count against a stop
FINAL_RATE = 0.1  # of the peak, at the end of the cosine
Stream = Iterator[tuple[Example, Position]]


class BatchLoss(NamedTuple):
    """Loss of one batch, with its gradient to the prompt's parameters."""

    nats: Tensor
    """Sum over scored tokens, each times its weight."""
    tokens: int
    weight: float
    """Sum of the weights; without any, the number of tokens."""

    @property
    def per_token(self) -> Tensor:
        """Nats per scored token, a weighted mean where there are weights."""
        return self.nats / self.weight


class TrainingFailed(RuntimeError):
    """No finite step for too long; the result says so."""


@dataclass
class Progress:
    """Where a run stands; JSON in a state, so that a resumed run counts on."""

    step: int = 0
    position: Position | None = None
    best_step: int = 0
    best_loss: float | None = None
    target_tokens: int = 0
    skipped_steps: int = 0
    bad_in_a_row: int = 0
    micro_batch_size: int = 0
    seconds: float = 0.0
    wait_seconds: float = 0.0
    stalled: int = 0
    """Validations in a row that were hardly better than the best before."""


class Hooks(NamedTuple):
    """What the loop tells the world: states, curves, and whether somebody wants it to stop."""

    publish: Callable[[State], None]
    events: EventLog
    stop_asked: Callable[[], bool]
    report: Callable[[Progress, float], None]
    """Called after every step with the step's loss."""


def batch_loss(frozen: FrozenModel, prompt: nn.Module, batch: Batch) -> BatchLoss:
    """Loss of a batch that lies on the model's device."""
    losses = token_losses(frozen, prompt, batch)
    nats, weights = losses.nats, losses.weights
    if weights is None:
        return BatchLoss(nats.sum(), len(nats), len(nats))
    return BatchLoss((nats * weights).sum(), len(nats), float(weights.double().sum()))


def train(
    frozen: FrozenModel,
    prompt: nn.Module,
    open_stream: Callable[[Position | None], Stream],
    validation: Sequence[Example],
    config: RunConfig,
    hooks: Hooks,
    resume: State | None = None,
) -> Progress:
    """Train `prompt` in place and leave the best prompt of the run in it, chosen by validation loss.

    Raises Interrupted after publishing the last whole step, TrainingFailed when no step is finite any more, OutOfRoom
    when one sample does not fit into memory.
    """
    optimizer = torch.optim.AdamW(
        prompt.parameters(), lr=config.learning_rate, betas=(0.9, 0.999), weight_decay=config.weight_decay
    )
    progress, best = Progress(micro_batch_size=config.micro_batch_size or config.batch_size), {}
    if resume is not None:
        progress = Progress(**resume.facts["progress"])
        asked = config.micro_batch_size or progress.micro_batch_size  # smaller: a way out when memory is short
        progress.micro_batch_size = min(progress.micro_batch_size, asked)
        best = restore_training(resume.tensors, prompt, optimizer)
    stream = open_stream(progress.position)
    while not is_over(config, progress):
        began = time.perf_counter()
        drawn = list(islice(stream, config.batch_size))
        waited = time.perf_counter() - began
        optimizer.zero_grad(set_to_none=True)
        loss = _accumulate(
            frozen,
            prompt,
            set_conditions([example for example, _ in drawn], config),
            config,
            progress,
            hooks.stop_asked,
        )
        if loss is None:  # interrupted in the middle: the unfinished batch is dropped
            _publish(prompt, best, optimizer, progress, hooks)
            raise Interrupted(f"stopped after step {progress.step}; {goes_on(config.fresh)}")
        norm = float(nn.utils.clip_grad_norm_(prompt.parameters(), config.clip))
        rate = learning_rate(config, progress.step)
        finite = math.isfinite(float(loss.per_token)) and math.isfinite(norm)
        if finite:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        progress.step, progress.position = progress.step + 1, drawn[-1][1]
        progress.target_tokens += loss.tokens
        progress.skipped_steps += not finite
        progress.bad_in_a_row = 0 if finite else progress.bad_in_a_row + 1
        progress.wait_seconds += waited
        if progress.bad_in_a_row >= MOST_BAD_STEPS:
            raise TrainingFailed(f"loss or gradient was not finite in {MOST_BAD_STEPS} steps in a row")
        if finite:
            curves = {"train/loss": float(loss.per_token), "train/gradient_norm": norm, "train/learning_rate": rate}
            hooks.events.scalars(curves | {"train/target_tokens": progress.target_tokens}, progress.step)
        if progress.step == config.steps or progress.step % config.validate_every == 0:
            best = _validate(frozen, prompt, validation, config, progress, best, hooks.events)
        progress.seconds += time.perf_counter() - began
        if is_over(config, progress) or progress.step % config.checkpoint_every == 0:
            _publish(prompt, best, optimizer, progress, hooks)
        hooks.report(progress, float(loss.per_token))
    if not best:
        raise TrainingFailed("no validation loss was finite")
    prompt.load_state_dict(best)
    return progress


def is_over(config: RunConfig, progress: Progress) -> bool:
    """Is every step taken, or has the validation loss stopped falling?"""
    return progress.step >= config.steps or has_stalled(config, progress)


def has_stalled(config: RunConfig, progress: Progress) -> bool:
    """Has the validation loss stopped falling, where the settings ask?"""
    return config.patience is not None and progress.stalled >= config.patience


def learning_rate(config: RunConfig, step: int) -> float:
    """Rate of the step that follows `step` finished ones: linear warm-up, then constant or a cosine to a tenth."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * done)) / 2)


def _accumulate(
    frozen: FrozenModel,
    prompt: nn.Module,
    examples: Sequence[Example],
    config: RunConfig,
    progress: Progress,
    stop_asked: Callable[[], bool],
) -> BatchLoss | None:
    """Gradient of the whole step's nats per scored token, on every process; None if somebody asked to stop."""
    state = PartialState()
    mine = examples[state.process_index :: state.num_processes]
    while True:
        try:
            nats, tokens, weight = _backward(frozen, prompt, mine, config, progress.micro_batch_size, stop_asked)
            break
        except RuntimeError as error:
            if not is_out_of_memory(error) or progress.micro_batch_size == 1:
                raise
            progress.micro_batch_size = math.ceil(min(progress.micro_batch_size, len(mine)) / 2)  # and the same batch
            prompt.zero_grad(set_to_none=True)
    stopped = stop_asked()
    if state.num_processes > 1:
        totals = torch.tensor([nats, tokens, weight, stopped], dtype=torch.float64, device=frozen.device)
        nats, tokens, weight, stopped = torch.as_tensor(reduce(totals, "sum")).tolist()
    if stopped:
        return None
    for parameter in prompt.parameters():
        if parameter.grad is None:  # a process without samples still takes part in the sum
            parameter.grad = torch.zeros_like(parameter)
        if state.num_processes > 1:
            parameter.grad = torch.as_tensor(reduce(parameter.grad, "sum"))
        parameter.grad.div_(weight)
    return BatchLoss(torch.tensor(nats), int(tokens), weight)


def _backward(
    frozen: FrozenModel,
    prompt: nn.Module,
    examples: Sequence[Example],
    config: RunConfig,
    micro_batch_size: int,
    stop_asked: Callable[[], bool],
) -> tuple[float, int, float]:
    """Add the gradient of the summed nats to the prompt's parameters, micro-batch by micro-batch; returns the sums of
    nats, tokens and weights."""
    nats, tokens, weight = 0.0, 0, 0.0
    for start in range(0, len(examples), micro_batch_size):
        batch = collate(examples[start : start + micro_batch_size], frozen.pad_id, config.score_first).to(frozen.device)
        loss = batch_loss(frozen, prompt, batch)
        loss.nats.backward()
        nats, tokens = nats + float(loss.nats.detach().double()), tokens + loss.tokens
        weight += loss.weight
        if stop_asked():
            break
    return nats, tokens, weight


def set_conditions(examples: Sequence[Example], config: RunConfig) -> list[Example]:
    """True conditions, none, ones, or dealt to the wrong samples (each gets those of the one before it)."""
    if not config.condition_names:
        return [example._replace(conditions=()) for example in examples]
    if config.condition == "constant":
        return [example._replace(conditions=(1.0,) * len(example.conditions)) for example in examples]
    if config.condition == "shuffled":
        donors = [examples[-1], *examples[:-1]] if examples else []
        return [one._replace(conditions=other.conditions) for one, other in zip(examples, donors, strict=True)]
    return list(examples)


def _validate(
    frozen: FrozenModel,
    prompt: nn.Module,
    validation: Sequence[Example],
    config: RunConfig,
    progress: Progress,
    best: dict[str, Tensor],
    events: EventLog,
) -> dict[str, Tensor]:
    """Measure the prompt; returns the best parameters so far."""
    size = progress.micro_batch_size
    loss = item_losses(frozen, prompt, validation, size, config.score_first).per_token
    events.scalars({"validation/loss": loss}, progress.step)
    enough = math.inf if progress.best_loss is None else progress.best_loss * (1 - LEAST_GAIN)
    progress.stalled = 0 if loss < enough else progress.stalled + 1
    if not math.isfinite(loss) or (progress.best_loss is not None and loss >= progress.best_loss):
        return best
    progress.best_loss, progress.best_step = loss, progress.step
    return {name: value.detach().clone() for name, value in prompt.state_dict().items()}


def _publish(
    prompt: nn.Module, best: dict[str, Tensor], optimizer: torch.optim.Optimizer, progress: Progress, hooks: Hooks
) -> None:
    hooks.events.flush()  # what the state counts on must be on the disk before it
    facts: dict[str, Any] = {"progress": asdict(progress)}
    hooks.publish(State(progress.step, training_tensors(prompt, best, optimizer), facts))


@contextmanager
def out_of_memory_is_out_of_room() -> Iterator[None]:
    """What does not fit even sample by sample becomes OutOfRoom with a line that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        advice = "give fewer --tokens or --sample-tokens, or a smaller --micro-batch-size"
        raise OutOfRoom(f"memory is out; {advice}") from error
