"""What do answers and their losses say about guidance? Per answer, against other questions' answers, and by model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soft_prompts.results.metrics import share
from soft_prompts.results.schema import Metric
from soft_prompts.stats.items import Items
from soft_prompts.tasks.guidance.answers import (
    binding,
    constant_floor,
    distinct,
    is_exact,
    is_prefix,
    mean,
    pairwise_accuracy,
)

ANSWER, PAIR, SHARE = "nats/answer", "share of pairs", "share of answers"


def judged_metrics(targets: Sequence[str], replies: Sequence[str], suffix: str) -> dict[str, Metric]:
    """How many answers are right, beside what one answer to all of them would reach."""
    pairs = list(zip(replies, targets, strict=True))
    return {
        f"exact_match{suffix}": share([is_exact(*pair) for pair in pairs], SHARE),
        f"prefix_match{suffix}": share([is_prefix(*pair) for pair in pairs], SHARE),
        f"constant_floor{suffix}": Metric(constant_floor(targets, is_exact).value, None, len(targets), SHARE),
    }


def target_metrics(items: Items, suffixes: Sequence[str]) -> dict[str, Metric]:
    """Log-probability of the right answers, summed over their tokens and per token, for each model by its suffix."""
    metrics: dict[str, Metric] = {}
    per_model = len(items.loss_nats) // len(suffixes)
    for place, suffix in enumerate(suffixes):
        of = slice(place * per_model, (place + 1) * per_model)
        log_probability, tokens = -items.loss_nats[of], items.scored_tokens[of]
        metrics[f"log_probability{suffix}"] = _metric(log_probability, ANSWER)
        each = mean(log_probability, tokens)
        metrics[f"log_probability_per_token{suffix}"] = Metric(each.value, each.stderr, each.clusters, "nats/token")
    return metrics


def binding_metrics(scores: NDArray[np.float64], targets: list[str]) -> dict[str, Metric]:
    """`scores` [Q, A]: log-probability of every different answer, in order of appearance among `targets`, at every test
    question.

    The share of other answers that a question's own one beats, each answer centred over the questions: chance .5.
    """
    answers, own = distinct(targets)
    if len(answers) < 2:
        return {"binding": Metric(None, reason="all questions have one answer", unit=PAIR)}
    return {"binding": _metric(binding(scores, own), PAIR)}


def table_metrics(scores: NDArray[np.float64]) -> dict[str, Metric]:
    """`scores` [Q, M, M]: log-probability at every question, asked as model (axis 1), of the answer of model (axis 2);
    [Q, 1, M] where nothing says as whom it is asked.

    The diagonal margin is log p(own) - log p(other's), the mean over both models asked: what the answers are worth
    whoever is asked falls out of it, and 0 says that it makes no difference who is asked.
    """
    models = scores.shape[2]
    scores = np.broadcast_to(scores, (len(scores), models, models))
    metrics = {
        f"log_probability/asked_M{asked + 1}/answer_of_M{answering + 1}": _metric(scores[:, asked, answering], ANSWER)
        for asked in range(models)
        for answering in range(models)
    }
    own = np.einsum("qmm->qm", scores)  # [Q M]
    others = (scores.sum(axis=2) - own) / (models - 1)
    margins = own - others
    for model in range(models):
        metrics[f"margin/M{model + 1}"] = _metric(margins[:, model], ANSWER)
        metrics[f"pairwise_accuracy/M{model + 1}"] = _metric(pairwise_accuracy(margins[:, model : model + 1]), PAIR)
    metrics["diagonal_margin"] = _metric(margins.mean(axis=1), ANSWER)
    return metrics


def _metric(values: NDArray[np.float64], unit: str) -> Metric:
    """The mean over questions."""
    estimate = mean(values)
    return Metric(estimate.value, estimate.stderr, estimate.clusters, unit)
