"""Hand-made results for the checks that read them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soft_prompts.results.files import items_fingerprint, write_result
from soft_prompts.results.paths import run_path
from soft_prompts.results.schema import (
    DataSection,
    EnvironmentSection,
    Metric,
    ModelSection,
    PromptSection,
    Result,
    TimingSection,
    TrainingSection,
)
from soft_prompts.stats.items import Items


def build_items(
    losses: Sequence[float], units: Sequence[int] | None = None, cluster: Sequence[int] | None = None
) -> Items:
    count = np.full(len(losses), 2) if units is None else np.array(units)
    groups = np.arange(len(losses)) if cluster is None else np.array(cluster)
    return Items(np.array(losses, float), count * 2, count, groups.astype(np.int64))


def build_result(
    *,
    model: str = "tiny-chess",
    tokens: int = 4,
    seed: int = 0,
    kind: str = "mlp",
    mode: str = "true",
    items: Items | None = None,
    value: float | None = None,
    stderr: float | None = 0.01,
    status: str = "success",
    **changes: Any,
) -> Result:
    """A whole result; a change is named by its field, or `section__field`."""
    if items is not None and value is None:
        value = float(items.loss_nats.sum() / items.scored_units.sum())
    identity = None if items is None else np.arange(len(items.loss_nats))
    settings = {"model": model, "tokens": tokens, "kind": kind, "mode": mode}
    sections: dict[str, Any] = {
        "model": {"name": model, "revision": None, "architecture": "GPTNeoXForCausalLM", "parameters": 1_200_000}
        | {"fingerprint": f"weights of {model}", "dtype": "float32"},
        "prompt": {"kind": kind if tokens else None, "tokens": tokens, "parameters": 128 * tokens, "position": "front"}
        | {
            "conditions": ("white_elo", "black_elo") if mode == "true" else (),
            "condition_mode": mode if tokens else None,
        },
        "data": {"name": "games", "train": "games.pgn.zst", "test": None, "fingerprint": "data", "train_samples": 100}
        | {"items_fingerprint": None if items is None else items_fingerprint(identity, items.scored_tokens)}
        | {"test_samples": None if items is None else len(items.loss_nats)},
        "training": {
            "steps": 400 if tokens else 0,
            "best_step": 350,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "weight_decay": 1e-4,
        }
        | {"schedule": "cosine", "seed": seed, "target_tokens": 10_000},
        "timing": {"wall_seconds": 12.5, "target_tokens_per_second": 5000.0, "data_wait_share": 0.01},
        "environment": {
            "package_version": "0.1.0",
            "commit": "a" * 40,
            "dirty": False,
            "python": "3.11.9",
            "torch": "2.10.0",
        }
        | {"transformers": "5.0.0", "device": "cpu", "platform": "Linux", "started": "2026-01-02T03:04:05Z"}
        | {"finished": "2026-01-02T03:05:05Z"},
    }
    fields: dict[str, Any] = {
        "status": status,
        "reason": None if status == "success" else "stopped by a check",
        "experiment": "chess",
        "headline": "loss_per_move",
        "metrics": {"loss_per_move": Metric(value, stderr, 1000, "nats/move", None if value else "no moves")},
        "config": settings,
    }
    for name, change in changes.items():
        section, _, key = name.partition("__")
        if key:
            sections[section][key] = change
        else:
            fields[name] = change
    kinds = (ModelSection, PromptSection, DataSection, TrainingSection, TimingSection, EnvironmentSection)
    names = ("model", "prompt", "data", "training", "timing", "environment")
    return Result(**fields, **{name: kind(**sections[name]) for name, kind in zip(names, kinds, strict=True)})


@pytest.fixture(scope="session")
def make_items() -> Callable[..., Items]:
    return build_items


@pytest.fixture(scope="session")
def make_result() -> Callable[..., Result]:
    return build_result


@pytest.fixture
def save_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run under tmp_path/results as an experiment would, and says where."""

    def save(items: Items | None = None, **changes: Any) -> Path:
        result = build_result(items=items, **changes)
        prompt, training = result.prompt, result.training
        path = run_path(
            *(result.experiment, result.variant, result.data.name, result.model.name),
            *(prompt.kind, prompt.tokens, training.seed, {str(key): str(value) for key, value in changes.items()}),
        )
        path = tmp_path / "results" / f"{path}.json"
        write_result(path, result, items)
        return path

    return save
