"""Is a run on a GPU the run of the settings: resumed to the bit, and the CPU's to rounding?"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.common.errors import Interrupted
from soft_prompts.config import RunConfig
from soft_prompts.experiments import run as one_run
from soft_prompts.experiments.run import run
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.training.apparatus import load_for
from tests.checks.made.disturbances import Settings

pytestmark = pytest.mark.gpu


def test_a_stopped_run_goes_on_to_the_same_bytes(
    settings: Settings, tmp_path: Path, read_outputs: Callable[[RunConfig], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halved = (
        settings(tmp_path / name, device="cuda", dtype="float32", deterministic=True) for name in ("whole", "halved")
    )
    frozen = load_for(whole)
    run(whole, frozen)
    real = one_run.train

    def stopping(model: Any, fits: Any, stop_asked: Any, report: Any) -> Any:
        def tell(going: Any) -> None:
            report(going)
            if going[0].progress.step == 5:
                os.kill(os.getpid(), signal.SIGTERM)

        return real(model, fits, stop_asked, tell)

    with monkeypatch.context() as patched:
        patched.setattr(one_run, "train", stopping)
        with pytest.raises(Interrupted):
            run(halved, frozen)
    run(halved, frozen)
    expected, found = read_outputs(whole), read_outputs(halved)
    assert found.prompt == expected.prompt
    assert found.items == expected.items
    assert found.scalars == expected.scalars


def test_the_result_is_the_cpus_to_rounding(
    settings: Settings, tmp_path: Path, read_outputs: Callable[[RunConfig], Any]
) -> None:
    found = {}
    for device in ("cpu", "cuda"):
        config = settings(tmp_path / device, device=device, dtype="float32")
        run(config, load_frozen_model(config.model, dtype="float32", device=device))
        result = read_outputs(config).result
        found[device] = result["metrics"][result["headline"]]["value"]
    assert found["cuda"] == pytest.approx(found["cpu"], rel=1e-3)
