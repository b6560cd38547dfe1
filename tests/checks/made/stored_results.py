"""Result files of curves whose losses are known, as an experiment would leave them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soft_prompts.results.files import write_result
from soft_prompts.results.schema import Metric
from soft_prompts.stats.items import Items
from tests.checks.made.results import build_items, build_result
from tests.checks.made.simulated_results import Simulated

UNITS, CLUSTERS = 2, 8  # of each hand-made item; an item a cluster


def flat_items(loss: float) -> Items:
    """Eight items, each its own cluster, of equal loss per unit: no draw of the bootstrap moves it."""
    return build_items([UNITS * loss] * CLUSTERS, [UNITS] * CLUSTERS)


def save(folder: Path, role: str, items: Items, *, validation: float | None = None, **changes: Any) -> Path:
    """One result of any role with `items`; further metrics, by name, are added to its loss per move."""
    value = float(items.loss_nats.sum() / items.scored_units.sum())
    metrics = {"loss_per_move": Metric(value, 0.01, len(items.cluster), "nats/move")}
    if validation is not None:
        metrics["validation_loss"] = Metric(validation, 0.01, 100, "nats/token")
    metrics |= changes.pop("metrics", {})
    result = build_result(items=items, role=role, metrics=metrics, **changes)
    where = folder / result.experiment / str(result.variant) / result.model.name
    name = f"{role.replace(':', '-')}-{len(list(where.glob('*.json'))):04d}"
    write_result(where / f"{name}.json", result, items)
    return where / f"{name}.json"


def save_flat(folder: Path, losses: Mapping[int, float | Sequence[float]], role: str = "run", **changes: Any) -> None:
    """A run for each token count and, of several losses, each seed."""
    for tokens, of_seeds in losses.items():
        seeds = [of_seeds] if isinstance(of_seeds, int | float) else of_seeds
        for seed, loss in enumerate(seeds):
            save(folder, role, flat_items(loss), tokens=tokens, seed=seed, **changes)


def save_anchor(folder: Path, name: str, loss: float, tokens: int = 0, **changes: Any) -> Path:
    return save(folder, f"anchor:{name}", flat_items(loss), tokens=tokens, **changes)


def save_simulated(folder: Path, simulated: Simulated, model: str, **changes: Any) -> list[Path]:
    """Every run of a simulated curve and its two anchors; the paths."""
    losses, anchors = simulated
    named: list[tuple[str, NDArray[np.float64], dict[str, Any]]] = [
        ("run", of_seed, {"tokens": tokens, "seed": seed, "validation": losses.validation.get(tokens, {}).get(seed)})
        for tokens, seeds in losses.by_tokens.items()
        for seed, of_seed in seeds.items()
    ]
    for name, anchor in (("no_skill", anchors.no_skill), ("exact", anchors.saturation)):
        assert anchor is not None
        named.append((f"anchor:{name}", anchor.losses[0], {"tokens": 0}))
    return [
        save(folder, role, Items(nats, losses.units, losses.units, losses.cluster), model=model, **given, **changes)
        for role, nats, given in named
    ]
