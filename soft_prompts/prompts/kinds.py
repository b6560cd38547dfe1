"""Which prompt architectures are there, and how can a prompt begin? Names, and what each architecture declares: read
before anything as slow as torch is loaded.

An architecture of your own is a `Prompt` (prompts/architectures.py) and one line, `PROMPTS["low_rank"] =
LowRankPrompt`: from then on it is a value of `--prompt`, of RunConfig and of snapshots.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from soft_prompts.common.errors import UsageError, near_match

if TYPE_CHECKING:
    from soft_prompts.prompts.architectures import Prompt

Initialisation = Literal["vocabulary", "zeros", "normal", "paper", "mean_noise", "search", "grown"]
FROM_ROWS: tuple[Initialisation, ...] = ("search", "grown")  # starts that need a row for each token


@dataclass(frozen=True)
class BuiltIn:
    """The place of a class in prompts/architectures.py, which loads when it is first built, and what it declares."""

    name: str
    needs_conditions: bool = True
    has_rows: bool = True

    def __call__(self, shape: Any) -> Any:
        """A prompt of that class."""
        return getattr(import_module("soft_prompts.prompts.architectures"), self.name)(shape)


PROMPTS: dict[str, "type[Prompt] | BuiltIn"] = {
    "direct": BuiltIn("DirectPrompt", needs_conditions=False),
    "linear": BuiltIn("LinearPrompt"),
    "mlp": BuiltIn("MlpPrompt"),
    "resnet": BuiltIn("ResnetPrompt"),
    "shared_resnet": BuiltIn("SharedResnetPrompt", has_rows=False),
    "residual": BuiltIn("ResidualPrompt", needs_conditions=False, has_rows=False),
}
UNCONDITIONAL = "direct"  # stands for an architecture that needs conditions where there are none


def architecture(name: str) -> "type[Prompt] | BuiltIn":
    """What PROMPTS holds under the name; raises UsageError with the names where it holds nothing."""
    if name not in PROMPTS:
        known = list(PROMPTS)
        raise UsageError(f"prompt is {name!r}; {near_match(name, known)}give one of {', '.join(known)}")
    return PROMPTS[name]
