"""What can be asked of the calibration suite?"""

from dataclasses import dataclass
from pathlib import Path

from soft_prompts.calibration.catalogue import ORGANISMS
from soft_prompts.common.errors import UsageError, near_match


@dataclass(frozen=True)
class SuiteOptions:
    """What the suite does; a preset is one of these, flags change it."""

    organisms: tuple[str, ...] = tuple(ORGANISMS)
    """Organisms that are made and asked."""
    planted_in: tuple[str, ...] = ("tiny-mazes",)
    """Embedded models in which secrets are planted; none with an empty list."""
    planted: tuple[int, ...] = (1, 2, 4)
    """Tokens of those secrets."""
    secrets: int = 2
    """Secrets of each length."""
    tokens: tuple[int, ...] = (1, 4)
    """Prompt token counts on organisms, beside 0."""
    steps: int = 120
    """Optimiser steps of a prompt."""
    batch_size: int = 32
    """Samples a step."""
    learning_rate: float = 0.03
    """Peak learning rate: about the root mean square of the organisms' embeddings."""
    jobs: int = 1
    """Runs side by side."""
    output_dir: Path = Path(".")
    """Where runs/, results/, snapshots/ and calibration.json go."""
    preset: str = "default"
    """default: the whole suite; quick: a few organisms, within a minute."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        for name in (name for name in self.organisms if name not in ORGANISMS):
            known = list(ORGANISMS)
            raise UsageError(f"organisms holds {name!r}; {near_match(name, known)}give some of {', '.join(known)}")
        for name in ("organisms", "tokens"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty; give at least one after --{name}")
        if wrong := [tokens for tokens in (*self.tokens, *self.planted) if tokens < 1]:
            raise UsageError(f"tokens is {wrong[0]}; give 1 or more: the bare model is always there")
        for name in ("jobs", "steps", "batch_size", "secrets"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', '-')} is {getattr(self, name)}; give 1 or more")
        if not 0 < self.learning_rate < float("inf"):
            raise UsageError(f"learning-rate is {self.learning_rate}; give a number above 0")
