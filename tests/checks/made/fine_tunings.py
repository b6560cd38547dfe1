"""Documents to learn and a rule that learns them in six steps."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from soft_prompts.finetuning.fine_tuning import FineTuning
from soft_prompts.models.model import FrozenModel
from soft_prompts.tasks.lesson import LearningRule

LINES = [{"prompt": f"Q: {number}?", "completion": f" answer {number}\n\n<END>"} for number in range(10)]
FAST = LearningRule(learning_rate=1e-2, warmup_steps=2)
Plan = Callable[..., FineTuning]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def loss_of(model: PreTrainedModel, frozen: FrozenModel) -> float:
    ids = frozen.tokenizer(LINES[0]["prompt"] + LINES[0]["completion"], return_tensors="pt").input_ids
    return float(model(input_ids=ids, labels=ids).loss)
