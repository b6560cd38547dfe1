"""Does today's code give the numbers of a committed reference result, item by item?"""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soft_prompts.config import RunConfig
from soft_prompts.experiments.run import run
from soft_prompts.results.files import read_items, read_result
from soft_prompts.tasks.registry import TASKS
from soft_prompts.training.apparatus import run_paths

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
SLOW = ("guidance_softprompt-B/questions/tiny-guidance-base", "chess/games/tiny-chess")
SLOW += ("skip_tokens-skip-1/library/tiny-text",)
PLACES = ["completion/sums/tiny-text", *(pytest.param(place, marks=pytest.mark.slow) for place in SLOW)]


def config_of(told: dict[str, Any], output: Path) -> RunConfig:
    """The settings that a result says it was made with, on the processor."""

    def plain(kind: Any, values: dict[str, Any]) -> dict[str, Any]:
        named = {name: value for name, value in values.items() if name in {field.name for field in fields(kind)}}
        return {name: tuple(value) if isinstance(value, list) else value for name, value in named.items()}

    kind = TASKS[told["task"]["name"]]
    settings = plain(RunConfig, told) | {"task": kind(**plain(kind, told["task"]))}
    return RunConfig(**settings | {"output_dir": output, "device": "cpu", "dtype": "float32", "data_workers": 0})


@pytest.mark.parametrize("place", PLACES)
def test_a_committed_result_is_computed_again(place: str, tmp_path: Path) -> None:
    [path] = (REFERENCE / place).glob("bare-0t-s0-*[0-9a-f].json")
    stored, items = read_result(path), read_items(path)
    config = config_of(dict(stored.config), tmp_path)
    again = run(config)
    found = read_items(run_paths(config).result)
    for name in ("scored_tokens", "scored_units", "cluster"):
        assert np.array_equal(getattr(found, name), getattr(items, name)), name
    assert found.loss_nats == pytest.approx(items.loss_nats, rel=1e-4)
    assert again.metrics.keys() == stored.metrics.keys()
    for name, metric in stored.metrics.items():
        if metric.value is not None:
            assert again.metrics[name].value == pytest.approx(metric.value, rel=1e-4), name
