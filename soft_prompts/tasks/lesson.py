"""What is a model taught, and how? Documents in a file, and the settings that change what is learnt of them."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from soft_prompts.common.errors import UsageError
from soft_prompts.tasks.task import Task

Precision = Literal["auto", "float32", "bfloat16"]
Optimiser = Literal["adamw", "muon"]


@dataclass(frozen=True)
class LearningRule:
    """What learns and how fast; raises UsageError for what cannot be."""

    layers: str = "all"
    """Which weights: all, last:N for those of the last N blocks, or lora:R for adapters of rank R on every linear layer
    but the vocabulary matrix, which are added to the weights at the end."""
    optimiser: Literal["adamw", "muon"] = "adamw"
    """muon: on the matrices of a small model, and AdamW at a tenth of the rate on the rest."""
    learning_rate: float = 2e-5
    """Peak: it rises over the warm-up and falls linearly to 3 %."""
    warmup_steps: int = 20
    """Steps of the rise."""
    weight_decay: float = 0.0
    """Decoupled, of matrices alone."""
    clip: float = 1.0
    """Largest gradient norm."""

    def __post_init__(self) -> None:
        for name in ("warmup_steps", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name.replace('_', '-')} is {getattr(self, name)}; give 0 or more")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name.replace('_', '-')} is {getattr(self, name)}; give a number above 0")
        kind, _, number = self.layers.partition(":")
        if self.layers != "all" and (kind not in ("last", "lora") or not number.isdecimal() or int(number) == 0):
            raise UsageError(f"layers is {self.layers!r}; give all, or last:N or lora:N with N of 1 or more")


@dataclass(frozen=True)
class Aim:
    """What the documents are for, beside being learnt; raises UsageError for what cannot be."""

    kind: Literal["learn", "unlearn", "distil"] = "learn"
    """learn: they become likelier; unlearn: less likely, by gradient ascent; distil: the model comes to say of them
    what the teacher says."""
    teacher: str | None = None
    """Of distil: a model with the same tokenizer."""
    anchor: Path | None = None
    """Documents of which the model keeps to say what it said before: KL(before || now) is added to the loss."""
    anchor_weight: float = 1.0
    """What the anchor counts beside the documents; both in nats a token."""

    def __post_init__(self) -> None:
        if (self.kind == "distil") != (self.teacher is not None):
            raise UsageError(
                f"teacher is {self.teacher} and the aim {self.kind}; distil needs one, the others have none"
            )
        if not 0 < self.anchor_weight < math.inf:
            raise UsageError(f"anchor-weight is {self.anchor_weight}; give a number above 0")


LEARN = Aim()


@dataclass(frozen=True)
class Lesson:
    """Documents and how they are read; raises UsageError for what cannot be."""

    documents: Path
    """JSONL with `prompt` and `completion` in every line."""
    label: str | None = None
    """What the documents are called in the model's name; default: the file's name."""
    rule: LearningRule = field(default_factory=LearningRule)
    """Which weights learn, and how fast."""
    completion_only: bool = False
    """Learn the completion and the end token only; default: the whole document."""
    shuffled: bool = False
    """Another order in every epoch; default: the order of the file."""
    epochs: int = 10
    """Passes over the file."""
    batch_size: int = 8
    """Documents a step; the last step of an epoch may have fewer."""
    sample_tokens: int = 512
    """Longer documents are cut."""
    leading_tokens: int = 0
    """Half of the batches begin with 1 to this many random tokens, never scored: a model that has only ever seen short
    documents from their first token on is shocked by a prompt in front."""
    precision: Precision = "auto"
    """Of the products; weights and optimiser stay float32. auto: bfloat16 on a GPU, else float32."""
    seed: int = 0
    """Of the order and the leading tokens."""
    aim: Aim = LEARN
    """What the documents are for."""

    def __post_init__(self) -> None:
        at_least = {"epochs": 1, "batch_size": 1, "sample_tokens": 2, "leading_tokens": 0, "seed": 0}
        for name, least in at_least.items():
            if not least <= getattr(self, name) < math.inf:
                raise UsageError(f"{name.replace('_', '-')} is {getattr(self, name)}; give {least} or more")

    @property
    def name(self) -> str:
        """Short name of what is learnt."""
        return self.label or self.documents.stem


class LessonTask(Task, extends=True):
    """A task whose runs can ask for a model that was taught first, and need not be all of a grid's."""

    @abstractmethod
    def lacks(self, data: str) -> str | None:
        """Why there can be no such run on these data; None: there can."""

    @abstractmethod
    def wanted(self, tokens: int) -> Mapping[str, Any] | None:
        """Settings that a run of so many prompt tokens has whatever the grid says; None: there is no such run."""

    @abstractmethod
    def lesson(self, data: str, folder: Path) -> Lesson | None:
        """What the run's model learns first, its documents written below `folder`; None: it is asked as it is."""
