"""Is a trained prompt that is given measured as it is, gone on from, and refused where it does not fit?"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from soft_prompts.analysis.losses.gathering import drafts_of
from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.experiments.experiment import Experiment
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.run import run
from soft_prompts.models.model import FrozenModel
from soft_prompts.prompts.snapshot import load_snapshot
from soft_prompts.results.files import find_results
from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.training.apparatus import run_paths
from tests.checks.exchange.conftest import Save

Settings = Callable[..., RunConfig]


@pytest.fixture
def settings(one_frozen: FrozenModel, tmp_path: Path) -> Settings:
    """A run of four steps; changes are named by their field."""
    data = tmp_path / "numbers.jsonl"
    data.write_text("\n".join(f'{{"prompt": "{n} and one is", "completion": " {n + 1}"}}' for n in range(80)))
    small = {"data": str(data), "sample_tokens": 32, "validation_samples": 4, "test_samples": 8, "batch_size": 8}
    base = RunConfig(CompletionTask(), one_frozen.name, 4, prompt="direct", steps=4, output_dir=tmp_path, **small)
    return lambda **changes: replace(base, **{"warmup_steps": 1, "learning_rate": 0.1, **changes})


def loss(config: RunConfig) -> float:
    return float(run(config).metrics["loss_per_completion"].value or 0)


def test_a_run_measures_what_another_has_trained(settings: Settings) -> None:
    """With no step the same losses to the bit, and the same prompt in its own snapshot."""
    trained = settings()
    before = loss(trained)
    measured = settings(snapshot=run_paths(trained).snapshot, steps=0)
    assert loss(measured) == before
    kept = [load_snapshot(run_paths(config).snapshot).prompt.rows for config in (trained, measured)]
    assert torch.equal(*kept)
    goes_on = settings(snapshot=run_paths(trained).snapshot, steps=1, learning_rate=1e-9, warmup_steps=0)
    assert loss(goes_on) == pytest.approx(before, rel=1e-5)
    assert loss(settings(steps=1, learning_rate=1e-9, warmup_steps=0)) != pytest.approx(before, rel=1e-2)
    assert len({run_paths(config).result for config in (trained, measured, goes_on)}) == 3


def test_it_is_measured_again_when_the_prompt_is_another_one(
    settings: Settings, save: Save, one_frozen: FrozenModel, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save(one_frozen)
    config = settings(snapshot=folder, steps=0)
    first = loss(config)
    assert loss(config) == first
    assert "finished before" in capsys.readouterr().err
    save(one_frozen, tokens=8)
    for name in ("prompt.json", "prompt.safetensors"):
        (folder / name).write_bytes((folder.parent / "direct-8" / name).read_bytes())
    with pytest.raises(UsageError, match=r"tokens is 4, but .*direct-4 is a prompt of 8; give --tokens 8"):
        run(config)
    assert "made again, for the prompt that it was made from is another one now" in capsys.readouterr().err


def test_what_does_not_fit_is_refused_in_one_line(settings: Settings, save: Save, one_frozen: FrozenModel) -> None:
    refused: dict[str, tuple[type[Exception], RunConfig]] = {
        "prompt is direct, but .* is mlp; give --prompt mlp, and the conditions": (
            UsageError,
            settings(snapshot=save(one_frozen, "mlp"), steps=0),
        ),
        "nowhere is no snapshot: prompt.json is missing": (InputError, settings(snapshot=Path("nowhere"), steps=0)),
        r"the prompt was trained on .* --allow-mismatch uses it all the same": (
            InputError,
            settings(snapshot=save(one_frozen, tokens=4, fingerprint="v2:0"), steps=0),
        ),
    }
    for said, (kind, config) in refused.items():
        with pytest.raises(kind, match=said):
            run(config)
    assert loss(settings(snapshot=save(one_frozen, fingerprint="v2:0"), steps=0, allow_mismatch=True)) > 0
    with pytest.raises(UsageError, match="steps is 0; give 1 or more, or the trained prompt to be measured after"):
        settings(steps=0)


def test_a_prompt_without_conditions_is_measured_on_a_task_that_has_some(
    settings: Settings, save: Save, one_frozen: FrozenModel
) -> None:
    """As every imported one; the message names the flag that leads there."""
    chess: dict[str, Any] = {"task": ChessTask(max_plies=4), "data": "games", "snapshot": save(one_frozen), "steps": 0}
    for kind in ("mlp", "direct"):
        with pytest.raises(UsageError, match=r"give (--prompt direct, and )?--condition none$"):
            run(settings(**chess, prompt=kind))
    assert run(settings(**chess, condition="none")).metrics["loss_per_move"].value


@pytest.fixture
def ask(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The experiment's own main on a tiny model: its exit code, and what it said on stderr."""

    def main(*words: str) -> tuple[int, str]:
        config = settings()
        grid = Grid((config.model,), (0, 2), (config.data,), config, config.task, evidence="standard")
        experiment = Experiment("completion", "What does a check ask?", {"default": grid})
        capsys.readouterr()
        try:
            code = experiment.main(words, "soft-prompts run completion")
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, capsys.readouterr().err

    return main


def test_a_command_measures_it_beside_the_bare_model(
    ask: Callable[..., Any], save: Save, one_frozen: FrozenModel, tmp_path: Path
) -> None:
    folder = save(one_frozen)
    code, said = ask("--snapshot", str(folder), "--steps", "0")
    assert (code, said.strip().splitlines()[-1]) == (
        2,
        f"error: --tokens is 0 2, but {folder} is a prompt of 4; give --tokens 0 4",
    )
    code, said = ask("--snapshot", str(folder), "--steps", "0", "--tokens", "0", "4")
    assert code == 0
    assert "no evidence is made beside a --snapshot; the same command without it makes some" in said
    code, _ = ask("--tokens", "0", "4", "--evidence", "none")
    assert code == 0
    found = find_results([tmp_path / "results"])
    assert sorted((result.prompt.tokens, result.training.steps) for _, result in found.results) == [
        (0, 0),
        (4, 0),
        (4, 4),
    ]
    [draft] = drafts_of(found, None, None)  # one curve: validation chooses between the given and the trained prompt
    assert (len(draft.runs), len(draft.others)) == (2, 1)
