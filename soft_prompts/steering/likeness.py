"""Is a class a direction, or is it computed item by item? What the prompt changes on average, beside what it changes in
each item: shares of what the prompt does, where it does anything."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.stats import bootstrap
from soft_prompts.stats.bootstrap import Interval, drawn_means, interval
from soft_prompts.steering.data.choices import Choices, with_cues
from soft_prompts.steering.scoring import LEAST_GAP, Steer, adding, captured, option_scores, patching, untouched

PATCH_ENOUGH, MEAN_TOO_LITTLE = 0.8, 0.2  # of what the prompt does: then a mean is not how it is done


class Likeness(NamedTuple):
    """Is the class a direction, or is it computed item by item?"""

    gain: float
    """By which the prompt raises the logit difference, nats: what patch and mean are shares of."""
    layer: int | None = None
    """None, and no share is a number, where the prompt does not ask for the class."""
    patch: float = np.nan
    """Share of what the prompt does that each item's own activation does."""
    mean: float = np.nan
    """Share that the mean difference does."""
    ratio: float = np.nan
    """mean / patch."""
    intervals: Mapping[str, Interval] | None = None
    """Of patch and mean, 95 %, over groups of test items."""

    @property
    def verdict(self) -> str:
        """vector-like, not vector-like, or why neither can be said."""
        if not is_gain(self.gain):
            return f"cannot be said: the prompt does not ask for it (gain {self.gain:+.2f} nats)"
        if self.patch < PATCH_ENOUGH:
            return "cannot be said: no single layer carries it at the last token"
        return "not vector-like" if self.ratio <= MEAN_TOO_LITTLE else "vector-like"

    def figures(self) -> dict[str, Any]:
        """As finding.schema.json has them."""
        return {**self._asdict(), "verdict": self.verdict}

    @property
    def shares(self) -> str:
        """The verdict, and what it rests on."""
        if self.layer is None:
            return self.verdict
        return (
            f"{self.verdict} (layer {self.layer}: each item's own activation has {self.patch:.2f} of what the prompt "
            f"does, the mean difference {self.mean:.2f})"
        )


def likeness(
    inside: Inside, name: str, train: Choices, test: Choices, layers: Sequence[int] | None = None
) -> Likeness | None:
    """Does the mean of what the prompt changes do what each item's own change does? At the layer that carries most.

    Donor: the item behind its cue; receiver: the item alone; at the prompt's last token. None without cues. A share is
    of the donors' gain in logit difference, where there is one.
    """
    receivers, donors = test.having(name), with_cues(test.having(name), name)
    taught, cued = train.having(name), with_cues(train.having(name), name)
    if donors is None or cued is None:
        return None
    names = [f"resid.{layer}" for layer in (range(inside.layers) if layers is None else layers)]
    own = captured(inside, [item.prompt for item in donors.items], names)
    before, after = (captured(inside, [item.prompt for item in part.items], names) for part in (taught, cued))
    floor, ceiling = (_leads(inside, part, name) for part in (receivers, donors))
    gain = float(ceiling.mean() - floor.mean())
    if not is_gain(gain):
        return Likeness(gain)
    best: Likeness | None = None
    for site in names:
        change = (after[site] - before[site]).mean(dim=0)[0]
        steers = {"patch": patching(inside, {site: own[site][:, 0]}), "mean": adding(inside, {site: change}, "last")}
        leads = {kind: _leads(inside, receivers, name, steer) for kind, steer in steers.items()}
        shares = shares_of_gain(leads, (floor, ceiling), receivers.groups)
        patch, mean = shares["patch"].value, shares["mean"].value
        found = Likeness(gain, int(site.split(".")[1]), patch, mean, mean / patch if patch else np.nan, shares)
        best = found if best is None else max(best, found, key=_carries)
    return best


def is_gain(nats: float) -> bool:
    """Enough to be shared out: not where a prompt does nothing or the opposite, nor where it is no number."""
    return bool(np.isfinite(nats) and nats >= LEAST_GAP)


def _carries(found: Likeness) -> tuple[bool, float]:
    """Of layers whose activations carry all, the one that suits the mean best: the doubt is the vector's."""
    enough = found.patch >= PATCH_ENOUGH
    return enough, found.mean if enough else found.patch


def _leads(inside: Inside, choices: Choices, name: str, steer: Steer = untouched) -> NDArray[np.float64]:
    """[N] logit differences, nats."""
    return option_scores(inside.frozen, choices, steer).lead(name)


def shares_of_gain(
    leads: Mapping[str, NDArray[np.float64]],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
    groups: Sequence[str],
) -> dict[str, Interval]:
    """How far each mean of [N] logit differences goes from the mean of the first end to that of the second, a ratio of
    means, with 95 % intervals: groups are drawn again, all of one item together. No numbers where that is no gain."""
    if not is_gain(float(ends[1].mean() - ends[0].mean())):
        return dict.fromkeys(leads, Interval(np.nan, None, None))
    _, cluster = np.unique(np.array(groups), return_inverse=True)
    ones, count = np.ones(len(groups)), len(np.unique(cluster))
    scores = [bootstrap.Scores(one, ones) for one in (*ends, *leads.values())]
    floor, ceiling, *means = drawn_means(scores, cluster, bootstrap.DRAWS).T
    return {name: interval((mean - floor) / (ceiling - floor), count) for name, mean in zip(leads, means, strict=True)}
