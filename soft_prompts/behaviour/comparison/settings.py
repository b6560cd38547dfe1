"""What can be asked of a comparison? Every setting that moves a number, checked before a model loads."""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from soft_prompts.common.errors import UsageError

PARTS = ("divergence", "sample", "clusters", "labels", "two-sample", "probe")
JUDGED = ("divergence", "labels", "two-sample", "probe")  # parts with a verdict; the others describe
Method = Literal["kmeans", "hdbscan"]  # of finding kinds of answers
MOST_LEVEL = 0.5
LEAST_CONTEXTS = 4  # of a probe: fewer beginnings of documents have hardly a spread


@dataclass(frozen=True)
class ComparisonSettings:
    """Settings that change numbers; two comparisons of the same settings and models write the same file."""

    seed: int = 0
    """Of what is drawn; which half proposes and which tests depends on the prompts' ids alone."""
    most_documents: int = 400
    """Documents at most, the first of the file."""
    document_tokens: int = 128
    """Longer documents are cut."""
    most_prompts: int = 300
    """Prompts at most; each is gone on from once by every model."""
    prompt_tokens: int = 12
    """Tokens of a prompt that is the beginning of a document."""
    new_tokens: int = 48
    """Tokens that are written behind a prompt."""
    temperature: float = 1.0
    """Of all samples."""
    strength: float = 1.0
    """Contrastive samples: how much what the reference says is weakened by."""
    cut: float = 0.1
    """Contrastive samples: tokens below this share of the likeliest one's probability are never drawn."""
    phrases: int = 20
    """Labels that are proposed on one half of the prompts and tested on the other."""
    kinds: int = 12
    """Kinds of answers that k-means looks for."""
    probe_tokens: int = 4
    """Longest prompt that the probe looks for."""
    beam: int = 4
    """Prompts that are kept of each length."""
    probe_vocabulary: int = 1024
    """A larger vocabulary is sought through by so many candidates."""
    sweep_contexts: int = 6
    """Beginnings of documents behind which every candidate is tried."""
    search_contexts: int = 24
    """Beginnings behind which the best are ranked again."""
    held_out_contexts: int = 64
    """Beginnings of other documents, on which the prompts found are judged."""
    continuation: int = 10
    """Tokens that each model writes behind a probe, and on which it is judged."""
    refine_steps: int = 40
    """Steps of Adam on the probe's embeddings, in a small ball around its tokens; 0: none."""
    level: float = 0.05
    """Chance of a false verdict over all parts together."""

    def __post_init__(self) -> None:
        least = {"seed": 0, "refine_steps": 0, "probe_tokens": 1, "document_tokens": 2, "kinds": 2, "most_prompts": 4}
        least |= {"search_contexts": LEAST_CONTEXTS, "held_out_contexts": LEAST_CONTEXTS}
        for name, kind in self.__annotations__.items():
            if kind is int and getattr(self, name) < least.get(name, 1):
                raise UsageError(
                    f"{name.replace('_', '-')} is {getattr(self, name)}; give {least.get(name, 1)} or more"
                )
        if not 0 < self.temperature < math.inf:
            raise UsageError(f"temperature is {self.temperature}; give a number above 0")
        if not 0 < self.level <= MOST_LEVEL:
            raise UsageError(f"level is {self.level}; give a chance above 0 and up to {MOST_LEVEL}, .05 is usual")
        if not 0 <= self.strength < math.inf:
            raise UsageError(f"strength is {self.strength}; give 0 or more")
        if not 0 <= self.cut < 1:
            raise UsageError(f"cut is {self.cut}; give a share from 0 to below 1")


DEFAULTS = ComparisonSettings()


def refuse_missing(method: Method) -> None:
    """Raises UsageError for a method whose package is not installed."""
    if method == "hdbscan" and find_spec("sklearn") is None:
        raise UsageError("clusters by hdbscan need scikit-learn; install soft_prompts[clusters], or give kmeans")
