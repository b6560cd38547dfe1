"""How much of a distance is the task's, and how much would anything need? The same prompts on what cannot be learnt.

    permuted targets   every sample is asked for the labels of another sample of like length
    random strings     every sample is asked for random tokens
    random weights     the true task, and a model of the same architecture that has learnt nothing

Dealt by a fixed seed, in training and test alike: nothing is left to learn but how frequent labels are. After Hewitt
and Liang, arXiv 1909.03368, who ask the same of probes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from soft_prompts.models.batching import PADDED
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.probes import Loaded, examine
from soft_prompts.tasks.task import UNSCORED, Example, HeldOut, Position, TaskData
from soft_prompts.training.apparatus import Apparatus

SEED = 0  # of dealing and of weights: a control is the same for every prompt
BLOCK = 256  # training samples among which targets are dealt
ALIKE = 16  # samples nearest in length, of which one gets another's targets
NOTHING_READ: dict[str, Any] = {f"{kind}_keys": set() for kind in ("missing", "unexpected", "mismatched")}
Deal = Callable[[Sequence[Example], np.random.Generator], list[Example]]


@dataclass
class DealtData(TaskData):
    """A task's data with other targets; the positions of its stream hold one of the data's own. Nothing is measured but
    losses and first choices: the task's scores are of its own targets."""

    data: TaskData
    deal: Deal

    def __post_init__(self) -> None:
        self.name, self.train, self.test = self.data.name, self.data.train, self.data.test
        self.fingerprint = self.data.fingerprint

    def held_out(self, split: HeldOut) -> list[Example]:
        return self.deal(self.data.held_out(split), np.random.default_rng((SEED, *split.encode())))

    def training(self, position: Position | None) -> Iterator[tuple[Example, Position]]:
        """Blocks of the data's stream; within a block a position is the place behind the block before, and a count."""
        at = position or {"behind": None, "block": 0, "offset": 0}
        behind, number, offset = at["behind"], at["block"], at["offset"]
        stream = self.data.training(behind)
        while True:
            block = list(islice(stream, BLOCK))
            examples = self.deal([example for example, _ in block], np.random.default_rng((SEED, number)))
            for done in range(offset, BLOCK):
                yield examples[done], {"behind": behind, "block": number, "offset": done + 1}
            behind, number, offset = block[-1][1], number + 1, 0

    def rejected(self, position: Position | None) -> dict[str, int]:
        return self.data.rejected(position and position["behind"])


def permuted_targets(at: Apparatus) -> Apparatus:
    """Labels of other samples, of like length, in the places of a sample's own."""
    return at._replace(data=DealtData(at.data, permute_targets))


def random_strings(at: Apparatus) -> Apparatus:
    """Random tokens of the vocabulary in the places of a sample's labels."""
    tokens = len(at.frozen.vocabulary)

    def draw(examples: Sequence[Example], generator: np.random.Generator) -> list[Example]:
        return [_with_targets(one, generator.integers(0, tokens, len(_targets(one))).tolist()) for one in examples]

    return at._replace(data=DealtData(at.data, draw))


def random_weights(frozen: FrozenModel) -> FrozenModel:
    """A model of the same architecture and size, its weights drawn as for training from scratch."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        fresh = AutoModelForCausalLM.from_config(
            frozen.model.config, dtype=frozen.model.dtype, trust_remote_code=frozen.trust_remote_code
        )
    fresh.to(frozen.device).eval().requires_grad_(False)
    bare = replace(frozen, model=fresh, head=None, hooked=False, batching=PADDED, probes=())
    with torch.no_grad():
        return examine(Loaded(bare, NOTHING_READ))


def permute_targets(examples: Sequence[Example], generator: np.random.Generator) -> list[Example]:
    """Each sample with the labels of another one, among the 16 or more nearest in number of labels; a donor's labels
    are cut to the number that is asked for, or begin again."""
    order = sorted(generator.permutation(len(examples)).tolist(), key=lambda place: len(_targets(examples[place])))
    starts = list(range(0, max(1, len(order) - ALIKE + 1), ALIKE))
    groups = [order[start:end] for start, end in zip(starts, [*starts[1:], len(order)], strict=True)]
    dealt = list(examples)
    for group in groups:
        circle = [group[place] for place in generator.permutation(len(group))]
        for place, donor in zip(circle, [*circle[1:], circle[0]], strict=True):
            count, labels = len(_targets(examples[place])), _targets(examples[donor])
            dealt[place] = _with_targets(examples[place], [labels[k % len(labels)] for k in range(count)])
    return dealt


def changed_share(before: Sequence[Example], after: Sequence[Example]) -> float:
    """Share of the labels that dealing changed."""
    labels = [[label for example in examples for label in _targets(example)] for examples in (before, after)]
    changed = [one != other for one, other in zip(*labels, strict=True)]
    return sum(changed) / max(1, len(changed))


def _targets(example: Example) -> list[int]:
    return [label for label in example.labels if label != UNSCORED]


def _with_targets(example: Example, targets: Sequence[int]) -> Example:
    """The same sample asked for other labels, in the same places; what the text says stays."""
    given = iter(targets)
    return example._replace(labels=[label if label == UNSCORED else next(given) for label in example.labels])
