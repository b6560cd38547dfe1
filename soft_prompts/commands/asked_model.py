"""Which model does a command about a trained prompt use, and where does it run?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soft_prompts.models.model import FrozenModel


@dataclass(frozen=True, kw_only=True)
class AskedModel:
    """Flags that generate, export and import share."""

    model: str | None = None
    """Model to use; default: the one that the prompt was trained on, as it or its adapter names it."""
    device: str = "auto"
    """auto, cpu or cuda."""
    offline: bool = False
    """Never ask a model hub."""
    trust_remote_code: bool = False
    """Let a model run its own code."""
    debug: bool = False
    """Show the traceback of an error too."""

    def load(self, name: str, revision: str | None, dtype: str = "auto") -> "FrozenModel":
        """The model that was asked for, else the prompt's own, `name` at its revision; raises InputError."""
        from soft_prompts.models.frozen import load_frozen_model
        from soft_prompts.training.apparatus import find_device  # torch takes seconds to load

        return load_frozen_model(
            self.model or name,
            revision=None if self.model else revision,
            dtype=dtype,
            device=find_device(self.device),
            offline=self.offline,
            trust_remote_code=self.trust_remote_code,
        )
