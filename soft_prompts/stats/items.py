"""What is the atom of a measurement? The loss of every test item, with its units and cluster, and what was written."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Items:
    """Per test item, in the same order for every token count and seed."""

    loss_nats: NDArray[np.float64]  # [N] sum over the item's scored tokens
    scored_tokens: NDArray[np.int64]  # [N]
    scored_units: NDArray[np.int64]  # [N] moves, bytes or tokens: the unit of the headline metric
    cluster: NDArray[np.int64]  # [N] game, document or question: items of one cluster are not independent
    outcome: NDArray[np.float64] | None = None  # [N] 0 to 1: is what the model writes right? NaN: not asked

    def __post_init__(self) -> None:
        for name, values in self.arrays().items():
            kind = ITEM_DTYPES.get(name, "float64")
            if values.dtype != kind or values.shape != (len(self.loss_nats),):
                wanted = f"{kind} [{len(self.loss_nats)}]"
                raise ValueError(f"items: {name} is {values.dtype} {list(values.shape)}, wanted {wanted}")
        if not np.isfinite(self.loss_nats).all() or min(map(_least, (self.scored_tokens, self.scored_units))) < 0:
            raise ValueError("items: a loss is not finite or a count is negative")
        if self.outcome is not None and (np.isinf(self.outcome) | (self.outcome < 0) | (self.outcome > 1)).any():
            raise ValueError("items: an outcome is not in 0 to 1")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that there is, by name."""
        outcome = {} if self.outcome is None else {OUTCOME: self.outcome}
        return {name: getattr(self, name) for name in ITEM_DTYPES} | outcome


ITEM_DTYPES = {"loss_nats": "float64", "scored_tokens": "int64", "scored_units": "int64", "cluster": "int64"}
OUTCOME = "outcome"  # float64, of tasks that have one


def _least(values: NDArray[np.int64]) -> int:
    return int(values.min(initial=0))
