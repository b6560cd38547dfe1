"""Is it said when a state or a result was made under other versions of what computes it?"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers

from soft_prompts.config import RunConfig
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.training import environment
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.environment import versions

Settings = Callable[..., RunConfig]
LATER = {"soft_prompts": "99.0", "transformers": "98.0"}


@pytest.fixture
def copied(stopped: RunConfig, settings: Settings, tmp_path: Path) -> RunConfig:
    shutil.copytree(stopped.output_dir, tmp_path / "copy")
    return settings(tmp_path / "copy")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From here on this package and transformers are of other versions; torch is not."""

    def change() -> None:
        monkeypatch.setattr(transformers, "__version__", LATER["transformers"])
        monkeypatch.setattr(environment, "version", lambda _: LATER["soft_prompts"])

    return change


def test_a_run_goes_on_under_other_versions_and_says_so(
    copied: RunConfig,
    whole: Any,
    one_frozen: FrozenModel,
    later: Callable[[], None],
    read_outputs: Callable[[RunConfig], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    then = versions()
    later()
    result = run(copied, one_frozen)
    [line] = [line for line in capsys.readouterr().err.splitlines() if "goes on after step 5" in line]
    changed = [f"{name} {then[name]}, now {new}" for name, new in LATER.items()]
    assert line.endswith(f"; made under {', '.join(changed)}: not the same to the last bit")
    assert result.config["resumed_under"] == [then, then | LATER]
    assert json.loads(run_paths(copied).result.read_text())["config"]["resumed_under"] == [then, then | LATER]
    assert result.environment.transformers == "98.0"
    there = read_outputs(copied)
    assert (there.items, there.prompt) == (whole.outputs.items, whole.outputs.prompt)


def test_a_run_of_one_version_says_nothing_of_versions(
    copied: RunConfig, one_frozen: FrozenModel, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(copied, one_frozen)
    again = run(copied, one_frozen)
    said = capsys.readouterr().err
    assert "goes on after step 5" in said
    assert "finished before" in said
    assert "made under" not in said
    assert "resumed_under" not in result.config
    assert again.config == result.config


def test_a_result_that_is_read_again_under_other_versions_says_so(
    settings: Settings,
    tmp_path: Path,
    one_frozen: FrozenModel,
    later: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = settings(tmp_path, tokens=0)
    result, then = run(config, one_frozen), versions()
    later()
    capsys.readouterr()
    assert run(config, one_frozen).metrics == result.metrics
    [line] = capsys.readouterr().err.splitlines()
    assert f"finished before, read from {run_paths(config).result}; made under soft_prompts" in line
    assert f"transformers {then['transformers']}, now 98.0" in line
    assert "torch" not in line
