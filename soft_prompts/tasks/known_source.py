"""Can a prompt make a model say what a source says whose entropy is known? Nothing is asked that nobody could answer.

A sample is a short text and what its source adds to it: the model itself behind a secret text (`soft-prompts
calibrate`), or a rule that an organism was taught (soft_prompts/calibration/organisms.py). As the source is known,
so is the least loss that there can be: `exact_nats`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from soft_prompts.common.errors import InputError
from soft_prompts.common.files import fingerprint_files
from soft_prompts.data.known_samples import KnownSamples, read_known_samples
from soft_prompts.models.tokenizer import Tokenizer
from soft_prompts.tasks.listed import ListedData
from soft_prompts.tasks.task import UNSCORED, DataRequest, Example, Task


@dataclass
class KnownSourceData(ListedData):
    """Lists, and what the source itself pays."""

    nats: Sequence[float] = ()
    """Of the test examples, summed over their labels: the upper anchor `exact`."""

    def exact_test_nats(self) -> NDArray[np.float64]:
        return np.asarray(self.nats)


@dataclass(frozen=True)
class KnownSourceTask(Task):
    """It has no flags of its own: everything lies in the file of samples."""

    name: ClassVar[str] = "known_source"
    headline: ClassVar[str] = "test_loss"
    unit: ClassVar[str] = "token"

    def fingerprint(self, request: DataRequest) -> str:
        path = Path(request.data)
        if not path.is_file():
            raise InputError(f"data {request.data!r} is no file; give one that `soft-prompts calibrate` made")
        return fingerprint_files([path])

    def open(self, request: DataRequest, tokenizer: Tokenizer) -> KnownSourceData:
        """Read the file; raises InputError where it is of another tokenizer or its samples are too long."""
        fingerprint, samples = self.fingerprint(request), read_known_samples(Path(request.data))
        if samples.facts.vocabulary > len(tokenizer):
            raise InputError(
                f"{request.data} has token ids up to {samples.facts.vocabulary}, the model {len(tokenizer)} tokens; "
                "give samples that were made for this model"
            )
        if samples.input_ids.shape[1] > request.sample_tokens:
            length = samples.input_ids.shape[1]
            raise InputError(f"sample-tokens is {request.sample_tokens}; give {length}, the length of these samples")
        validation, test = (
            samples.of(split)[:most]
            for split, most in (("validation", request.validation_samples), ("test", request.test_samples))
        )
        return KnownSourceData(
            name=request.name,
            fingerprint=fingerprint,
            training_examples=_examples(samples, samples.of("training")),
            validation=_examples(samples, validation),
            test_examples=_examples(samples, test),
            seed=request.seed,
            nats=samples.exact_nats[test].tolist(),
        )


@dataclass(frozen=True)
class SelfPlantedTask(KnownSourceTask):
    """The model's own words behind a secret text: it knows how it speaks, and lacks the secret alone."""

    name: ClassVar[str] = "self_planted"
    starts_from_bare: ClassVar[bool] = True


def _examples(samples: KnownSamples, rows: Sequence[int] | NDArray[np.int64]) -> list[Example]:
    """Each row is a cluster of its own: a draw of the source."""
    length = samples.input_ids.shape[1]
    examples = []
    for row in map(int, rows):
        ids, first = samples.input_ids[row].tolist(), int(samples.first_scored[row])
        labels = [UNSCORED] * first + ids[first:]
        examples.append(Example(ids, labels, units=length - first, cluster=row))
    return examples
