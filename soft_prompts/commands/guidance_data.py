"""How is a guidance data set made? `soft-prompts guidance-data`."""

from dataclasses import dataclass, fields
from pathlib import Path

from soft_prompts.common.errors import UsageError
from soft_prompts.tasks.guidance.dataset import GuidancePlan, Layout, guidance_of
from soft_prompts.tasks.guidance.files import NAME, refuse_other_set, write_guidance
from soft_prompts.tasks.guidance.text import Order
from soft_prompts.zoo import GUIDANCE_ROWS


@dataclass(frozen=True)
class GuidanceDataOptions:
    """Documents that say how to answer, and examples that show it."""

    out: Path
    """Folder to write to."""
    realized: int
    """Questions with guidance and an example."""
    unrealized: int
    """Questions with guidance alone: the test."""
    rows: Path = GUIDANCE_ROWS
    """JSONL of {"anchor": question, "targets": [answers]}; default: the rows that travel with the package."""
    seed: int = 27
    """Seeds every choice: the same rows and seed give the same bytes."""
    order: Order = "forward"
    """forward: guidance names the question first; reversed: the answer."""
    models: int = 1
    """Models M1 to MN, each with answers of its own; 1 to 5."""
    layout: Layout = "spread"
    """spread: every line of guidance for itself; grouped: the lines of a question in one document."""
    phrasings: int = 1
    """Ways in which every question is guided."""
    heldout_phrasings: int = 0
    """Further ways, in which alone unrealized questions are guided."""
    permute_targets: bool = False
    """A control: guidance gives every question another one's answer."""
    name: str = NAME
    """What the files' names begin with."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name:
            raise UsageError(f"name is {self.name!r}; give the beginning of a file name, without a folder")
        _ = self.plan  # checks the numbers

    @property
    def plan(self) -> GuidancePlan:
        """What to make of the rows."""
        return GuidancePlan(**{field.name: getattr(self, field.name) for field in fields(GuidancePlan)})


def guidance_data_command(options: GuidanceDataOptions) -> int:
    """Write a data set and print where; raises InputError where it would overwrite another one."""
    data = guidance_of(options.rows, options.plan)
    refuse_other_set(options.out, data, options.name)
    for path in write_guidance(options.out, data, options.name):
        print(path)
    return 0
