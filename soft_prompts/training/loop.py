"""How are prompts fitted to a frozen model? One loop: nats per scored token, AdamW on the prompts alone.

Runs of one model take their steps together: the model's passes are shared, and each run has its own samples, optimiser,
schedule, validation, best prompt and states. A run alone is a group of one.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from soft_prompts.common.errors import Interrupted, OutOfRoom, goes_on
from soft_prompts.config import RunConfig
from soft_prompts.engine.evaluation import item_losses
from soft_prompts.engine.memory import is_out_of_memory
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.task import Example, Position
from soft_prompts.training.checkpoint import State, restore_training, training_tensors
from soft_prompts.training.events import EventLog
from soft_prompts.training.gradients import BatchLoss, Room, Share, gradients
from soft_prompts.training.seen import SEEN, Seen

MOST_BAD_STEPS = 10  # in a row without a finite gradient: the run has failed
LEAST_GAIN = 1e-3  # of the best validation loss: what is less does not count against a stop
FINAL_RATE = 0.1  # of the peak, at the end of the cosine
Stream = Iterator[tuple[Example, Position]]


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
    distinct_samples: int | None = 0
    """Different training samples that a step was taken on; None: the run began before they were counted."""
    first_pass_nats: float = 0.0
    """Summed over those samples, each as it was met first, before the update."""
    first_pass_tokens: int = 0
    first_pass_units: int = 0


class Hooks(NamedTuple):
    """What a run tells the world: states and curves."""

    publish: Callable[[State], None]
    events: EventLog


class Fit:
    """One run while it trains: its prompt, and all that it shares with no other."""

    def __init__(self, config: RunConfig, prompt: nn.Module, validation: Sequence[Example], hooks: Hooks) -> None:
        self.config, self.prompt, self.validation, self.hooks = config, prompt, validation, hooks
        self.optimizer = torch.optim.AdamW(
            prompt.parameters(), lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
        )
        self.progress = Progress(micro_batch_size=config.micro_batch_size or config.batch_size)
        self.best: dict[str, Tensor] = {}
        self.stream: Stream = iter(())
        self.seen = Seen()
        self.new_units = 0  # of the samples of the step that are met for the first time
        self.loss = math.nan  # nats per scored token of the last step
        self.failure: str | None = None

    def begin(self, open_stream: Callable[[Position | None], Stream], state: State | None = None) -> "Fit":
        """Before the first step, or as if there had been no end to the sitting that left the state."""
        if state is not None:
            self.progress = Progress(**{"distinct_samples": None, **state.facts["progress"]})
            asked = self.config.micro_batch_size or self.progress.micro_batch_size  # smaller: a way out of memory's end
            self.progress.micro_batch_size = min(self.progress.micro_batch_size, asked)
            if SEEN in state.tensors:
                self.seen.restore(state.tensors[SEEN])
            self.best = restore_training(state.tensors, self.prompt, self.optimizer)
        self.stream = open_stream(self.progress.position)
        return self

    @property
    def goes_on(self) -> bool:
        """Is there a step to take?"""
        return self.failure is None and not is_over(self.config, self.progress)

    def draw(self) -> tuple[Share, Position]:
        """The samples of a step, and where the stream stands after them."""
        began = time.perf_counter()
        drawn = list(islice(self.stream, self.config.batch_size))
        waited = time.perf_counter() - began
        self.progress.wait_seconds += waited
        self.progress.seconds += waited
        self.optimizer.zero_grad(set_to_none=True)
        examples = [example for example, _ in drawn]
        fresh = self.seen.draw(examples)
        self.new_units = sum(example.units for example, new in zip(examples, fresh, strict=True) if new)
        asked = set_conditions(examples, self.config)
        return Share(self.prompt, asked, self.config.score_first, fresh), drawn[-1][1]

    def prepare(self, loss: BatchLoss) -> bool:
        """Clip the gradient, set the rate and count the step; False where it is not finite, and must not be taken."""
        progress, self.loss = self.progress, float(loss.per_token)
        norm = float(nn.utils.clip_grad_norm_(self.prompt.parameters(), self.config.clip))
        finite = math.isfinite(self.loss) and math.isfinite(norm)
        rate = learning_rate(self.config, progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        progress.step += 1
        progress.target_tokens += loss.tokens
        progress.skipped_steps += not finite
        progress.bad_in_a_row = 0 if finite else progress.bad_in_a_row + 1
        if finite:
            self._count_first_pass(loss)
            curves = {"train/loss": self.loss, "train/gradient_norm": norm, "train/learning_rate": rate}
            self.hooks.events.scalars(curves | {"train/target_tokens": progress.target_tokens}, progress.step)
        return finite

    def _count_first_pass(self, loss: BatchLoss) -> None:
        """A step that is not taken leaves its samples as they were: not met."""
        self.seen.keep()
        progress = self.progress
        if progress.distinct_samples is not None:
            progress.distinct_samples = len(self.seen)
            progress.first_pass_nats += float(loss.first_nats)
            progress.first_pass_tokens += loss.first_tokens
            progress.first_pass_units += self.new_units

    def is_due(self, every: int) -> bool:
        """Is it time for what is done every so many steps, and after the last?"""
        return is_over(self.config, self.progress) or self.progress.step % every == 0

    def validate(self, frozen: FrozenModel) -> None:
        """Measure the prompt; keep it where it is the best so far."""
        progress = self.progress
        size = progress.micro_batch_size
        loss = item_losses(frozen, self.prompt, self.validation, size, self.config.score_first).per_token
        self.hooks.events.scalars({"validation/loss": loss}, progress.step)
        enough = math.inf if progress.best_loss is None else progress.best_loss * (1 - LEAST_GAIN)
        progress.stalled = 0 if loss < enough else progress.stalled + 1
        if math.isfinite(loss) and (progress.best_loss is None or loss < progress.best_loss):
            progress.best_loss, progress.best_step = loss, progress.step
            self.best = {name: value.detach().clone() for name, value in self.prompt.state_dict().items()}

    def publish(self) -> None:
        """Make what the run holds its newest state."""
        self.hooks.events.flush()  # what the state counts on must be on the disk before it
        facts: dict[str, Any] = {"progress": asdict(self.progress)}
        tensors = training_tensors(self.prompt, self.best, self.optimizer) | {SEEN: self.seen.as_tensor()}
        self.hooks.publish(State(self.progress.step, tensors, facts))

    def take_best(self) -> None:
        """Leave the best prompt of the run in the prompt."""
        if self.failure is None and not self.best:
            self.failure = "no validation loss was finite"
        if self.failure is None:
            self.prompt.load_state_dict(self.best)


def train(
    frozen: FrozenModel,
    fits: Sequence[Fit],
    stop_asked: Callable[[], bool],
    report: Callable[[Sequence[Fit]], None],
) -> None:
    """Train prompts in place, a step of each at a time; leave the best of each run in it, chosen by validation loss.

    A run whose steps are not finite any more ends with a `failure`, and the others go on. `report` is called after
    every step with those that took it. Raises Interrupted after publishing the last whole step of each, OutOfRoom when
    one sample of one run does not fit into memory.
    """
    room = Room(len(fits) if frozen.packs else 1, min(fit.progress.micro_batch_size for fit in fits))
    while going := [fit for fit in fits if fit.goes_on]:
        shares, positions = zip(*(fit.draw() for fit in going), strict=True)
        began = time.perf_counter()
        losses = gradients(frozen, shares, room, stop_asked)
        if losses is None:  # interrupted in the middle: the unfinished batches are dropped
            for fit in going:
                fit.publish()
            raise Interrupted(f"stopped after step {_steps(going)}; {goes_on(going[0].config.fresh)}")
        each = (time.perf_counter() - began) / len(going)
        for fit, loss, position in zip(going, losses, positions, strict=True):
            began = time.perf_counter()
            fit.progress.position, fit.progress.micro_batch_size = position, room.samples
            if fit.prepare(loss):
                fit.optimizer.step()
            elif fit.progress.bad_in_a_row >= MOST_BAD_STEPS:
                fit.failure = f"loss or gradient was not finite in {MOST_BAD_STEPS} steps in a row"
                continue
            if fit.is_due(fit.config.validate_every):
                fit.validate(frozen)
            fit.progress.seconds += each + time.perf_counter() - began
            if fit.is_due(fit.config.checkpoint_every):
                fit.publish()
        report(going)
    for fit in fits:
        fit.take_best()


def _steps(fits: Sequence[Fit]) -> str:
    return ", ".join(str(step) for step in sorted({fit.progress.step for fit in fits}))


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


@contextmanager
def out_of_memory_is_out_of_room() -> Iterator[None]:
    """What does not fit even sample by sample becomes OutOfRoom with a line that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        advice = "give fewer --tokens or --sample-tokens, a smaller --micro-batch-size, or --together off"
        raise OutOfRoom(f"memory is out; {advice}") from error
