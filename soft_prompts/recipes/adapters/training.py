"""How is a LoRA adapter trained on a frozen model, so that it can be stopped at any step and ends in the same bits?

Hu et al., arXiv 2106.09685: on every linear layer but the vocabulary matrix, through the same forward and loss as a
prompt. Vectors of noise in front are a prompt that nobody trains.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from soft_prompts.common.console import say
from soft_prompts.engine.batch import collate
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import encode, end_id
from soft_prompts.recipes.adapters.lessons import Draw, Lesson, Practice, Sample
from soft_prompts.recipes.language_model import Plan, Progress, load_state, rate_share, save_state
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training.gradients import batch_loss

MOST_TOKENS = 160  # of a sample: a text is cut there
ENDS = float(np.log(0.3)), float(np.log(3.0))  # of the loudness of noise, times the root mean square of tokens
EVERY = 30.0  # seconds between two lines


class Vectors(nn.Module):
    """The same vectors [P, H] in front of every sample; none of them learns."""

    def __init__(self, rows: Float[Tensor, "P H"]) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, conditions: Float[Tensor, "B C"]) -> Float[Tensor, "B P H"]:
        return self.rows.expand(len(conditions), -1, -1)


class Pupil(NamedTuple):
    """A model with an adapter in it that learns."""

    frozen: FrozenModel
    adapted: Any
    """The same model as peft holds it."""
    weights: nn.ParameterList
    """Of the adapter."""


def with_adapter(base: str, rank: int, seed: int, dtype: str = "auto") -> Pupil:
    """The base with a new adapter, which changes nothing yet, and is float32 whatever the base is; raises InputError
    for a base that is not there."""
    from peft import LoraConfig, get_peft_model  # takes seconds to load

    frozen = load_frozen_model(base, dtype=dtype, offline=True)
    settings = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        adapted: Any = get_peft_model(frozen.model, settings)
    adapted.peft_config["default"].base_model_name_or_path = base
    adapted.eval()
    weights = nn.ParameterList(weight for weight in adapted.parameters() if weight.requires_grad)
    return Pupil(frozen, adapted, weights)


def teach(pupil: Pupil, lesson: Lesson, plan: Plan, state: Path, stop_at: int | None = None) -> Progress:
    """Train to the end of the plan, or up to step `stop_at`, going on from `state` where there is one.

    A step's batch is a pure function of (seed, step).
    """
    state.parent.mkdir(parents=True, exist_ok=True)
    optimiser = torch.optim.AdamW(pupil.weights.parameters(), lr=plan.adam_rate, weight_decay=0.0)
    done = load_state(state, pupil.weights, [optimiser])
    started, saved, told = time.monotonic() - done.seconds, done.seconds, done.seconds
    losses: list[float] = []
    while plan.progress(done) < 1 and done.steps != stop_at:
        losses.append(_step(pupil, lesson(np.random.default_rng((plan.seed, done.steps))), optimiser, plan, done))
        done = Progress(done.steps + 1, time.monotonic() - started)
        if done.seconds - told > EVERY:
            left = done.seconds / plan.progress(done) - done.seconds
            say(f"step {done.steps}, {done.seconds:.0f} s, {np.mean(losses):.4f} nats a token; {left:.0f} s left")
            losses, told = [], done.seconds
        if done.seconds - saved > plan.save_seconds:
            save_state(state, pupil.weights, [optimiser], done)
            saved = done.seconds
    save_state(state, pupil.weights, [optimiser], done)
    return done


def _step(pupil: Pupil, practice: Practice, optimiser: torch.optim.Optimizer, plan: Plan, done: Progress) -> float:
    """One step of the optimiser; returns the loss in nats a token."""
    for group in optimiser.param_groups:
        group["lr"] = plan.adam_rate * rate_share(plan, done)
    examples = [example_of(pupil.frozen, sample) for sample in practice.samples]
    front = noise(pupil.frozen, practice.noise, np.random.default_rng((plan.seed, done.steps, 1)))
    loss = batch_loss(pupil.frozen, front, collate(examples, pupil.frozen.pad_id)).per_token
    loss.backward()
    nn.utils.clip_grad_norm_(pupil.weights.parameters(), plan.clip)
    optimiser.step()
    optimiser.zero_grad()
    return loss.item()


def example_of(frozen: FrozenModel, sample: Sample) -> Example:
    """What is said is scored, and the token that ends it; a text that is longer than a sample may be is cut."""
    given = encode(frozen.tokenizer, sample.given)
    said = encode(frozen.tokenizer, sample.said, special=not sample.given).ids
    end = end_id(frozen.tokenizer)
    ids = [*given.ids, *said, *([] if end is None else [end])] if sample.given else [*said]
    labels = [*[UNSCORED] * len(given.ids), *ids[len(given.ids) :]] if sample.given else list(ids)
    return Example(ids[:MOST_TOKENS], labels[:MOST_TOKENS], insert_at=given.start if sample.given else 0)


def noise(frozen: FrozenModel, tokens: int, draw: Draw) -> Vectors:
    """Vectors [P, H] of random directions, each as loud as tokens are, or more, or less."""
    rows = torch.from_numpy(draw.standard_normal((tokens, frozen.hidden_size))).float()
    loudness = torch.from_numpy(np.exp(draw.uniform(ENDS[0], ENDS[1], size=(tokens, 1)))).float()
    return Vectors(rows * loudness * frozen.vocabulary.float().pow(2).mean().sqrt())


def halve(weights: Sequence[nn.Parameter] | nn.ParameterList) -> None:
    """Round to half precision, in which an adapter is shipped: what is measured is what is written."""
    for weight in weights:
        weight.data = weight.data.half().float()
