"""Is the model that is measured the one that was named? A loaded model is reused for its own settings alone."""

import gc
import json
import os
import signal
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from soft_prompts.common.errors import UsageError
from soft_prompts.config import RunConfig
from soft_prompts.engine import evaluation
from soft_prompts.experiments import run as run_module
from soft_prompts.experiments.evidence.makers import Maker
from soft_prompts.experiments.run import run
from soft_prompts.experiments.sweep import run_all
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.model import FrozenModel
from soft_prompts.results.files import find_results
from soft_prompts.results.roles import RUN
from soft_prompts.training import apparatus
from soft_prompts.training.apparatus import LoadedModel, refuse_other_model, run_paths
from tests.checks.made.disturbances import at_step

Settings = Callable[..., RunConfig]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Name and precision of every model that is loaded, in order."""
    found: list[tuple[str, str]] = []

    def load(config: RunConfig) -> FrozenModel:
        found.append((config.model, config.dtype))
        return load_frozen_model(config.model, dtype=config.dtype)

    monkeypatch.setattr(apparatus, "load_for", load)
    return found


def test_one_model_is_loaded_once_and_another_is_not_taken_for_it(
    settings: Settings, tmp_path: Path, tiny_folders: dict[str, Path], loads: list[tuple[str, str]]
) -> None:
    loaded, config = LoadedModel(), settings(tmp_path)
    first = loaded.named_by(config)
    assert loaded.named_by(replace(config, seed=1, tokens=3)) is first
    for other in (replace(config, dtype="bfloat16"), replace(config, model=str(tiny_folders["gpt2"]))):
        found = loaded.named_by(other)
        assert (found.name, found.dtype) == (other.model, {"auto": "float32"}.get(other.dtype, other.dtype))
    assert len(loads) == 3


@pytest.mark.parametrize("changed", [{"dtype": "bfloat16"}, {"model": "tiny-text"}], ids=str)
def test_a_run_refuses_a_loaded_model_that_it_does_not_name(
    settings: Settings, tmp_path: Path, one_frozen: FrozenModel, changed: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match=f"^{next(iter(changed))} is .*; leave the loaded model out"):
        run(replace(settings(tmp_path), **changed), one_frozen)


def test_a_loaded_model_that_was_changed_since_is_refused_and_loaded_anew(
    settings: Settings, tmp_path: Path, tiny_folders: dict[str, Path]
) -> None:
    config = settings(tmp_path)
    frozen, other = load_frozen_model(config.model), load_frozen_model(str(tiny_folders["gpt2"]))
    refuse_other_model(config, replace(frozen, name="the same module under another name"))
    with pytest.raises(UsageError, match=r"^the model was put together by hand; leave the loaded model out"):
        run(config, replace(frozen, model=other.model))
    loaded = LoadedModel()
    first = loaded.named_by(config)
    first.model.to(torch.bfloat16)  # pyright: ignore[reportArgumentType]  # transformers wraps the method
    for asked in (config, replace(config, dtype="bfloat16")):  # buffers were cast too: loading says another thing
        with pytest.raises(UsageError, match="was loaded as float32 on cpu, and is bfloat16 on cpu now; leave"):
            run(asked, first)
    assert loaded.named_by(config).dtype == "float32"


def test_runs_of_several_precisions_are_recorded_as_what_they_were(
    settings: Settings, tmp_path: Path, loads: list[tuple[str, str]]
) -> None:
    base = settings(tmp_path)
    configs = [replace(base, tokens=tokens, dtype=dtype) for dtype in ("float32", "bfloat16") for tokens in (0, 1)]
    assert run_all(configs) == run_all(configs) == []
    assert [dtype for _, dtype in loads] == ["float32", "bfloat16"]
    results = [result for _, result in find_results([base.output_dir / "results"]).results]
    losses = {(one.config["dtype"], one.prompt.tokens): one.metrics["test_loss"].value for one in results}
    assert {(one.config["dtype"], one.model.dtype) for one in results} == {
        (name,) * 2 for name in ("float32", "bfloat16")
    }
    assert losses["float32", 0] != losses["bfloat16", 0]


def test_the_bare_model_is_measured_in_the_micro_batches_that_are_asked_for(
    settings: Settings, tmp_path: Path, one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    collate = evaluation.collate
    monkeypatch.setattr(evaluation, "collate", lambda some, *rest: rows.append(len(some)) or collate(some, *rest))
    for tokens in (0, 1):
        rows.clear()
        run(replace(settings(tmp_path), tokens=tokens, micro_batch_size=2, steps=1), one_frozen)
        assert max(rows) == 2


def test_the_old_model_goes_before_the_next_one_comes(
    settings: Settings, tmp_path: Path, tiny_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the loop over many runs too: two models of half the memory each have to be measured one after another."""
    alive: list[weakref.ref[FrozenModel]] = []

    def load(config: RunConfig) -> FrozenModel:
        gc.collect()
        assert [one for one in alive if one() is not None] == []
        alive.append(weakref.ref(frozen := load_frozen_model(config.model)))
        return frozen

    monkeypatch.setattr(apparatus, "load_for", load)
    base = settings(tmp_path, tokens=0)
    configs = [replace(base, model=str(tiny_folders[name])) for name in ("gpt_neox", "llama")]
    assert run_all(configs) == []
    assert len(alive) == 2


def test_runs_that_failed_before_share_one_model(
    settings: Settings, tmp_path: Path, loads: list[tuple[str, str]]
) -> None:
    configs = [settings(tmp_path, seed=seed, steps=1) for seed in (0, 1)]
    assert run_all(configs) == []
    for config in configs:
        path = run_paths(config).result
        path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "failed", "reason": "no loss was finite"}))
    loads.clear()
    assert run_all(configs) == []
    assert len(loads) == 1


def test_deterministic_algorithms_are_for_the_run_that_asked(
    settings: Settings, tmp_path: Path, one_frozen: FrozenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[bool] = []
    measure = run_module.maker_of(RUN).measure
    maker = Maker(measure=lambda *all: said.append(torch.are_deterministic_algorithms_enabled()) or measure(*all))
    monkeypatch.setattr(run_module, "maker_of", lambda _: maker)
    for asked in (True, False):
        run(settings(tmp_path / str(asked), tokens=0, deterministic=asked), one_frozen)
    assert said == [True, False]


def test_after_a_stop_fresh_would_forget_what_was_done(harness: Any, settings: Settings, tmp_path: Path) -> None:
    for fresh, words in ((True, "the same command without --fresh goes on"), (False, "the same command goes on")):
        stop = at_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert words in harness.run(settings(tmp_path / str(fresh), fresh=fresh), before=stop).text
