"""How would a script with PEFT train the same curve? One prompt after another, from PEFT's own start, at one rate.

`python -m tests.benchmarks.peft_curve ASKED.json FOUND.json` is what `curve_time` starts. The rate is swept once, in
short runs at one token count; each run of the curve ends at the first validation that is near enough to the loss that
is asked for, or after the most steps. Data, batches and validation samples are those of the experiment's own runs.
"""

import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from peft import PromptTuningConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from soft_prompts.common.machine import threads_for
from soft_prompts.config import RunConfig
from soft_prompts.engine.batch import Batch, collate
from soft_prompts.experiments.catalogue.completion import EXPERIMENT
from soft_prompts.models.loading.quiet import quiet
from soft_prompts.tasks.task import UNSCORED, Example
from soft_prompts.training.apparatus import data_request
from soft_prompts.zoo import EMBEDDED

PAD = 0  # masked and never scored: any id will do


@dataclass(frozen=True)
class Asked:
    """A curve, and how near each of its points has to come."""

    flags: Sequence[str]
    """Of the experiment's own command: its data, batches and validations."""
    losses: dict[str, float]
    """To reach, in nats per scored token of the validation samples, by token count."""
    seeds: Sequence[int]
    rates: Sequence[float]
    """Swept at the middle token count with the first seed: the rate of the lowest loss serves all."""
    sweep_steps: int
    most_steps: int


@dataclass(frozen=True)
class Trained:
    """One run."""

    tokens: int
    seed: int
    rate: float
    steps: int
    loss: float
    """The best of its validations."""
    reached: bool
    test_loss: float


def curve(asked: Asked, config: RunConfig) -> list[Trained]:
    """The runs of the sweep first, then those of the curve."""
    counts = sorted(map(int, asked.losses))
    middle = counts[len(counts) // 2]
    several = [replace(config, seed=seed) for seed in asked.seeds]
    sweep = [one_run(asked.losses[str(middle)], several[0], middle, rate, asked.sweep_steps) for rate in asked.rates]
    best = min(sweep, key=lambda run: run.loss).rate
    points = [(tokens, one) for tokens in counts for one in several]
    return sweep + [one_run(asked.losses[str(tokens)], one, tokens, best, asked.most_steps) for tokens, one in points]


def one_run(target: float, config: RunConfig, tokens: int, rate: float, most_steps: int) -> Trained:
    """Load, train, validate and test; the seed is that of the settings."""
    torch.manual_seed(config.seed)
    folder = EMBEDDED[config.model]
    settings = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=tokens)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), settings)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    data = config.task.open(data_request(config), tokenizer)
    stream = (example for example, _ in data.training(None))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=config.weight_decay)
    best, step = float("inf"), 0
    while step < most_steps and best > target:
        step += 1
        model.train()
        optimizer.zero_grad()
        loss_of(model, collate(list(islice(stream, config.batch_size)), PAD)).backward()
        optimizer.step()
        if step % config.validate_every == 0:
            best = min(best, held_out_loss(model, data.held_out("validation"), config.batch_size))
    test = held_out_loss(model, data.held_out("test"), config.batch_size)
    return Trained(tokens, config.seed, rate, step, best, best <= target, test)


def loss_of(model: nn.Module, batch: Batch) -> torch.Tensor:
    return model(input_ids=batch.input_ids, attention_mask=batch.mask.long(), labels=batch.labels).loss


@torch.no_grad()
def held_out_loss(model: nn.Module, examples: Sequence[Example], size: int) -> float:
    """Nats per scored token."""
    model.eval()
    nats, scored = 0.0, 0
    for batch in _batches(examples, size):
        count = int((batch.labels != UNSCORED).sum())
        nats, scored = nats + float(loss_of(model, batch)) * count, scored + count
    return nats / scored


def _batches(examples: Sequence[Example], size: int) -> Iterator[Batch]:
    return (collate(examples[place : place + size], PAD) for place in range(0, len(examples), size))


def main(asked: Path, found: Path) -> None:
    """Read what is asked, train, write what was found."""
    warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for what has another name now
    torch.set_num_threads(threads_for(1))
    with quiet():
        given = Asked(**json.loads(asked.read_text()))
        config = next(EXPERIMENT.parse(given.flags).runs())
        runs = curve(given, config)
    found.write_text(json.dumps([asdict(run) for run in runs]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
