"""What does a run do where memory holds few samples at once? The same step in smaller parts, down to one sample."""

from typing import Any

import pytest
import torch

from soft_prompts.common.errors import OutOfRoom
from soft_prompts.results.files import read_items, read_result
from soft_prompts.training import gradients
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.gradients import BatchLoss
from tests.checks.made.disturbances import Disturbed, Record, Settings, count_fault


def room_for(samples: int) -> Disturbed:
    """Memory is out, in a forked run, where more samples go through the model at once."""

    def install() -> None:
        real = gradients.batch_losses

        def losses(frozen: Any, parts: Any) -> list[BatchLoss]:
            if any(len(batch.input_ids) > samples for _, batch in parts):
                raise torch.OutOfMemoryError("too much")
            return real(frozen, parts)

        gradients.batch_losses = losses

    return install


def test_smaller_parts_give_the_same_result(
    harness: Any, whole: Any, settings: Settings, tmp_path: Any, record_property: Record
) -> None:
    """The micro-batch that is left stands in the result; one that does not fit ends the run with exit code 75."""
    outcomes = []
    there, items = read_result(run_paths(whole.config).result), read_items(run_paths(whole.config).result)
    for samples, left in ((7, 4), (4, 4), (3, 2), (1, 1)):
        config = settings(tmp_path / str(samples))
        ended = harness.run(config, before=room_for(samples))
        assert ended.code == 0, ended.text
        here = read_result(run_paths(config).result)
        right = here.training.micro_batch_size == left and here.generations == there.generations
        right &= all(
            metric.value == pytest.approx(there.metrics[name].value, abs=1e-5, rel=1e-5)
            for name, metric in here.metrics.items()
            if metric.value is not None
        )
        losses = read_items(run_paths(config).result).loss_nats
        outcomes.append(right and losses == pytest.approx(items.loss_nats, abs=1e-4))
    ended = harness.run(settings(tmp_path / "0"), before=room_for(0))
    last = ended.text.splitlines()[-1]
    outcomes.append(ended.code == OutOfRoom.exit_code == 75 and "memory is out; give fewer --tokens" in last)
    count_fault(record_property, "out of memory", outcomes)
