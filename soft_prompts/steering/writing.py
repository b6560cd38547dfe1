"""What does the model write with a vector added, text by text? Each alone, so that no position is read twice."""

from collections.abc import Sequence
from typing import NamedTuple

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.hooks import add
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.engine.activations.places import Places
from soft_prompts.engine.generation import generate
from soft_prompts.prompts.architectures import DirectPrompt, PromptShape
from soft_prompts.steering.vectors.vector import SteeringVector
from soft_prompts.tasks.task import Query


class Written(NamedTuple):
    """How it is written."""

    layer: int | None = None
    strength: float | None = None
    max_new_tokens: int = 32
    temperature: float = 0.0
    seed: int = 0


GREEDY = Written()


def write_steered(
    inside: Inside, vector: SteeringVector, texts: Sequence[str | Query], how: Written = GREEDY
) -> list[str]:
    """Continuations with the vector added where it says; raises UsageError for a layer that it has not."""
    frozen = inside.frozen
    if frozen.writing.road not in ("generate", "cached loop"):
        raise UsageError(f"{frozen.name} reads its whole text again for each token; vectors are not added to such")
    layer = vector.layer if how.layer is None else how.layer
    strength = (1.0 if vector.strength is None else vector.strength) if how.strength is None else how.strength
    if layer is None:
        raise UsageError("the vector has no layer chosen; give --layer")
    written, nothing = [], DirectPrompt(PromptShape(0, frozen.hidden_size, 0)).to(frozen.device)
    for place, text in enumerate(texts):
        with add(inside, vector.at(layer, strength), Places(vector.positions)):
            written += generate(
                frozen,
                nothing,
                [text if isinstance(text, Query) else Query(text, ())],
                how.max_new_tokens,
                temperature=how.temperature,
                seed=how.seed,
                places=[place],
            )
    return written
