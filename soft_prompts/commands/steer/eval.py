"""What does a vector do, beside its controls? `soft-prompts steer eval`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from soft_prompts.commands.steer.options import OfVectors
from soft_prompts.common.errors import UsageError


@dataclass(frozen=True)
class SteerEvalOptions(OfVectors):
    """Vectors on the test split, beside nothing, random vectors, shuffled labels, wrong classes and the real prompt."""

    vectors: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="VECTOR")]
    """Files of `steer fit` (.safetensors), or GGUF control vectors; the class is the vector's name, or the file's.
    Several of one class are taken for seeds of one: intervals are over them too."""
    neutral: Path | None = None
    """Lines of plain text, on which a vector should cost nothing; default: the embedded world's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.vectors:
            raise UsageError("no vector is given; make one with `soft-prompts steer fit`")


def steer_eval_command(options: SteerEvalOptions) -> int:
    """Write and print what each vector does."""
    choices = options.choices()
    from soft_prompts.steering.data.sources import neutral_texts
    from soft_prompts.steering.evaluation import evaluate_vectors

    neutral = neutral_texts(options.neutral, options.data)
    inside, vectors = options.read(options.vectors)
    found = evaluate_vectors(inside, vectors, choices, neutral, options.seed)
    finding = options.found("eval", inside, sum(one.n for one in found.effects), found.figures(), found.says())
    return options.show(finding, f"eval-{vectors[0].method}")
