"""Does a model whose layers are in parts, one a process, give the numbers of a whole one; and what cannot be spread?"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.experiments.catalogue.chess import DEFAULT
from soft_prompts.experiments.grid import variant
from soft_prompts.experiments.run import run
from soft_prompts.models.frozen import load_frozen_model
from soft_prompts.models.loading.shards import refuse_in_step
from soft_prompts.models.loading.spread import Machine, Spread, mode_for
from soft_prompts.models.model import FrozenModel
from soft_prompts.models.sources.part import Part
from soft_prompts.models.sources.source import find_source
from soft_prompts.results.files import read_items, read_result
from soft_prompts.results.roles import Lora
from soft_prompts.training.apparatus import refuse_beside_runs, run_paths
from tests.checks.end_to_end.conftest import PLIES
from tests.checks.made.architectures import save_architecture
from tests.checks.made.in_parts import LENGTHS, numbers

ROOT = Path(__file__).parents[3]
TIMEOUT = 240  # a machine that is busy with other work takes a minute to import torch twice
MODES = ("fsdp", "tensor")
PLANNED = ("qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "mistral", "mixtral", "olmo2", "phi", "phi3", "gptj")
PLANNED += ("cohere", "deepseek_v3", "smollm3", "starcoder2", "granite", "glm4", "gpt_oss", "qwen3_moe", "codegen")
UNPLANNED = ("opt", "bloom", "falcon", "mpt", "mamba", "stablelm")
Settings = Callable[..., RunConfig]


@pytest.fixture
def in_parts(tmp_path: Path) -> Callable[..., tuple[list[list[dict[str, Any]]], str]]:
    """What each of some processes found of the jobs, and what they said."""

    def launch(jobs: Sequence[dict[str, Any]], processes: int = 2) -> tuple[list[list[dict[str, Any]]], str]:
        file = tmp_path / "jobs.json"
        file.write_text(json.dumps(list(jobs)))
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        around = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
        ended = subprocess.run(
            [sys.executable, *launcher, "-m", "tests.checks.made.in_parts", str(file)],
            cwd=tmp_path,
            env={**os.environ, **around},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout
        found = [json.loads(Path(f"{file}.{number}").read_text()) for number in range(processes)]
        return found, ended.stdout

    return launch


def job(config: RunConfig, at: int) -> dict[str, Any]:
    """A run as a job: the last process is told to stop after so many steps; 0: never."""
    changed = {
        one.name: getattr(config, one.name)
        for one in fields(config)
        if one.name not in ("task", "role") and getattr(config, one.name) != one.default
    }
    return {"do": "run", "plies": config.task.max_plies, "at": at, **changed, "output_dir": str(config.output_dir)}


def is_like_one(found: dict[str, Any], one: dict[str, Any]) -> None:
    """Against the same model in one process, on its fast roads."""
    assert found["tokens"] == one["tokens"] == sum(LENGTHS) - len(LENGTHS)  # nothing predicts a first token
    assert found["loss"] == pytest.approx(one["loss"], abs=1e-5)
    gradient, expected = np.array(found["gradient"]), np.array(one["gradient"])
    assert np.linalg.norm(expected) > 1e-2
    assert np.linalg.norm(gradient - expected) <= 1e-4 * np.linalg.norm(expected)
    for name in ("items", "alike"):
        assert found[name] == pytest.approx(one[name], abs=1e-4), name  # sums over some twenty tokens
    assert (found["texts"], found["sampled"]) == (one["texts"], one["sampled"])


def is_the_same_run(config: RunConfig, whole: RunConfig, scalars_of: Callable[[Path], Any]) -> None:
    mine, theirs = (read_result(run_paths(one).result) for one in (config, whole))
    assert mine.generations == theirs.generations
    assert mine.metrics.keys() == theirs.metrics.keys()
    assert {name for name, metric in mine.metrics.items() if metric.value is None} == {
        name for name, metric in theirs.metrics.items() if metric.value is None
    }
    for name, metric in [(name, metric) for name, metric in theirs.metrics.items() if metric.value is not None]:
        assert mine.metrics[name].value == pytest.approx(metric.value, abs=1e-5, rel=1e-5), name
    items = [read_items(run_paths(one).result).loss_nats for one in (config, whole)]
    assert items[0] == pytest.approx(items[1], abs=1e-4)
    curves = [scalars_of(run_paths(one).events) for one in (config, whole)]
    assert curves[0].keys() == curves[1].keys()
    for tag, points in curves[1].items():
        assert curves[0][tag] == [pytest.approx(point, abs=1e-4, rel=1e-4) for point in points], tag


def test_two_processes_with_parts_of_layers_give_the_numbers_of_one(
    in_parts: Callable[..., Any],
    settings: Settings,
    tiny_folders: dict[str, Path],
    tmp_path: Path,
    scalars_of: Callable[[Path], Any],
) -> None:
    """Loss and gradient of two architectures in both ways; a run in each way, stopped in one process and gone on with;
    and a model for which there is no plan."""
    models = ("gpt_neox", "llama")
    jobs = [{"do": "numbers", "folder": str(tiny_folders[model]), "mode": mode} for model in models for mode in MODES]
    runs = {
        mode: settings(tmp_path / mode, parallel=mode, model=str(tiny_folders[model]), batch_size=5, micro_batch_size=2)
        for mode, model in zip(MODES, models, strict=True)
    }
    jobs += [job(config, 3) for config in runs.values()]
    found, text = in_parts([*jobs, {"do": "tried", "folder": str(tiny_folders["gpt2"]), "mode": "tensor"}])
    same = [[{**one, "held": None} for one in process[:4]] for process in found]
    assert same[0] == same[1]  # to the bit
    for model, each in zip(models, (slice(0, 2), slice(2, 4)), strict=True):
        one = numbers(str(tiny_folders[model]), "none")
        assert (one["packs"], one["fused"]) == (True, True)
        for process in found:
            for mode, here in zip(MODES, process[each], strict=True):
                is_like_one(here, one)
                assert here["held"] < 0.8 * one["held"], mode  # embedding and head are whole under fsdp
                assert (here["packs"], here["fused"]) == ((False, True) if mode == "fsdp" else (True, False))
    for mode, config in runs.items():
        whole = settings(tmp_path / f"whole-{mode}", model=config.model, batch_size=5)
        run(whole)
        is_the_same_run(config, whole, scalars_of)
        ended = [process[4 + MODES.index(mode)] for process in found]
        assert ended[0] == ended[1]
        assert "stopped after step 3" in ended[0]["said"]
        assert len(list(run_paths(config).events.iterdir())) == 1  # of one writer
    assert text.count("goes on after step 3") == 2
    assert text.count("fsdp over 2 processes") == text.count("tensor over 2 processes") == 2
    assert all(
        "transformers has no tensor plan for gpt2; give --parallel fsdp" in process[-1]["said"] for process in found
    )


def test_layers_on_each_device_of_one_process_are_the_whole_model(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path
) -> None:
    frozen = load_frozen_model(one_frozen.name, spread=Spread(parallel="pipeline", max_memory=("cpu=1GB",)))
    assert (frozen.parallel, frozen.in_step) == ("pipeline", False)
    whole, spread = (settings(tmp_path / mode, parallel=mode) for mode in ("none", "pipeline"))
    values = [run(config).metrics["test_loss"].value for config in (whole, spread)]
    assert values[0] == values[1]
    assert run_paths(whole).result.relative_to(tmp_path / "none") == run_paths(spread).result.relative_to(
        tmp_path / "pipeline"
    )
    written = [json.loads(run_paths(config).result.read_text())["config"] for config in (whole, spread)]
    assert [one.get("parallel") for one in written] == [None, "pipeline"]


def test_auto_leaves_a_model_whole_where_it_fits() -> None:
    auto, one, many = Spread(parallel="auto"), Machine(1, 4, 100), Machine(2, 2, 100)
    assert [mode_for(auto, size, one) for size in (0, 80, 81)] == ["none", "none", "pipeline"]
    assert [mode_for(auto, size, many) for size in (80, 81)] == ["none", "fsdp"]
    assert mode_for(auto, 10**12, Machine(1, 1, 100)) == "none"  # there is nowhere to go
    assert mode_for(auto, 10**12, Machine(2)) == "none"  # a CPU's memory is what there is
    assert [mode_for(Spread(), 10**12, few) for few in (one, many)] == ["none", "none"]  # only if it is asked
    assert mode_for(Spread("auto"), 0, one) == "pipeline"
    assert mode_for(Spread(parallel="tensor"), 0, many) == "tensor"


def test_what_does_not_go_together_is_said_in_one_line(
    settings: Settings, one_frozen: FrozenModel, tmp_path: Path, refused: Callable[..., Any]
) -> None:
    for mode in MODES:
        with refused(UsageError, f"parallel is {mode}", "several processes, and this is one", "--parallel pipeline"):
            run(settings(tmp_path, parallel=mode))
        assert not run_paths(settings(tmp_path)).result.exists()
        with refused(UsageError, f"parallel is {mode} and evidence standard", "--evidence none"):
            variant(DEFAULT, evidence="standard", parallel=mode)
        in_step = replace(one_frozen, parallel=mode)
        with refused(UsageError, "anchor:lora wants the model whole"):
            refuse_beside_runs(settings(tmp_path, role=Lora()), in_step)
        with refused(InputError, "it is quantised by bitsandbytes 4 bits", "give --parallel pipeline"):
            refuse_in_step(find_source(one_frozen.name), mode, "bitsandbytes 4 bits")
        with refused(UsageError, f"parallel is {mode} and device-map auto"):
            settings(tmp_path, parallel=mode, device_map="auto")
        with refused(UsageError, "max-memory is cpu=1GB", "--parallel pipeline"):
            settings(tmp_path, parallel=mode, max_memory=("cpu=1GB",))
    for spread in (Spread(parallel="pipeline"), Spread("auto")):
        with refused(UsageError, "pipeline is of one process"):
            mode_for(spread, 0, Machine(2))
    with refused(InputError, "a tensor plan takes a checkpoint as it is"):
        refuse_in_step(replace(find_source(one_frozen.name), adapters=(Part("adapter", "adapter"),)), "tensor", None)


@pytest.mark.slow
def test_three_processes_and_every_architecture(
    in_parts: Callable[..., Any], settings: Settings, tiny_folders: dict[str, Path], tmp_path: Path
) -> None:
    """Three processes have two, two and one of the samples; four heads cannot be shared by three."""
    jobs = [{"do": "numbers", "folder": str(folder), "mode": "fsdp"} for folder in tiny_folders.values()]
    jobs.append({"do": "tried", "folder": str(tiny_folders["llama"]), "mode": "tensor"})
    found, _ = in_parts(jobs, 3)
    for process in found:
        for folder, here in zip(tiny_folders.values(), process, strict=False):
            is_like_one(here, numbers(str(folder), "none"))
        assert "its num_attention_heads are 4, which 3 processes cannot share evenly" in process[-1]["said"]


@pytest.mark.slow
def test_architectures_in_parts_of_layers(in_parts: Callable[..., Any], tmp_path: Path) -> None:
    """Each in both ways, but for those without a plan, and the one whose rows of some lengths have to be apart."""
    folders = {kind: str(save_architecture(tmp_path / kind, kind)) for kind in (*PLANNED, *UNPLANNED)}
    jobs = [{"do": "tried", "folder": folder, "mode": mode} for folder in folders.values() for mode in MODES]
    found, _ = in_parts(jobs)
    for process in found:
        for (kind, folder), fsdp, tensor in zip(folders.items(), process[::2], process[1::2], strict=True):
            one = numbers(folder, "none")
            if kind == "phi3":
                assert "it takes rows up to 16 positions apart from longer ones" in fsdp["said"]
            else:
                is_like_one(fsdp, one)
            if kind in UNPLANNED:
                assert f"transformers has no tensor plan for {kind}; give --parallel fsdp" in tensor["said"]
            else:
                is_like_one(tensor, one)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_search_is_made_by_all_processes(
    in_parts: Callable[..., Any], settings: Settings, tmp_path: Path, mode: str, scalars_of: Callable[[Path], Any]
) -> None:
    changed = {"init": "search", "prompt": "direct", "condition": "none", "steps": 4}
    config, whole = settings(tmp_path / mode, parallel=mode, **changed), settings(tmp_path / "whole", **changed)
    in_parts([job(config, 0)])
    run(whole)
    is_the_same_run(config, whole, scalars_of)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_what_was_begun_in_parts_goes_on_whole(settings: Settings, tmp_path: Path, mode: str) -> None:
    """The command line under torchrun, whose launcher is told to stop; then the same command without it."""
    changed = {"steps": 300, "warmup_steps": 2, "learning_rate": 1e-2, "validate_every": 100, "checkpoint_every": 10}
    config = settings(tmp_path, **changed)
    command = ["-m", "tests.chess_test", "--models", config.model, "--tokens", "2", "--max-plies", str(PLIES)]
    small = ("data", "batch_size", "sample_tokens", "validation_samples", "test_samples", "max_bad", "data_workers")
    for name in (*changed, *small):
        command += [f"--{name.replace('_', '-')}", str(getattr(config, name))]
    around = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    launched = subprocess.Popen(
        [sys.executable, *launcher, *command, "--output-dir", "parts", "--parallel", mode], cwd=tmp_path, env=around
    )
    until = time.monotonic() + TIMEOUT
    while not list(tmp_path.glob("parts/snapshots/**/state/step-*")) and time.monotonic() < until:
        assert launched.poll() is None
        time.sleep(0.1)
    launched.send_signal(signal.SIGTERM)
    assert launched.wait(TIMEOUT) != 0
    found = {}
    for folder in ("parts", "whole"):
        arguments = [sys.executable, *command, "--output-dir", folder]
        ended = subprocess.run(arguments, cwd=tmp_path, env=around, text=True, capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert ("goes on after step" in ended.stderr) == (folder == "parts")
        [found[folder]] = tmp_path.glob(f"{folder}/results/**/*.json")
    assert found["parts"].relative_to(tmp_path / "parts") == found["whole"].relative_to(tmp_path / "whole")
    losses = [read_result(path).metrics["test_loss"].value for path in found.values()]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
