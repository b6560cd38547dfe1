"""How are a changed model and its controls made by one command? `soft-prompts intervene`."""

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class InterveneOptions:
    """A changed model, and controls made by the same recipe from documents without the change, with other seeds.

    whole, last-layers, lora: the documents are learnt. edit: statements of one fact are learnt, anchor documents hold
    the rest. unlearn: gradient ascent on the documents, with the same anchor. distil: what a teacher says is learnt.
    """

    model: str
    """The base: embedded name, folder or hub id."""
    recipe: Literal["whole", "last-layers", "lora", "edit", "unlearn", "distil"]
    """How weights are changed."""
    data: Path
    """JSONL of {"prompt": ..., "completion": ...}: what the target learns, or unlearns."""
    control_data: Path
    """The same without the change, for the controls."""
    controls: int = 4
    """Models without the change."""
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
    jobs: int = 1
    """Trainings side by side."""
    debug: bool = False
    """Show the traceback of an error too."""


def intervene_command(options: InterveneOptions) -> int:
    """Make what is missing, and print the command that compares."""
    from soft_prompts.finetuning.interventions import Intervention, intervene  # torch takes seconds to load

    known = {field.name for field in fields(Intervention)}
    plan = Intervention(**{name: value for name, value in vars(options).items() if name in known})
    made = intervene(plan, options.jobs)
    words = ["--base", options.model, "--target", str(made.target), "--controls", *map(str, made.controls)]
    print(f"soft-prompts behaviour compare {shlex.join(words)} --documents DOCUMENTS.jsonl")
    return 0
