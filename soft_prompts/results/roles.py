"""What is a result for? A run of a grid, or one that stands beside the runs: an anchor, a control, a trial of the
optimiser, a rounded prompt. How each is made: soft_prompts/experiments/evidence/makers.py; what it is good for:
docs/measurement.md."""

from dataclasses import dataclass
from typing import Literal

Learns = Literal["prompt", "weights", "nothing"]


@dataclass(frozen=True)
class Role:
    """Which of them, and what tells it from others of its name."""

    name: str = "run"
    """run, or `anchor:`, `control:`, `battery:` or `code:` and which."""
    learns: Learns = "prompt"
    """prompt: the prompt, where there are tokens; weights: the model's, or adapters to them; nothing: made, not
    trained."""
    facts: tuple[tuple[str, str | int | float], ...] = ()
    """What it was made of or with; part of the path and of the result's config."""

    @property
    def prefix(self) -> str:
        """What its files' names begin with: nothing for a run, `anchor-lora-` for anchor:lora."""
        return "" if self == RUN else f"{self.name.replace(':', '-')}-"

    def fact(self, name: str) -> str | int | float | None:
        """The fact of that name, None where it has none."""
        return dict(self.facts).get(name)


RUN = Role()
