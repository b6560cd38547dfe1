"""At which positions of a text is the model changed? `last`, `all`, `generated`, a list of positions, or a mask."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from soft_prompts.common.errors import UsageError

WORDS = ("last", "all", "generated")


class Places(NamedTuple):
    """Positions of the texts of a batch, or of whatever a model writes behind them."""

    asked: str | Sequence[int] | Tensor
    """last: the last token of each text; generated: that one and all that is written behind it."""
    mask: Bool[Tensor, "B S"] | None = None
    """Which positions are text, and so on which side the padding is; None: padding, if any, is on the left."""

    def refuse_wrong(self) -> None:
        """Raises UsageError for what names no position."""
        if isinstance(self.asked, str):
            if self.asked not in WORDS:
                raise UsageError(f"positions is {self.asked!r}; give {', '.join(WORDS)}, a list or a mask")
        elif not isinstance(self.asked, Tensor):
            length = None if self.mask is None else self.mask.shape[1]
            if wrong := [one for one in self.asked if one < 0 or (length is not None and one >= length)]:
                raise UsageError(
                    f"positions holds {wrong[0]}; give 0 to {'the last' if length is None else length - 1}"
                )
        elif self.mask is not None and self.asked.shape != self.mask.shape:
            raise UsageError(f"positions is a mask {list(self.asked.shape)}; the texts are {list(self.mask.shape)}")

    def of_call(self, call: int, rows: int, length: int) -> Bool[Tensor, "B S"]:
        """The positions of the model's call number `call`, from 0: behind the first, it is asked for what it writes."""
        found = torch.zeros(rows, length, dtype=torch.bool)
        if call > 0:
            return found | (self.asked in ("all", "generated") if isinstance(self.asked, str) else False)
        if isinstance(self.asked, Tensor):
            return self.asked.cpu().bool()
        text = torch.ones(rows, length, dtype=torch.bool) if self.mask is None else self.mask.cpu()
        if self.asked == "all":
            return text
        if isinstance(self.asked, str):
            return found.scatter(1, last_places(text)[:, None], True)
        found[:, [*self.asked]] = True
        return found


def last_places(mask: Bool[Tensor, "B S"]) -> Tensor:
    """[B] the last position of each text, whichever side is padded."""
    return mask.shape[1] - 1 - mask.int().flip(1).argmax(dim=1)
