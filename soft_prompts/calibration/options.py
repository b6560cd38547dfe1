"""What can be asked of `soft-prompts calibrate`? Read before torch is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from soft_prompts.common.errors import UsageError


@dataclass(frozen=True)
class CalibrateOptions:
    """Certificate of the measure on a model: secrets of known length are planted in its own text, and sought."""

    model: tyro.conf.Positional[str]
    """Embedded name, local folder or hub id."""
    tokens: tuple[int, ...] = (1, 2, 4)
    """Tokens p of the secrets; prompts of p / 2, p and 2 p tokens are trained to replace each, and
    one of p begins with a search where that fails."""
    secrets: int = 3
    """Secrets of each length."""
    seeds: tuple[int, ...] = (0, 1)
    """Prompts that are trained for each; validation chooses between them."""
    steps: int = 400
    """Optimiser steps of a prompt."""
    learning_rate: float | None = None
    """Peak learning rate; default: the root mean square of the model's token embeddings."""
    batch_size: int = 32
    """Samples a step."""
    target_tokens: int = 16
    """Sampled and scored tokens of a sample."""
    samples: int = 4096
    """Samples that a prompt is trained on."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""
    output_dir: Path = Path(".")
    """Where runs/, results/, snapshots/ and calibration/ go."""
    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """Print JSON alone."""
    offline: bool = False
    """Never ask a model hub."""
    trust_remote_code: bool = False
    """Let a model run its own code."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        for name in ("tokens", "seeds"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty; give at least one number after --{name}")
        if wrong := [tokens for tokens in self.tokens if tokens < 1]:
            raise UsageError(f"tokens is {wrong[0]}; give 1 or more")
        at_least = {"secrets": 1, "steps": 1, "batch_size": 1, "target_tokens": 1, "samples": 1}
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name.replace('_', '-')} is {getattr(self, name)}; give {least} or more")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise UsageError(f"learning-rate is {self.learning_rate}; give a number above 0")
        if wrong := [seed for seed in self.seeds if seed < 0]:
            raise UsageError(f"seeds is {wrong[0]}; give 0 or more")
