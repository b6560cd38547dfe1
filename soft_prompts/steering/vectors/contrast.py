"""Which direction tells a class from the others? Means, and the first direction of differences."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from soft_prompts.common.errors import UsageError
from soft_prompts.engine.activations.module_map import Inside
from soft_prompts.steering.data.choices import Choices, refuse_few
from soft_prompts.steering.scoring import captured
from soft_prompts.steering.vectors.vector import SteeringVector

LEAST_NORM = 1e-6  # of the residual stream's: less is rounding


class Labelled(NamedTuple):
    """Texts whose last token shows a class, the class of each, and the group of its item."""

    texts: list[str]
    labels: list[str]
    groups: list[str]


def labelled_texts(choices: Choices) -> Labelled:
    """The prompts where they show a class; else each prompt behind its cue of each class; else behind each prompt an
    option."""
    are_cued = all(set(item.cues) == set(item.options) for item in choices.items)
    found = Labelled([], [], [])
    for item in choices.items:
        if choices.items[0].shown is not None:
            texts = {str(item.shown): item.prompt}
        elif are_cued:
            texts = {name: item.cues[name] + item.prompt for name in item.options}
        else:
            texts = {name: item.prompt + text for name, text in item.options.items()}
        found.texts.extend(texts.values())
        found.labels.extend(texts)
        found.groups.extend([item.group] * len(texts))
    return found


class Activations:
    """The residual stream of every layer at the last token of labelled texts."""

    def __init__(self, inside: Inside, choices: Choices, layers: Sequence[int] | None = None) -> None:
        """Raises UsageError for a class of fewer than 8 prompts, and for activations that are not finite."""
        texts, labels, _ = labelled_texts(choices)
        refuse_few(choices, list(dict.fromkeys(labels)))
        self.inside, self.labels = inside, labels
        self.choices = choices
        layers = range(inside.layers) if layers is None else layers
        held = captured(inside, texts, [f"resid.{layer}" for layer in layers])
        self.values: dict[int, Tensor] = {layer: held[f"resid.{layer}"][:, 0] for layer in layers}  # [N H] each
        if not all(bool(torch.isfinite(value).all()) for value in self.values.values()):
            raise UsageError(
                f"{choices.where}: activations of {inside.frozen.name} are not finite; give --dtype float32"
            )

    @property
    def classes(self) -> list[str]:
        return list(dict.fromkeys(self.labels))

    def shuffled(self, seed: int) -> Sequence[str]:
        """The labels dealt anew: a vector of them knows nothing of the classes."""
        return [self.labels[place] for place in np.random.default_rng(seed).permutation(len(self.labels))]


def _are(labels: Sequence[str], name: str) -> Tensor:
    return torch.tensor([label == name for label in labels])


def class_means(values: Float[Tensor, "N H"], labels: Sequence[str], classes: Sequence[str]) -> Float[Tensor, "K H"]:
    """Mean of each class."""
    return torch.stack([values[_are(labels, name)].mean(dim=0) for name in classes])


def mean_direction(values: Tensor, labels: Sequence[str], classes: Sequence[str], name: str) -> Tensor:
    """[H] the class's mean minus the mean of all classes' means: no class counts for more because it has more prompts.

    With two classes it is half the difference of means of arXiv 2312.06681.
    """
    means = class_means(values, labels, classes)
    return means[list(classes).index(name)] - means.mean(dim=0)


def pca_direction(values: Tensor, labels: Sequence[str], classes: Sequence[str], name: str) -> Tensor:
    """[H] the first singular direction of the class's activations minus the others' mean of means, uncentred.

    Its length is that of the mean along it, and so is its sign: centring would take the mean away, and with it what
    tells the classes apart (representation engineering, arXiv 2310.01405, section 3.1, takes differences uncentred).
    """
    means = class_means(values, labels, classes)
    others = torch.stack([mean for other, mean in zip(classes, means, strict=True) if other != name]).mean(dim=0)
    differences = values[_are(labels, name)] - others
    direction = torch.linalg.svd(differences, full_matrices=False).Vh[0]
    return (differences.mean(dim=0) @ direction) * direction


DIRECTIONS = {"mean": mean_direction, "pca": pca_direction}


def contrast_vector(
    found: Activations,
    name: str,
    method: str = "mean",
    labels: Sequence[str] | None = None,
    positions: str = "generated",
) -> SteeringVector:
    """The class's vector at every layer; with other `labels` the one that they give.

    Raises UsageError for a class that is not there and for a vector of nothing.
    """
    if name not in found.classes:
        raise UsageError(found.choices.lacks(name))
    labels = found.labels if labels is None else labels
    layers, shares = {}, {}
    for layer, values in found.values.items():
        layers[layer] = DIRECTIONS[method](values, labels, found.classes, name)
        shares[layer] = float(layers[layer].norm() / values.norm(dim=1).mean())
    if not max(shares.values()) > LEAST_NORM:
        raise UsageError(
            f"the vector of {name!r} is zero at every layer; its prompts differ in nothing from the others'"
        )
    frozen = found.inside.frozen
    return SteeringVector(
        layers, name, method, frozen.name, frozen.fingerprint, tuple(found.classes), len(labels), positions, shares
    )
