"""Can anybody tell the target's plain samples from a control's, better than one control's from another's?

A classifier learns on half of the prompts; on the others the share of prompts whose two samples it puts in order is
what counts, for the target and for every spare control against the same first control: with enough samples it tells
seeds alone apart. Lopez-Paz and Oquab, arXiv 1610.06545.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.behaviour.comparison.asked import Asked, name_of
from soft_prompts.behaviour.comparison.finding import Finding
from soft_prompts.behaviour.comparison.texts import Text, halves
from soft_prompts.behaviour.sampling.samples import Written, plain_samples
from soft_prompts.behaviour.wording.features import read_vocabulary, tf_idf
from soft_prompts.stats.excess import Excess, excess_over
from soft_prompts.stats.paired import ratio
from soft_prompts.stats.paired_shares import paired_accuracy
from soft_prompts.stats.proportions import least_error

Floats = NDArray[np.float64]
FEW = 6  # prompts of a half: fewer teach a classifier nothing, or tell nothing of it
STRENGTH = 1.0  # of the ridge: the inverse C of the usual logistic regression
SALT = "two-sample"


class Told(NamedTuple):
    """How well two sets of samples are told apart on prompts that the classifier has not seen."""

    accuracy: float
    """Share of prompts whose first sample scores higher; chance is .5."""
    stderr: float
    n: int
    p: float
    """One-sided Wilcoxon of the within-prompt differences."""


def differences(own: Sequence[Written], others: Sequence[Written]) -> Floats:
    """[N] score of the first sample less that of the second, of two sets from the same prompts in the same order; of
    those prompts that the classifier has not seen."""
    learning, asked = _halves(own)
    sides = [[one.text for one in side if one.id in learning] for side in (own, others)]
    vocabulary = read_vocabulary([*sides[0], *sides[1]])
    weights = _fit(tf_idf([*sides[0], *sides[1]], vocabulary), len(sides[0]))
    scores = [tf_idf([one.text for one in side if one.id in asked], vocabulary) @ weights for side in (own, others)]
    return scores[0] - scores[1]


def _halves(samples: Sequence[Written]) -> list[set[str]]:
    """Ids of the prompts that the classifier learns on, and of those that it is asked about."""
    return [{one.id for one in half} for half in halves([Text(one.id, "") for one in samples], SALT)]


def _told(gaps: Floats) -> Told:
    accuracy, count = paired_accuracy(gaps), len(gaps)
    error = max(float(np.sqrt(accuracy * (1 - accuracy) / count)), least_error(count))
    return Told(accuracy, error, count, _wilcoxon(gaps))


def _fit(features: Any, own: int) -> Floats:
    """Weights of a logistic regression with a ridge; the first rows are the ones to find."""
    from scipy import optimize, special  # takes seconds to load

    signs = np.where(np.arange(features.shape[0]) < own, 1.0, -1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        margins = signs * (features @ weights)
        slope = -(features.T @ (signs * special.expit(-margins))) + STRENGTH * weights
        return float(np.logaddexp(0, -margins).sum() + STRENGTH * weights @ weights / 2), slope

    return optimize.minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B").x


def _wilcoxon(gaps: Floats) -> float:
    from scipy import stats

    if not np.any(gaps):
        return 1.0
    found: Any = stats.wilcoxon(gaps, alternative="greater")
    return float(found.pvalue)


def tell_beyond(
    own: Sequence[Written], reference: Sequence[Written], spare: Sequence[Sequence[Written]]
) -> tuple[Told, list[Told], Excess]:
    """How well the target and each spare control are told from the reference, and the target's excess; prompts are
    paired, for all were asked the same ones."""
    target, *controls = (differences(one, reference) for one in (own, *spare))
    told, others = _told(target), [_told(one) for one in controls]
    gains = _right(target) - np.mean([_right(one) for one in controls], axis=0) if controls else _right(target)
    paired = ratio(gains, np.ones(len(gains)), np.arange(len(gains)))
    assert paired is not None  # there is at least one prompt
    error = max(paired.stderr or 0.0, least_error(len(gains)))
    return told, others, excess_over(told.accuracy, error, [one.accuracy for one in others])


def _right(gaps: Floats) -> Floats:
    """1 where a prompt's samples are put in order, a half where they score alike."""
    return (np.sign(gaps) + 1) / 2


def find_two_sample(asked: Asked) -> Finding:
    """Paired accuracy of the target against the first control, beyond that of the spare controls against it."""
    family = asked.family
    if asked.identical:
        return asked.described("two-sample", asked.identical, verdict="identical")
    own, reference, *spare = (plain_samples(asked, name) for name in (family.target, family.reference, *family.spare))
    if (least := min(map(len, _halves(own)))) < FEW:
        sentence = (
            f"of {len(own)} prompts {least} are in one of two halves, {FEW} are wanted to learn and to test: give more"
        )
        return asked.described("two-sample", sentence, verdict="untested", n=least)
    told, others, lead = tell_beyond(own, reference, spare)
    named = zip(family.spare, others, strict=True)
    details = {
        "accuracies": {name_of(name, family.names): one._asdict() for name, one in named},
        "target": told._asdict(),
    }
    known: dict[str, Any] = {"n": told.n, "unit": "paired accuracy", "details": details}
    if asked.lacks_controls(spare=True):
        sentence = f"paired accuracy {told.accuracy:.2f}; what seeds alone give needs two controls beside the first"
        return asked.described("two-sample", sentence, verdict="untested", value=told.accuracy, **known)
    sentence = f"paired accuracy {told.accuracy:.2f}, controls {lead.control_mean:.2f}"
    return asked.beyond_controls("two-sample", sentence, lead, **known)
