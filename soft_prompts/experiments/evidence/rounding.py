"""What is a trained prompt worth when it is written with few bits? Its tensors rounded to q bits a coordinate, not
trained again, and tested: a conditional prompt's are those of its encoder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from soft_prompts.config import RunConfig
from soft_prompts.engine.processes import told_by_first
from soft_prompts.prompts.snapshot import Snapshot, load_snapshot
from soft_prompts.results.roles import Rounded
from soft_prompts.results.schema import Metric
from soft_prompts.stats.bits import prompt_bits, quantise
from soft_prompts.tasks.task import Example
from soft_prompts.training.apparatus import Apparatus
from soft_prompts.training.measures import Measured, measure_losses
from soft_prompts.training.sources import source_folder

BITS = (2, 3, 4, 5, 6, 8)


def trained_prompt(config: RunConfig) -> Snapshot:
    """The prompt that something is made of, read by the first process for all."""
    folder = source_folder(config)
    if folder is None:
        raise ValueError(f"{config.role.name} names no trained prompt")
    return told_by_first(lambda: load_snapshot(folder))


def rounded(at: Apparatus) -> Apparatus:
    """The trained prompt as a decoder of its code would rebuild it."""
    prompt = trained_prompt(at.config).prompt
    round_tensors(prompt, _bits(at.config))
    return at._replace(prompt=prompt.to(at.frozen.device))


@torch.no_grad()
def round_tensors(prompt: nn.Module, bits_per_coordinate: int) -> None:
    """Replace every tensor of the prompt by what its code says."""
    for tensor in _tensors(prompt):
        values = quantise(tensor.cpu().numpy(), bits_per_coordinate).values()
        tensor.copy_(torch.from_numpy(values))


def measure_coded(at: Apparatus, validation: Sequence[Example], test: Sequence[Example], batch_size: int) -> Measured:
    """Losses of the rounded prompt, and the bits of its code."""
    measured = measure_losses(at, validation, test, batch_size)
    tensors = [tensor.numpy() for tensor in _tensors(trained_prompt(at.config).prompt)]
    size = prompt_bits(tensors, _bits(at.config))
    bits = Metric(size, None, sum(tensor.size for tensor in tensors), "bits")
    return measured._replace(metrics=measured.metrics | {"prompt_bits": bits})


def _bits(config: RunConfig) -> int:
    if not isinstance(config.role, Rounded):
        raise ValueError(f"{config.role.name} is no rounded prompt")
    return config.role.bits


def _tensors(prompt: nn.Module) -> list[Tensor]:
    return [parameter.data for parameter in prompt.parameters()]
