"""What can be asked of `soft-prompts calibrate`? Read before torch is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from soft_prompts.common.errors import UsageError
from soft_prompts.config import Precision

MOST_SECRETS = 10  # planted of each length


@dataclass(frozen=True)
class CalibrateOptions:
    """Would such a search find a behaviour in this model, had it one? Secrets are planted in its own text, and sought.

    What is found stands among the results, and every later reading of this model quotes it.
    """

    model: tyro.conf.Positional[str]
    """Embedded name, local folder or hub id."""
    tokens: tuple[int, ...] = (1, 2, 4)
    """Tokens p of the secrets; each is sought with prompts of p and of 2 p tokens."""
    secrets: int = MOST_SECRETS
    """Secrets of each length, ten at most."""
    seeds: tuple[int, ...] = (0,)
    """Prompts that are trained for each."""
    steps: int = 400
    """Optimiser steps of a prompt; readings of prompts that took fewer do not quote it."""
    learning_rate: float | None = None
    """Peak learning rate; default: the root mean square of the model's token embeddings."""
    batch_size: int = 32
    """Samples a step."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""
    dtype: Precision = "auto"
    """Precision of the frozen model, as the searches that it is to speak of have it. auto: bfloat16 on a GPU, else
    float32; fastest: what a probe finds faster on this machine."""
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
        if not 1 <= self.secrets <= MOST_SECRETS:
            raise UsageError(f"secrets is {self.secrets}; give 1 to {MOST_SECRETS}")
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', '-')} is {getattr(self, name)}; give 1 or more")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise UsageError(f"learning-rate is {self.learning_rate}; give a number above 0")
        if wrong := [seed for seed in self.seeds if seed < 0]:
            raise UsageError(f"seeds is {wrong[0]}; give 0 or more")
