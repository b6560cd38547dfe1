"""How are related concepts arranged inside a model, do two models agree, and does changing one move another?

Six concepts or more, each with a vector centred in its family, by layer: cosines between them. The pattern of cosines
of one layer or model is compared with that of another by the rank correlation of its entries (representational
similarity, Kriegeskorte et al. 2008), beside a ceiling from two halves of the prompts and against permuted concepts.
A map from one model's stream to another's is fitted without the tested concept, and judged by steering there.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.stats.agreement import rank_correlation
from soft_prompts.steering.data.choices import Choices
from soft_prompts.steering.effects import STRENGTHS
from soft_prompts.steering.scoring import adding, captured, option_scores, untouched
from soft_prompts.steering.vectors.contrast import labelled_texts

LEAST = 6  # concepts: with fewer a pattern has under 15 entries
PERMUTATIONS = 1000
RIDGE = 1e-2  # of the mean squared activation

Floats = NDArray[np.float64]


class Agreement(NamedTuple):
    """Of two patterns."""

    similarity: float
    """Rank correlation of their entries."""
    p: float
    """Share of permuted concepts that agree as well."""
    ceiling: float | None
    """Rank correlation of the first pattern's two halves of prompts; None between models."""


@dataclass(frozen=True)
class Network:
    """The concepts of one model."""

    classes: tuple[str, ...]
    vectors: dict[int, Tensor]
    """Layer -> [K H], centred."""
    halves: tuple[dict[int, Tensor], dict[int, Tensor]]
    """The same of the prompts of every other group."""

    def cosines(self, layer: int) -> Floats:
        """[K K]."""
        return _cosines(self.vectors[layer])

    def ceiling(self, layer: int) -> float:
        """How alike the patterns of two halves of the prompts are."""
        one, other = (_pattern(_cosines(half[layer])) for half in self.halves)
        return rank_correlation(one.tolist(), other.tolist()) or 0.0


def concept_network(inside: Inside, choices: Choices) -> Network:
    """Raises UsageError for fewer than six classes."""
    if len(choices.classes) < LEAST:
        raise UsageError(f"{choices.where}: {len(choices.classes)} classes; a network needs {LEAST} or more")
    texts, labels, groups = labelled_texts(choices)
    held = captured(inside, texts, [f"resid.{layer}" for layer in range(inside.layers)])
    places = [[at for at, label in enumerate(labels) if label == name] for name in choices.classes]
    if few := [
        name for name, mine in zip(choices.classes, places, strict=True) if len({groups[at] for at in mine}) < 2
    ]:
        raise UsageError(f"{choices.where}: class {few[0]!r} has prompts of one group; give two groups or more")
    halves = _halves(places, groups)
    if not all(map(all, halves)):
        raise UsageError(f"{choices.where}: its groups cannot be halved with every class in both; give more groups")

    def centred(value: Tensor, chosen: Sequence[Sequence[int]]) -> Tensor:
        means = torch.stack([value[list(mine), 0].mean(dim=0) for mine in chosen])
        return means - means.mean(dim=0)

    layers = {layer: held[f"resid.{layer}"] for layer in range(inside.layers)}
    whole, one, other = (
        {layer: centred(value, chosen) for layer, value in layers.items()} for chosen in (places, *halves)
    )
    return Network(choices.classes, whole, (one, other))


def _halves(places: Sequence[Sequence[int]], groups: Sequence[str]) -> tuple[list[list[int]], list[list[int]]]:
    """Each class's prompts in two halves that share no group of any class: what is of a group would make them alike.
    A group goes where its classes have fewer."""
    classes: dict[str, set[int]] = {group: set() for group in groups}
    for at, mine in enumerate(places):
        for place in mine:
            classes[groups[place]].add(at)
    ahead, first = [0] * len(places), set[str]()
    for group, mine in classes.items():
        goes_first = sum(ahead[at] for at in mine) <= 0
        first |= {group} if goes_first else set()
        for at in mine:
            ahead[at] += 1 if goes_first else -1
    one, other = (
        [[place for place in mine if (groups[place] in first) == side] for mine in places] for side in (True, False)
    )
    return one, other


def _cosines(vectors: Tensor) -> Floats:
    normed = torch.nn.functional.normalize(vectors.double(), dim=1)
    return (normed @ normed.T).numpy()


def _pattern(cosines: Floats) -> Floats:
    """The entries above the diagonal."""
    return cosines[np.triu_indices(len(cosines), 1)]


def agreement(one: Floats, other: Floats, ceiling: float | None = None, seed: int = 0) -> Agreement:
    """Of two matrices of cosines of the same concepts."""
    similarity = rank_correlation(_pattern(one).tolist(), _pattern(other).tolist()) or 0.0
    draw, as_well = np.random.default_rng(seed), 0
    for _ in range(PERMUTATIONS):
        order = draw.permutation(len(one))
        found = rank_correlation(_pattern(one[np.ix_(order, order)]).tolist(), _pattern(other).tolist()) or 0.0
        as_well += found >= similarity
    return Agreement(similarity, (1 + as_well) / (1 + PERMUTATIONS), ceiling)


def within_families(cosines: Floats, families: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """Mean cosine within families minus that between them, and the share of permuted families that differ as much."""
    same = np.array([[a == b for b in families] for a in families])[np.triu_indices(len(families), 1)]
    values, draw = _pattern(cosines), np.random.default_rng(seed)

    def apart(labels: NDArray[np.bool_]) -> float:
        return float(values[labels].mean() - values[~labels].mean())

    drawn = []
    for _ in range(PERMUTATIONS):
        dealt = draw.permutation(np.array(families))
        drawn.append(apart(np.array([[a == b for b in dealt] for a in dealt])[np.triu_indices(len(families), 1)]))
    return apart(same), (1 + sum(one >= apart(same) for one in drawn)) / (1 + PERMUTATIONS)


def moved(inside: Inside, choices: Choices, found: Network, layer: int, strength: float) -> Floats:
    """[K K] does changing one concept move another? Nats by which each concept's answers (columns) become likelier when
    a concept's direction (rows) is added to the bare prompts."""
    base = np.nanmean(option_scores(inside.frozen, choices).logps, axis=0)
    rows = []
    for vector in found.vectors[layer]:
        steer = adding(inside, {f"resid.{layer}": strength * vector})
        rows.append(np.nanmean(option_scores(inside.frozen, choices, steer).logps, axis=0) - base)
    return np.array(rows)


class Mapped(NamedTuple):
    """A concept of one model, mapped into another and added there."""

    name: str
    without: float
    """Accuracy with a map that never saw the concept."""
    within: float
    """With a map that did."""
    own: float
    """With the model's own vector."""
    none: float


def mapped(
    source: Inside, target: Inside, choices: Choices, layers: tuple[int, int], names: Sequence[str] = ()
) -> list[Mapped]:
    """For each concept (default: all): ridge regression from the source's stream to the target's over the other
    concepts' train prompts, its vector sent through, its strength chosen on dev; of items that offer the concept.
    Raises UsageError where none does."""
    train, dev, test = (choices.part(split) for split in ("train", "dev", "test"))
    texts, labels, _ = labelled_texts(train)
    sites = [f"resid.{layer}" for layer in layers]
    x, y = (
        captured(one, texts, [site])[site][:, 0].double() for one, site in zip((source, target), sites, strict=True)
    )
    found = []
    for name in names or choices.classes:
        inside_fit = torch.tensor([label != name for label in labels])
        vectors = {}
        direction = _centred(x, labels, name)
        for kind, rows in (("without", inside_fit), ("within", torch.ones_like(inside_fit))):
            vectors[kind] = direction @ _ridge(x[rows], y[rows])
        vectors["own"] = _centred(y, labels, name)
        length = vectors["own"].norm()
        shares = {
            kind: _best(target, (dev, test), name, sites[1], vector * length / vector.norm())
            for kind, vector in vectors.items()
        }
        none = float(option_scores(target.frozen, test.having(name), untouched).right(name).mean())
        found.append(Mapped(name, shares["without"], shares["within"], shares["own"], none))
    return found


def _centred(values: Tensor, labels: Sequence[str], name: str) -> Tensor:
    means = {
        other: values[[at for at, label in enumerate(labels) if label == other]].mean(dim=0)
        for other in dict.fromkeys(labels)
    }
    return means[name] - torch.stack(list(means.values())).mean(dim=0)


def _ridge(x: Tensor, y: Tensor) -> Tensor:
    """[H H'] of centred x to centred y."""
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    penalty = RIDGE * x.pow(2).sum() / x.shape[1] * torch.eye(x.shape[1], dtype=x.dtype)
    return torch.linalg.solve(x.T @ x + penalty, x.T @ y)


def _best(inside: Inside, parts: tuple[Choices, Choices], name: str, site: str, vector: Tensor) -> float:
    dev, test = (part.having(name) for part in parts)  # the others cannot be right of it
    steers = [adding(inside, {site: (strength * vector).float()}) for strength in STRENGTHS]
    on_dev = [option_scores(inside.frozen, dev, steer).lead(name).mean() for steer in steers]
    return float(option_scores(inside.frozen, test, steers[int(np.argmax(on_dev))]).right(name).mean())


@dataclass(frozen=True)
class Concepts:
    """All of it, of one model, and beside another where one is given."""

    network: Network
    families: Mapping[str, str] | None
    moved: Floats
    layer: int
    strength: float
    other: str | None = None
    between: tuple[Agreement, ...] = ()
    """A pair of layers each, in the order of `pairs`."""
    pairs: tuple[tuple[int, int], ...] = ()
    maps: tuple[Mapped, ...] = ()

    def figures(self) -> dict[str, Any]:
        """As finding.schema.json has them."""
        found = {
            "classes": list(self.network.classes),
            "layers": [self._layer(layer) for layer in self.network.vectors],
            "moved": {"layer": self.layer, "strength": self.strength, "nats": self.moved},
        }
        if self.other is not None:
            pairs = zip(self.pairs, self.between, strict=True)
            found["other"] = {
                "model": self.other,
                "between": [{"layers": list(pair), **one._asdict()} for pair, one in pairs],
                "maps": [one._asdict() for one in self.maps],
            }
        return found

    def _layer(self, layer: int) -> dict[str, Any]:
        cosines = self.network.cosines(layer)
        found: dict[str, Any] = {"layer": layer, "cosines": cosines, "ceiling": self.network.ceiling(layer)}
        if self.families:
            apart, p = within_families(cosines, [self.families[name] for name in self.network.classes])
            found["families"] = {"within_minus_between": apart, "p": p}
        return found

    def says(self) -> list[str]:
        """A line a layer, and what moves what."""
        return [*map(self._said, self.network.vectors), self._moved_line(), *self._beside_lines()]

    def _said(self, layer: int) -> str:
        told = self._layer(layer)
        line = f"layer {layer}: patterns of two halves of the prompts agree to {told['ceiling']:.2f}"
        if "families" not in told:
            return line
        apart, p = told["families"].values()
        return f"{line}; cosines within families are {apart:+.2f} from those between (p {p:.3f})"

    def _moved_line(self) -> str:
        own = float(np.diag(self.moved).mean())
        others = self.moved[~np.eye(len(self.moved), dtype=bool)]
        line = f"a concept added at layer {self.layer} changes its own answers by {own:+.2f} nats, others' by "
        return f"{line}{others.mean():+.2f} (largest {others.max():+.2f})"

    def _beside_lines(self) -> list[str]:
        lines = []
        if self.between:
            at, best = max(zip(self.pairs, self.between, strict=True), key=lambda one: one[1].similarity)
            line = f"beside {self.other}: patterns agree most at layers {at[0]} and {at[1]}, {best.similarity:.2f}"
            lines.append(f"{line} (p {best.p:.3f}, the best of {len(self.pairs)} pairs, uncorrected)")
        if self.maps:
            kinds = {"own": "own", "within": "concept in the fit", "without": "not in it", "none": "none"}
            means = {name: np.mean([getattr(one, kind) for one in self.maps]) for kind, name in kinds.items()}
            lines.append("mapped vectors steer: " + ", ".join(f"{name} {value:.2f}" for name, value in means.items()))
        return lines


def beside(one: Network, other: Network, seed: int = 0) -> tuple[tuple[tuple[int, int], ...], tuple[Agreement, ...]]:
    """Every pair of layers of two models that have the same concepts."""
    if one.classes != other.classes:
        raise UsageError("the two models have other concepts; give the same data to both")
    pairs = tuple(itertools.product(one.vectors, other.vectors))
    return pairs, tuple(agreement(one.cosines(a), other.cosines(b), None, seed) for a, b in pairs)
