"""Result files of curves whose losses and outcomes are known, as an experiment would leave them.

Every item has the same loss and the same outcome, so that a share is what its formula says; an interval by deed is
Wilson's of as many trials as there are clusters, one by loss has no width.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from soft_prompts.results.files import write_result
from soft_prompts.results.schema import Metric
from soft_prompts.stats.items import Items
from tests.checks.made.results import build_items, build_result

LAST_ROUND = ("seeds", "seeds", "longer")
UNITS, CLUSTERS = 2, 40  # of each hand-made item; an item a cluster
SOLVED = "solved_share"
NAMES = {"determined": "data__determined", "command": "environment__command", "finished": "environment__finished"}
Value = float | tuple[float, float]
"""Nats per unit, or these and an outcome."""


def flat_items(value: Value, clusters: int = CLUSTERS) -> Items:
    """Each item its own cluster, all alike: no draw of the bootstrap moves their mean."""
    loss, outcome = value if isinstance(value, tuple) else (value, None)
    items = build_items([UNITS * loss] * clusters, [UNITS] * clusters)
    written = None if outcome is None else np.full(clusters, float(outcome))
    return Items(items.loss_nats, items.scored_tokens, items.scored_units, items.cluster, written)


def save(folder: Path, role: str, items: Items, *, validation: float | None = None, **changes: Any) -> Path:
    """One result of any role with `items`; further metrics, by name, are added to its loss per move.

    `determined`, `command`, `finished` and `reference` stand for the fields that hold them.
    """
    value = float(items.loss_nats.sum() / items.scored_units.sum())
    metrics = {"loss_per_move": Metric(value, 0.01, len(items.cluster), "nats/move")}
    if validation is not None:
        metrics["validation_loss"] = Metric(validation, 0.01, 100, "nats/token")
    if items.outcome is not None:
        metrics[SOLVED] = Metric(float(np.nanmean(items.outcome)), 0.01, len(items.cluster), "share")
        changes.setdefault("outcome", SOLVED)
    metrics |= changes.pop("metrics", {})
    if reference := changes.pop("reference", None):
        changes["config"] = changes.get("config", {}) | {"reference": reference}
    named = {NAMES.get(name, name): change for name, change in changes.items()}
    result = build_result(items=items, role=role, metrics=metrics, **named)
    where = folder / result.experiment / str(result.variant) / result.model.name
    name = f"{role.replace(':', '-')}-{len(list(where.glob('*.json'))):04d}"
    write_result(where / f"{name}.json", result, items)
    return where / f"{name}.json"


def save_flat(
    folder: Path, values: Mapping[int, Value | Sequence[Value]], role: str = "run", **changes: Any
) -> list[Path]:
    """A run for each token count and, of a list of values, each seed."""
    return [
        save(folder, role, flat_items(value), tokens=tokens, seed=seed, **changes)
        for tokens, of_seeds in values.items()
        for seed, value in enumerate(of_seeds if isinstance(of_seeds, list) else [of_seeds])
    ]


def save_anchor(folder: Path, name: str, value: Value, tokens: int = 0, **changes: Any) -> Path:
    """An anchor of a name."""
    return save(folder, f"anchor:{name}", flat_items(value), tokens=tokens, **changes)


def save_skill(folder: Path, values: Mapping[int, Value | Sequence[Value]], **changes: Any) -> None:
    """A curve of a task with one right answer, with the most frequent answer below it: losses from 3.5 to 1 nats.

    Its prompts were trained to the same loss on their training samples.
    """
    for tokens, of_seeds in values.items():
        for seed, value in enumerate(of_seeds if isinstance(of_seeds, list) else [of_seeds]):
            loss = value[0] if isinstance(value, tuple) else value
            trained = {"training_loss": Metric(loss, 0.0, 256, "nats/move")} if tokens else {}
            items = flat_items(value)
            save(folder, "run", items, tokens=tokens, seed=seed, **({"determined": True, "metrics": trained} | changes))
    own = {name: changes[name] for name in ("model", "experiment", "variant") if name in changes}
    save_anchor(folder, "no_skill", (3.5, 0.0), determined=True, **own)
    save_anchor(folder, "exact", 1.0, **own)


def save_control(folder: Path, values: Mapping[int, Value], name: str = "permuted_targets", **changes: Any) -> None:
    """A control's bare model and prompts."""
    save_flat(folder, values, role=f"control:{name}", **changes)


def save_battery(folder: Path, tokens: int, value: Value, *, searched: bool = True, **changes: Any) -> None:
    """Another rate, a search start, and a last round of two seeds and more steps, all as good as `value`."""
    start = "search" if searched else "vocabulary"
    rounds = [("rates", "vocabulary"), ("initialisations", start), *[(name, "vocabulary") for name in LAST_ROUND]]
    for role, init in rounds:
        save(folder, f"battery:{role}", flat_items(value), tokens=tokens, config={"init": init}, **changes)


def save_power(
    folder: Path, planted: int, shares: Sequence[float | None], how: str = "planted", **changes: Any
) -> None:
    """Searches for secrets of `planted` tokens, each of which closed such a share of their gap; None: no gap."""
    for secret, share in enumerate(shares):
        metrics = {
            "planted_tokens": Metric(float(planted), None, 1, "tokens"),
            "share_of_planted_gap": Metric(share, None, 1, "share", None if share is not None else "no gap"),
        }
        given = {"tokens": 2 * planted, "seed": secret, "metrics": metrics} | changes
        save(folder, f"power:{how}", flat_items(1.0), **given)
