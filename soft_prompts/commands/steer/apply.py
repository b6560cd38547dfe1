"""What does a model write with a vector added? `soft-prompts steer apply`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from soft_prompts.commands.asked_model import AskedModel
from soft_prompts.commands.steer.options import model_of
from soft_prompts.common.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class SteerApplyOptions(AskedModel):
    """Text from a frozen model with a vector in its residual stream."""

    vector: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="VECTOR")]
    """File of `steer fit`, or a GGUF control vector."""
    text: tuple[str, ...]
    """Texts to go on from."""
    model: str | None = None
    """Model to use; default: the one that the vector was made on, as its file names it."""
    layer: int | None = None
    """Default: the one chosen on dev."""
    strength: float | None = None
    """Default: the one chosen on dev; negative for the opposite."""
    max_new_tokens: int = 32
    """Tokens to write, at most."""
    temperature: float = 0.0
    """0 takes the likeliest token."""
    seed: int = 0
    """Seeds the sampling."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the model."""
    allow_mismatch: bool = False
    """Use the vector on a model with another fingerprint."""

    def __post_init__(self) -> None:
        if not self.text:
            raise UsageError("--text has no value after it; give one text or more")
        if self.max_new_tokens < 1:
            raise UsageError(f"--max-new-tokens is {self.max_new_tokens}; give 1 or more")
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"--temperature is {self.temperature}; give 0 or more")
        if self.strength is not None and not abs(self.strength) < float("inf"):
            raise UsageError(f"--strength is {self.strength}; give a number")


def steer_apply_command(options: SteerApplyOptions) -> int:
    """Print each text with what the model makes of it."""
    from soft_prompts.steering.vectors.files import read_vector

    vector = read_vector(options.vector)
    name = options.model or model_of([options.vector], [vector])
    from soft_prompts.engine.activations.module_map import Inside
    from soft_prompts.steering.vectors.vector import refuse_other
    from soft_prompts.steering.writing import Written, write_steered

    inside = Inside(options.load(name, None, options.dtype))
    refuse_other(vector, inside.frozen, options.allow_mismatch)
    how = Written(options.layer, options.strength, options.max_new_tokens, options.temperature, options.seed)
    for text, written in zip(options.text, write_steered(inside, vector, options.text, how), strict=True):
        print(f"{text}|{written}")
    return 0
