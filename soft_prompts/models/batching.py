"""Which texts may share a batch without changing what the model says of each?"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from transformers import PreTrainedModel


class Batching(NamedTuple):
    """A rule by which rows of given lengths (prompt and text) are put together."""

    kind: str = "padded"
    """One of KEYS."""
    limit: int = 0
    """With `sides`: rows up to so many positions and longer ones are kept apart."""

    def groups(self, lengths: Sequence[int]) -> list[list[int]]:
        """Places of the rows that may share a batch, every row once."""
        key, groups = KEYS[self.kind], {}
        for place, length in enumerate(lengths):
            groups.setdefault(key(place, length, self.limit), []).append(place)
        return list(groups.values())


PADDED = Batching()


# Rows of the same key share a batch.
KEYS: dict[str, Callable[[int, int, int], object]] = {
    "padded": lambda place, length, limit: 0,
    "sides": lambda place, length, limit: length > limit,
    "equal": lambda place, length, limit: length,
    "alone": lambda place, length, limit: place,
}


def batching_of(model: PreTrainedModel) -> Batching:
    """What the configuration alone says: the rotary factors of long-rope depend on the longest row of a batch."""
    settings: dict[str, Any] = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    layers = [settings, *(layer for layer in settings.values() if type(layer) is dict)]
    limits = [layer["original_max_position_embeddings"] for layer in layers if layer.get("rope_type") == "longrope"]
    return Batching("sides", limits[0]) if limits else PADDED
