"""What follows from per-item losses alone? Metrics with standard errors over clusters."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soft_prompts.results.schema import Metric
from soft_prompts.stats import paired
from soft_prompts.stats.items import Items


def loss_per_token(items: Items) -> Metric:
    """Nats per scored token: sum over sum, never a mean of means."""
    return per_unit(items.loss_nats, items.scored_tokens, items.cluster, "nats/token")


def ratio(items: Items, inside: NDArray[np.bool_] | slice, unit: str) -> Metric:
    """Nats per unit over the items `inside`, with a standard error over clusters."""
    return per_unit(items.loss_nats[inside], items.scored_units[inside], items.cluster[inside], unit)


def paired_difference(one: Items, other: Items, unit: str) -> Metric:
    """Loss per unit of `one` minus that of `other` on the same items; pairing removes what the items share."""
    return per_unit(one.loss_nats - other.loss_nats, one.scored_units, one.cluster, unit)


def share(outcomes: Sequence[bool], unit: str, clusters: Sequence[int] | None = None) -> Metric:
    """Share of true outcomes; the standard error after Agresti and Coull (1998) is not 0 where all are alike.

    Outcomes of one cluster count as one outcome for the error: as if they were always alike, which may be too careful.
    """
    if not outcomes:
        return Metric(None, reason="no item to judge", unit=unit)
    value, count = sum(outcomes) / len(outcomes), len(set(clusters or range(len(outcomes))))
    adjusted = (value * count + 2) / (count + 4)
    return Metric(value, (adjusted * (1 - adjusted) / (count + 4)) ** 0.5, count, unit)


def per_unit(sums: NDArray[np.float64], units: NDArray[np.int64], cluster: NDArray[np.int64], unit: str) -> Metric:
    estimate = paired.ratio(sums, units, cluster)
    if estimate is None:
        return Metric(None, reason="no scored unit", unit=unit)
    return Metric(estimate.value, estimate.stderr, estimate.clusters, unit)
