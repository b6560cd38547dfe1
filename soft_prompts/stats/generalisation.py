"""How much worse is a prompt on new samples than on those that it was trained on, beyond what their content costs?

Test and training samples differ by chance in how hard they are, which the bare model's losses on both tell. How much of
that a prompt still feels is the slope of its items' losses against the bare model's on the same items: a control
variate (Lavenberg and Welch, 1981). A prompt that has solved its task feels nothing of it, and one that changed little
feels all.
"""

from typing import NamedTuple

import numpy as np

from soft_prompts.stats.items import Items
from soft_prompts.stats.paired import Floats


class Trained(NamedTuple):
    """A model, with a prompt or bare, on the test items and on training samples."""

    test: Items
    training: float
    """Nats a unit."""


class Behind(NamedTuple):
    """Nats a unit."""

    value: float
    stderr: float | None
    """None from one cluster."""


def behind_training(prompted: Trained, bare: Trained | None, samples: int) -> Behind:
    """Test minus training loss of a prompt, less the share of the bare model's that it feels. `samples` trained on were
    measured; `bare` is on the same items, None: it is not known."""
    own, units = _centred(prompted.test), float(prompted.test.scored_units.sum())
    value = float(prompted.test.loss_nats.sum()) / units - prompted.training
    if bare is not None:
        of_bare = _centred(bare.test)
        spread = float(of_bare @ of_bare)
        slope = min(1.0, max(0.0, float(own @ of_bare) / spread)) if spread > 0 else 1.0
        value -= slope * (float(bare.test.loss_nats.sum()) / units - bare.training)
        own = own - slope * of_bare
    names, index = np.unique(prompted.test.cluster, return_inverse=True)
    if len(names) < 2:
        return Behind(value, None)
    of_clusters = np.bincount(index, weights=own)
    tested = len(names) / (len(names) - 1) * float(of_clusters @ of_clusters)
    trained = len(own) / samples * float(own @ own)
    return Behind(value, float(np.sqrt(tested + trained)) / units)


def _centred(items: Items) -> Floats:
    """[N] what each item costs beyond what its units cost on average."""
    return items.loss_nats - items.scored_units * (items.loss_nats.sum() / items.scored_units.sum())
