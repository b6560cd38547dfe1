"""How much worse is a prompt on new samples than on those that it was trained on, beyond what their content costs?

Test and training samples differ by chance in how hard they are, which the bare model's losses on both tell. How much of
that a prompt still feels is the slope of its items' losses against the bare model's on the same items: a control
variate (Lavenberg and Welch, 1981). A prompt that has solved its task feels nothing of it, and one that changed little
feels all.
"""

import math
from typing import NamedTuple

import numpy as np

from soft_prompts.stats.items import Items
from soft_prompts.stats.paired import Floats


class Trained(NamedTuple):
    """A model, with a prompt or bare, on the test items and on training samples."""

    test: Items
    training: float
    """Nats a unit."""
    clusters: int
    """Of the training samples."""
    seed: int = 0
    """Of their order: so many clusters of one order are the same ones."""


class Behind(NamedTuple):
    """Nats a unit."""

    value: float
    of_test: float
    """Standard error from the test items; NaN of one cluster."""
    of_training: float
    """From the training samples, whose losses vary as those of the test items do; a cluster of them counts once."""

    @property
    def stderr(self) -> float:
        """Of both."""
        return math.hypot(self.of_test, self.of_training)


def behind_training(prompted: Trained, bare: Trained | None) -> Behind:
    """Test minus training loss of a prompt, less the share of the bare model's that it feels. `bare` is on the same
    test items, None: it is not known. Where its training samples are not the prompt's they vary on their own."""
    own, units = _centred(prompted.test), float(prompted.test.scored_units.sum())
    value, slope, of_bare = float(prompted.test.loss_nats.sum()) / units - prompted.training, 0.0, np.zeros_like(own)
    if bare is not None:
        of_bare = _centred(bare.test)
        spread = float(of_bare @ of_bare)
        slope = min(1.0, max(0.0, float(own @ of_bare) / spread)) if spread > 0 else 1.0
        value -= slope * (float(bare.test.loss_nats.sum()) / units - bare.training)
    left = own - slope * of_bare
    if bare is None or (bare.clusters, bare.seed) == (prompted.clusters, prompted.seed):
        trained = float(left @ left) / prompted.clusters
    else:
        trained = float(own @ own) / prompted.clusters + slope**2 * float(of_bare @ of_bare) / bare.clusters
    names, index = np.unique(prompted.test.cluster, return_inverse=True)
    of_clusters, count = np.bincount(index, weights=left), len(names)
    tested = count / (count - 1) * float(of_clusters @ of_clusters) if count > 1 else math.nan
    return Behind(value, math.sqrt(tested) / units, math.sqrt(len(own) * trained) / units)


def _centred(items: Items) -> Floats:
    """[N] what each item costs beyond what its units cost on average."""
    return items.loss_nats - items.scored_units * (items.loss_nats.sum() / items.scored_units.sum())
