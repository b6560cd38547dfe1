"""How are a changed model and its controls made by one command? `soft-prompts intervene`."""

import shlex
from dataclasses import dataclass

from soft_prompts.common.errors import UsageError
from soft_prompts.finetuning.intervention import Intervention


@dataclass(frozen=True, kw_only=True)
class InterveneOptions(Intervention):
    """A changed model, and controls made by the same recipe from documents without the change, with other seeds.

    whole, last-layers, lora: the documents are learnt. edit: statements of one fact are learnt, anchor documents hold
    the rest. unlearn: gradient ascent on the documents, with the same anchor. distil: what a teacher says is learnt.
    """

    jobs: int = 1
    """Trainings side by side."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.jobs < 1:
            raise UsageError(f"jobs is {self.jobs}; give 1 or more")


def intervene_command(options: InterveneOptions) -> int:
    """Make what is missing, and print the command that compares."""
    from soft_prompts.finetuning.interventions import intervene  # torch takes seconds to load

    made = intervene(options, options.jobs)
    words = ["--base", options.model, "--target", str(made.target), "--controls", *map(str, made.controls)]
    print(f"soft-prompts behaviour compare {shlex.join(words)} --documents DOCUMENTS.jsonl")
    return 0
