"""What does a vector do on the items that soft prompts were tested on? `soft-prompts steer items`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from soft_prompts.commands.steer.options import OfVectors
from soft_prompts.results.files import read_result


@dataclass(frozen=True)
class SteerItemsOptions(OfVectors):
    """A vector on the test items of a result of `run completion`: `compare --units` then has its share of the scale.

    --data is what the vector was made of: none of it may be among the items.
    """

    vector: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="VECTOR")]
    """File of `steer fit`."""
    result: Path
    """A result of any prompt of the curve, or of the bare model."""


def steer_items_command(options: SteerItemsOptions) -> int:
    """Write and print what the vector does there."""
    result, choices = read_result(options.result), options.choices()
    from soft_prompts.steering.items import vector_on_items

    inside, (vector,) = options.read([options.vector])
    made_of = [item.prompt for split in ("train", "dev") for item in choices.part(split).items]
    found = vector_on_items(inside, vector, result, made_of)
    finding = options.found("items", inside, found.n, found.figures(), found.says())
    return options.show(finding, f"items-{found.data}-{vector.method}-{vector.name}")
