"""What is different, in words? Proposed on one half of the prompts, tested on the other.

X is what controls write against the first control, Y what the target writes against it, from the same prompts and
seeds. A label stands where Y has it more often than *every* spare control has: the largest of their one-sided exact
McNemar p-values, after Holm over all labels proposed. Whoever proposes, the same half decides.

A text of which the labeller says nothing counts against the label: as none of the target's, as one of every control's.
Where the label would stand if all of them counted for it, nobody can say that the target has it no more often.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from soft_prompts.behaviour.comparison.asked import Asked
from soft_prompts.behaviour.comparison.finding import Finding
from soft_prompts.behaviour.comparison.texts import Text, halves
from soft_prompts.behaviour.sampling.samples import Written, contrastive_samples
from soft_prompts.behaviour.wording.phrases import Floats, Phrases
from soft_prompts.stats.contrasts import holm
from soft_prompts.stats.paired_shares import area_under_curve, least_detectable, mcnemar

FEW_PROMPTS = 100
SHOWN = 3
SALT = "labels"


@runtime_checkable
class Labeller(Protocol):
    """Says in words how texts differ, and whether a text is as it says."""

    @property
    def name(self) -> str:
        """Of itself and its settings: two of one name say the same of the same texts."""
        ...

    def propose(self, others: Sequence[str], own: Sequence[str], most: int) -> list[str] | None:
        """Predicates that hold more often of `own` than of `others`; None: it has not answered."""
        ...

    def score(self, predicate: str, text: str) -> float:
        """How far a predicate holds of a text, 0 to 1; half or more counts as yes, NaN is no answer."""
        ...


class Label(NamedTuple):
    """One predicate on the half that tests."""

    text: str
    rate: float
    """Share of the target's samples that have it, at least."""
    control_rate: float
    """The largest share among the controls, at most."""
    area: float
    """How often a sample of the target scores above one of that control."""
    p: float
    adjusted_p: float
    examples: tuple[str, ...]
    questions: int
    """Texts of which it was asked."""
    unanswered: int
    """Those of which the labeller did not say whether it holds."""
    least_p: float
    """After Holm as well, if all that have no answer counted for the label."""


def find_labels(asked: Asked, labeller: Labeller | None = None) -> Finding:
    """Labels of contrastive samples; the part's p is the smallest adjusted one."""
    family, labeller = asked.family, labeller or Phrases()
    if asked.identical:
        return asked.described("labels", asked.identical, verdict="identical")
    if not family.spare:
        sentence = "labels are tested against a control beside the reference; give two or more"
        return asked.described("labels", sentence, verdict="untested")
    own = contrastive_samples(asked, family.target)
    others = [contrastive_samples(asked, name) for name in family.spare]
    tested, level = len(_half(own, 1)), asked.settings.level
    untested = partial(asked.described, "labels", verdict="untested", n=tested, controls=len(others))
    if tested in (0, len(own)) or _smallest(tested, 1) > level:
        return untested(f"{tested} of {len(own)} prompts test what the others propose: none could stand; give more")
    proposed = _proposed(own, others, labeller, asked.settings.phrases)
    if proposed is None:
        why = "the labeller does not answer when asked what differs: 1 of 1 questions unanswered"
        return untested(why, details={"labeller": labeller.name, "unanswered": 1})
    labels = _tested(own, others, labeller, proposed)
    if (why := _none_could_stand(tested, len(labels), level)) is not None:
        return untested(why)
    least = least_detectable(tested, len(labels), level)
    warnings = [f"{len(own)} prompts: a rate below {least:.2f} cannot be found"] if len(own) < FEW_PROMPTS else []
    found = [one for one in labels if one.adjusted_p <= level]
    known = {"labels": [one._asdict() for one in labels], "labeller": labeller.name, "least_rate": least}
    if unanswered := sum(one.unanswered for one in labels):
        known |= {"unanswered": unanswered, "least_p": min(one.least_p for one in labels)}
    return asked.described(
        "labels",
        _sentence(found, len(labels)) + _unanswered(labels),
        verdict="not shown",
        value=found[0].rate - found[0].control_rate if found else 0.0,
        unit="share of samples",
        n=tested,
        controls=len(others),
        p=min(one.adjusted_p for one in labels),
        smallest_p=_smallest(tested, len(labels)),
        warnings=tuple(warnings),
        examples=[one._asdict() for one in found],
        details=known,
    )


def _smallest(tested: int, labels: int) -> float:
    """The p after Holm of a label that the target has in every sample and no control in any: nothing could be surer."""
    return min(1.0, labels * 2.0**-tested)


def _none_could_stand(tested: int, proposed: int, level: float) -> str | None:
    """Why the test says nothing of the labels proposed, whatever the texts hold."""
    if proposed == 0:
        return "no label is proposed: the labeller finds nothing that the target writes more often than the controls"
    if _smallest(tested, proposed) > level:
        return f"{tested} prompts test {proposed} labels: none could stand; give more prompts, or fewer --phrases"
    return None


def _sentence(found: Sequence[Label], proposed: int) -> str:
    if not found:
        return f"none of {proposed} labels is more frequent than in every control"
    shown = ", ".join(f"{one.text!r} {one.rate:.2f} (controls {one.control_rate:.2f})" for one in found[:SHOWN])
    return f"{len(found)} of {proposed} labels: {shown}"


def _unanswered(labels: Sequence[Label]) -> str:
    open_ones = [one for one in labels if one.unanswered]
    if not open_ones:
        return ""
    shown = ", ".join(f"{one.text!r} {one.unanswered} of {one.questions}" for one in open_ones[:SHOWN])
    more = f" and {len(open_ones) - SHOWN} more" if len(open_ones) > SHOWN else ""
    return f"; the labeller said neither yes nor no to {shown}{more}"


def label_samples(
    own: Sequence[Written], others: Sequence[Sequence[Written]], labeller: Labeller, most: int
) -> list[Label]:
    """Labels with their tests, the surest first; every set is of the same prompts in the same order."""
    return _tested(own, others, labeller, _proposed(own, others, labeller, most) or [])


def _proposed(
    own: Sequence[Written], others: Sequence[Sequence[Written]], labeller: Labeller, most: int
) -> list[str] | None:
    texts = [one.text for side in others for one in _half(side, 0)]
    return labeller.propose(texts, [one.text for one in _half(own, 0)], most)


def _tested(
    own: Sequence[Written], others: Sequence[Sequence[Written]], labeller: Labeller, predicates: Sequence[str]
) -> list[Label]:
    tested = [
        _test(labeller, predicate, _half(own, 1), [_half(side, 1) for side in others]) for predicate in predicates
    ]
    adjusted, least = (holm({one.text: getattr(one, p) for one in tested}) for p in ("p", "least_p"))
    labels = (one._replace(adjusted_p=adjusted[one.text], least_p=least[one.text]) for one in tested)
    return sorted(labels, key=lambda one: (one.p, -one.rate))


def _half(samples: Sequence[Written], which: int) -> list[Written]:
    """Those that propose (0), or those that test (1), by the prompt's id."""
    ids = {one.id for one in halves([Text(sample.id, "") for sample in samples], SALT)[which]}
    return [sample for sample in samples if sample.id in ids]


def _test(labeller: Labeller, predicate: str, own: Sequence[Written], others: Sequence[Sequence[Written]]) -> Label:
    own_scores = _scores(labeller, predicate, own)
    sides = [_scores(labeller, predicate, side) for side in others]
    scores, against = _counting(own_scores, 0.0), [_counting(side, 1.0) for side in sides]
    pairs = [mcnemar(scores, side) for side in against]
    kindest = [mcnemar(_counting(own_scores, 1.0), _counting(side, 0.0)) for side in sides]
    worst = max(range(len(pairs)), key=lambda at: (pairs[at].p, pairs[at].second))
    examples = tuple(f"{one.prompt}{one.text}" for one, score in zip(own, scores, strict=True) if score >= 0.5)
    return Label(
        predicate,
        float((scores >= 0.5).mean()),
        max(float((side >= 0.5).mean()) for side in against),
        area_under_curve(scores, against[worst]),
        pairs[worst].p,
        pairs[worst].p,
        examples[:SHOWN],
        questions=sum(map(len, (own_scores, *sides))),
        unanswered=int(sum(np.isnan(side).sum() for side in (own_scores, *sides))),
        least_p=max(one.p for one in kindest),
    )


def _scores(labeller: Labeller, predicate: str, texts: Sequence[Written]) -> Floats:
    return np.array([labeller.score(predicate, one.text) for one in texts], dtype=float)


def _counting(scores: Floats, unanswered: float) -> Floats:
    return np.where(np.isnan(scores), unanswered, scores)
