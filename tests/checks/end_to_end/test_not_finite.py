"""Is a loss or gradient that is no number ever silent? Its step is skipped and counted, ten in a row end the run as
failed, and no result, snapshot or curve holds such a number."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from soft_prompts.results.files import read_result
from soft_prompts.training import gradients
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.gradients import BatchLoss
from tests.checks.made.disturbances import Disturbed, Record, Settings, count_fault, faults

KINDS = ("loss nan", "loss inf", "loss -inf", "gradient nan", "gradient inf")
SOME, ALL = {2, 5}, set(range(3, 99))


def spoiled(loss: BatchLoss, kind: str) -> BatchLoss:
    """With a loss that is no number, or a plain loss whose gradient is none."""
    what, bad = kind.split()
    if what == "loss":
        return loss._replace(nats=loss.nats + float(bad))
    loss.nats.register_hook(lambda gradient: gradient * float(bad))
    return loss


def spoil(kind: str, steps: set[int]) -> Disturbed:
    """Spoils these steps of a forked run, each of which is one pass."""

    def install() -> None:
        real, step = gradients.batch_losses, itertools.count(1)

        def losses(frozen: Any, parts: Any) -> list[BatchLoss]:
            found = real(frozen, parts)
            return [spoiled(one, kind) for one in found] if next(step) in steps else found

        gradients.batch_losses = losses

    return install


@pytest.mark.parametrize("kinds", [("loss nan", "gradient inf"), pytest.param(KINDS, marks=faults)])
def test_what_is_no_number_is_skipped_counted_and_never_written(
    harness: Any,
    settings: Settings,
    tmp_path: Path,
    scalars_of: Callable[[Path], dict[str, list[tuple[int, float]]]],
    record_property: Record,
    kinds: tuple[str, ...],
) -> None:
    outcomes = []
    for kind, steps in itertools.product(kinds, (SOME, ALL)):
        config = settings(tmp_path / f"{kind} {len(steps)}", steps=16)
        ended = harness.run(config, before=spoil(kind, steps))
        assert ended.code == 0, ended.text
        paths, result = run_paths(config), read_result(run_paths(config).result)
        values = [metric.value for metric in result.metrics.values() if metric.value is not None]
        numbers = [value for points in scalars_of(paths.events).values() for _, value in points]
        right = all(map(math.isfinite, values + numbers))
        if steps == SOME:
            prompt = load_file(paths.snapshot / "prompt.safetensors")
            right &= result.status == "success" and len(values) > 5 and result.training.skipped_steps == len(SOME)
            right &= all(bool(torch.isfinite(tensor).all()) for tensor in prompt.values())
        else:
            right &= (result.status, values) == ("failed", []) and result.training.skipped_steps == 10
            right &= result.reason == "loss or gradient was not finite in 10 steps in a row"
            right &= not (paths.snapshot / "prompt.safetensors").exists()
        outcomes.append(right)
    count_fault(record_property, "NaN or infinite loss or gradient", outcomes)
