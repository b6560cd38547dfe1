"""Can a prompt make a model say what a source says whose entropy is known? Nothing is asked that nobody could answer.

A sample is a short text and what its source adds to it: the model itself behind a secret text (`soft-prompts
calibrate`), or a rule that an organism was taught (soft_prompts/calibration/organisms.py). As the source is known,
so is the least loss that there can be: `exact_nats`.
"""

from collections import Counter
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
from soft_prompts.results.metrics import share
from soft_prompts.stats.items import Items
from soft_prompts.tasks.listed import ListedData
from soft_prompts.tasks.task import UNSCORED, Complete, DataRequest, Example, Measures, Task


@dataclass
class KnownSourceData(ListedData):
    """Lists, and what the source itself pays."""

    nats: Sequence[float] = ()
    """Of the test examples, summed over their labels: the upper anchor `exact`."""

    def exact_test_nats(self) -> NDArray[np.float64]:
        return np.asarray(self.nats)

    def is_determined(self) -> bool:
        """Does the source pay nothing?"""
        return not np.any(self.nats)

    def measures(self, examples: Sequence[Example], items: Items, complete: Complete) -> Measures:
        """Whether every label is the model's first choice: tokens that no text may spell again cannot be written."""
        if not self.is_determined() or items.outcome is None:
            return super().measures(examples, items, complete)
        return Measures({"exact_match": share((items.outcome > 0).tolist(), "share of samples")}, [], items.outcome)

    def constant_outcome(self) -> NDArray[np.float64] | None:
        """The labels that are most frequent in training."""
        if not self.is_determined():
            return None
        [(frequent, _)] = Counter(map(_labels, self.training_examples)).most_common(1)
        return np.array([_labels(example) == frequent for example in self.test_examples], dtype=np.float64)


@dataclass(frozen=True)
class KnownSourceTask(Task):
    """It has no flags of its own: everything lies in the file of samples."""

    name: ClassVar[str] = "known_source"
    headline: ClassVar[str] = "test_loss"
    unit: ClassVar[str] = "token"
    outcome: ClassVar[str | None] = "exact_match"

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


def _labels(example: Example) -> tuple[int, ...]:
    return tuple(label for label in example.labels if label != UNSCORED)


def _examples(samples: KnownSamples, rows: Sequence[int] | NDArray[np.int64]) -> list[Example]:
    """Each row is a cluster of its own: a draw of the source."""
    length = samples.input_ids.shape[1]
    examples = []
    for row in map(int, rows):
        ids, first = samples.input_ids[row].tolist(), int(samples.first_scored[row])
        labels = [UNSCORED] * first + ids[first:]
        examples.append(Example(ids, labels, units=length - first, cluster=row))
    return examples
