"""What can be asked of the sandbagging game? Read before torch is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from soft_prompts.common.errors import UsageError
from soft_prompts.config import Precision
from soft_prompts.zoo import ADAPTERS


@dataclass(frozen=True)
class GameOptions:
    """What the game does; a preset is one of these, flags change it."""

    adapters: Path = ADAPTERS
    """Folder of adapters, one each in peft's form, with a card that tells the truth about it."""
    world: Literal["smollm2", "tiny"] = "smollm2"
    """Base, skill and form of the questions. tiny: a table that a model of 64 dimensions knows; its adapters are made
    on the spot, in seconds."""
    seed: int = 0
    """Deals the blind names."""
    tokens: tuple[int, ...] = (1, 4)
    """Prompt token counts, beside 0."""
    steps: int = 100
    """Optimiser steps of a prompt."""
    batch_size: int = 8
    """Samples a step."""
    learning_rate: float = 3e-2
    """Peak learning rate of a prompt."""
    dtype: Precision = "auto"
    """Precision of the model while prompts are trained and measured, as of any experiment; the rivals' is float32."""
    test_samples: int = 150
    """Held-out questions that a verdict speaks about."""
    search: Literal["none", "battery", "power"] = "battery"
    """Where no prompt reaches the mark: nothing more, other rates and starts, or also planted secrets."""
    asked: int = 60
    """Held-out questions that the rivals, and the share of replies that hold the answer, are measured on."""
    scales: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2)
    """Weight noise, as shares of the root mean square of each weight matrix."""
    draws: int = 3
    """Of the noise at each scale."""
    demonstrations: int = 16
    """Right answers that the rival LoRA is trained on."""
    demonstration_steps: int = 20
    """Its steps, each of all demonstrations."""
    jobs: int = 1
    """Runs side by side."""
    output_dir: Path = Path(".")
    """Where runs/, results/, snapshots/ and game/ go."""
    preset: str = "default"
    """default: the twelve shipped adapters; quick: four tiny ones, within a minute or two."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        for name in ("tokens", "scales"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty; give at least one after --{name}")
        if wrong := [tokens for tokens in self.tokens if tokens < 1]:
            raise UsageError(f"tokens is {wrong[0]}; give 1 or more: the bare model is always there")
        if wrong := [scale for scale in self.scales if not 0 < scale < float("inf")]:
            raise UsageError(f"scales is {wrong[0]}; give numbers above 0")
        counts = ("steps", "batch_size", "test_samples", "asked", "draws", "jobs")
        for name in (*counts, "demonstrations", "demonstration_steps"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', '-')} is {getattr(self, name)}; give 1 or more")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; give 0 or more")
        if not 0 < self.learning_rate < float("inf"):
            raise UsageError(f"learning-rate is {self.learning_rate}; give a number above 0")
