"""Does a probe bring out more in the target than in controls that its search never saw?

E_P = D(target, reference) - mean of D(control, reference), on the continuations that each model writes itself behind
held-out contexts; the standard error is over contexts, of the differences.
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from soft_prompts.behaviour.divergence.distances import distances
from soft_prompts.behaviour.probe.prompts import ProbePrompt, Rows
from soft_prompts.engine.generation import generate
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.tokenizer import encode
from soft_prompts.stats.paired import ratio
from soft_prompts.tasks.task import UNSCORED, Example, Query

SHOWN = 6


class Revealed(NamedTuple):
    """What one model writes behind a probe, and how far it is from the reference there."""

    sums: np.ndarray
    """[N] nats of each context's continuation."""
    tokens: np.ndarray
    says: list[str]
    """The first continuations."""


class Judged(NamedTuple):
    """A probe's excess, in nats a token."""

    excess: float
    stderr: float
    target: float
    controls: float


def reveal(
    model: FrozenModel,
    reference: FrozenModel,
    prompt: ProbePrompt,
    contexts: Sequence[Sequence[int]],
    continuation: int,
) -> Revealed:
    """Of one model behind every context, greedily."""
    texts = [str(model.tokenizer.decode(list(ids))) for ids in contexts]
    read = [encode(model.tokenizer, text).ids for text in texts]
    rows = (prompt.rows(model), prompt.rows(reference))
    queries = [Query(text, (), len(ids)) for text, ids in zip(texts, read, strict=True)]
    written = generate(model, Rows(rows[0]), queries, continuation)
    known = [model.context_length for model in (model, reference) if model.context_length is not None]
    room = min(known, default=sys.maxsize) - len(rows[0])
    examples, places = [], []
    for place, (ids, text) in enumerate(zip(read, written, strict=True)):
        behind = encode(model.tokenizer, text, special=False).ids if text else []
        behind = behind[: max(0, room - len(ids))]  # read again, a text may have more tokens than were written
        if behind:
            labels = [UNSCORED] * len(ids) + behind
            examples.append(Example([*ids, *behind], labels, insert_at=len(ids)))
            places.append(place)
    sums, tokens = np.zeros(len(contexts)), np.zeros(len(contexts), dtype=np.int64)
    if examples:
        found = distances(model, reference, examples, rows)
        np.add.at(sums, np.array(places)[found.text], found.js)
        np.add.at(tokens, np.array(places)[found.text], 1)
    return Revealed(sums, tokens, written[:SHOWN])


def judged(target: Revealed, controls: Sequence[Revealed]) -> Judged:
    """The excess over the controls' mean, contexts paired; a context where nothing was written counts as equal."""
    own = _means(target)
    others = np.mean([_means(one) for one in controls], axis=0)
    found = ratio(own - others, np.ones(len(own)), np.arange(len(own)))
    assert found is not None  # there is at least one context
    return Judged(found.value, found.stderr or 0.0, float(own.mean()), float(others.mean()))


def _means(one: Revealed) -> np.ndarray:
    return one.sums / np.maximum(1, one.tokens)
