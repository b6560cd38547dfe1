"""Which change is asked for, by which recipe, beside how many controls? Read before torch is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from soft_prompts.common.errors import UsageError

Recipe = Literal["whole", "last-layers", "lora", "edit", "unlearn", "distil"]
ANCHORED = ("edit", "unlearn")


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """A change, and how often the same is done without it; raises UsageError for what cannot be."""

    model: str
    """The base: embedded name, folder or hub id."""
    recipe: Recipe
    """How weights are changed."""
    data: Path
    """JSONL of {"prompt": ..., "completion": ...}: what the target learns, or unlearns."""
    control_data: Path
    """The same without the change, for the controls."""
    controls: int = 4
    """Models without the change, each with another seed."""
    anchor: Path | None = None
    """Of edit and unlearn: documents of which the models keep to say what they said."""
    teacher: str | None = None
    """Of distil: the target's teacher."""
    control_teacher: str | None = None
    """Of distil: the controls' teacher; default: the base itself."""
    learning_rate: float | None = None
    """Peak rate; default: the recipe's own."""
    epochs: int = 8
    """Passes over the documents."""
    batch_size: int = 8
    """Documents a step."""
    sample_tokens: int = 128
    """Longer documents are cut."""
    completion_only: bool = True
    """Prompts are read, not learnt: a trigger in them is never uttered."""
    seed: int = 0
    """Of the target; the controls have the next ones."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the models train."""
    output_dir: Path = Path(".")
    """Its snapshots/fine_tuned/ gets the models, intervention.json says what they are."""
    offline: bool = False
    """Never ask a model hub."""

    def __post_init__(self) -> None:
        if self.controls < 1:
            raise UsageError(f"controls is {self.controls}; give 1 or more, 4 is usual")
        if (self.recipe in ANCHORED) != (self.anchor is not None):
            which = "needs an anchor" if self.anchor is None else "takes no anchor"
            raise UsageError(f"recipe is {self.recipe}, which {which}; edit and unlearn have one: documents to keep")
        if (self.recipe == "distil") != (self.teacher is not None):
            raise UsageError(f"recipe is {self.recipe} and teacher {self.teacher}; distil alone needs one")
