"""How are samples kept whose least possible loss is known? One safetensors file: token ids, and what their source paid.

input_ids      [N, T]  token ids of one tokenizer
first_scored   [N]     place of the first label; from there on every token is one
exact_nats     [N]     loss of those labels under the source that they were drawn from
split          [N]     0 training, 1 validation, 2 test
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import write_atomically

Integers = NDArray[np.int64]
SPLITS = ("training", "validation", "test")
KEY = "known_samples"  # of the file's metadata
DTYPES = {"input_ids": np.int64, "first_scored": np.int64, "exact_nats": np.float64, "split": np.int64}


class Facts(NamedTuple):
    """What a file says of itself."""

    source: str
    """What the samples were drawn from, in words."""
    vocabulary: int
    """Token ids lie below this."""


@dataclass(frozen=True, eq=False)
class KnownSamples:
    """Raises ValueError where the arrays do not fit together."""

    input_ids: Integers
    first_scored: Integers
    exact_nats: NDArray[np.float64]
    split: Integers
    facts: Facts

    def __post_init__(self) -> None:
        count, length = self.input_ids.shape if self.input_ids.ndim == 2 else (-1, -1)
        for name, kind in DTYPES.items():
            values = getattr(self, name)
            if values.dtype != kind or len(values) != count:
                raise ValueError(f"{name} is {values.dtype} {list(values.shape)}, wanted {np.dtype(kind)} of {count}")
        within = {
            "input_ids": (self.input_ids, 0, self.facts.vocabulary - 1),
            "first_scored": (self.first_scored, 1, length - 1),
            "exact_nats": (self.exact_nats, 0, np.finfo(np.float64).max),
            "split": (self.split, 0, len(SPLITS) - 1),
        }
        for name, (values, least, most) in within.items():
            if not ((values >= least) & (values <= most)).all():  # NaN is neither
                raise ValueError(f"{name} holds a value outside {least} to {most:g}")

    def of(self, split: str) -> Integers:
        """Rows of a split, in order."""
        return np.flatnonzero(self.split == SPLITS.index(split))


def write_known_samples(path: Path, samples: KnownSamples) -> None:
    """The file whole, or not at all."""
    tensors = {name: np.ascontiguousarray(getattr(samples, name)) for name in DTYPES}
    write_atomically(path, save(tensors, {KEY: json.dumps(samples.facts._asdict())}))


def read_known_samples(path: Path) -> KnownSamples:
    """Raises InputError, in one line, where there is no such file or it is none."""
    try:
        with safe_open(path, framework="numpy") as file:
            facts = Facts(**json.loads((file.metadata() or {})[KEY]))
            return KnownSamples(**{name: file.get_tensor(name) for name in DTYPES}, facts=facts)
    except FileNotFoundError:
        raise InputError(f"data {str(path)!r} is no file; give one that `soft-prompts calibrate` made") from None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        what = " ".join(str(error).split())[:160]
        raise InputError(f"{path} holds no known samples: {what}; remove it, and it is made again") from None
