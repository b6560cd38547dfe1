"""Do nodes that share nothing but a URL make each run once, to the same bytes, and go on where another one died?

By default the store is a folder that answers badly. `STORE_URL=s3://bucket python -m pytest ...` asks a real one.
"""

import json
import os
import secrets
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.commands.main import main
from soft_prompts.common.cache import VARIABLE
from soft_prompts.common.errors import UsageError
from soft_prompts.config import RunConfig
from soft_prompts.experiments import sweep
from soft_prompts.experiments.scale_out.file import Asked
from soft_prompts.experiments.scale_out.run_sweep import Way, run_sweep
from soft_prompts.experiments.sweep import run_all
from soft_prompts.results import claims, store
from soft_prompts.results.files import read_result
from soft_prompts.results.shared import shared_of
from soft_prompts.training import record, resume
from soft_prompts.training.apparatus import run_paths
from tests.checks.made.disturbances import at_step
from tests.checks.made.hostile_store import register

Settings = Callable[..., RunConfig]
Enter = Callable[[str], Callable[[], None]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where output goes."""
    register()
    monkeypatch.setattr(store, "PAUSE", 0.0)
    monkeypatch.setattr(resume, "CLAIM_POLL_SECONDS", 0.05)
    url = os.environ.get("STORE_URL", f"hostile:/{tmp_path}/bucket")
    return Path(f"{url}/{secrets.token_hex(4)}")


@pytest.fixture
def enter(tmp_path: Path) -> Enter:
    """From then on this process is on that node: its cache is another one."""
    return lambda name: lambda: os.environ.update({VARIABLE: str(tmp_path / name)})


@pytest.fixture(autouse=True)
def on_no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "here"))


def objects(config: RunConfig) -> list[str]:
    """Names of all that lies behind the URL."""
    shared = shared_of(run_paths(config).result)
    assert shared is not None
    return sorted(shared.store.names())


@pytest.mark.parametrize("step", [5, pytest.param(8, marks=pytest.mark.faults)])
def test_a_killed_run_goes_on_on_another_node(
    step: int,
    place: Path,
    enter: Enter,
    harness: Any,
    whole: Any,
    read_outputs: Any,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed between two states, and after the last one; the other node waits until the claim has expired."""
    monkeypatch.setattr(claims, "BEAT", 0.1)
    monkeypatch.setattr(claims, "EXPIRES", 1.5)
    config = settings(place)

    def on_first_node() -> None:
        enter("a")()
        at_step(step, lambda: os.kill(os.getpid(), signal.SIGKILL))()

    assert harness.run(config, before=on_first_node).code == -signal.SIGKILL
    ended = harness.run(config, before=enter("b"))
    assert ended.code == 0, ended.text
    assert "waiting for process" in ended.text
    assert step == 8 or "goes on after step 4" in ended.text  # after the last step there is none to take
    enter("b")()
    outputs = read_outputs(config)
    assert outputs[:4] == whole.outputs[:4]  # result, items, prompt, snapshot; curves stay where they were drawn
    run = run_paths(config).result.relative_to(config.folder / "results").with_suffix("")
    files = [f"results/{run}.items.safetensors", f"results/{run}.json"]
    assert objects(config) == [*files, f"snapshots/{run}/prompt.json", f"snapshots/{run}/prompt.safetensors"]
    told = json.loads(run_paths(config).result.read_text())["config"]["output_dir"]
    assert told.startswith(os.environ.get("STORE_URL", "hostile://"))
    again = harness.run(replace(config, fresh=step == 8), before=enter("c"))  # a third node, with and without --fresh
    assert (again.code, "finished before" in again.text) == (0, step == 5)
    enter("c")()
    if step == 5:  # --fresh is told among the settings
        assert read_outputs(config)[:4] == outputs[:4]
    assert len(objects(config)) == 4


def test_a_sweep_on_two_nodes_makes_each_run_once(
    place: Path, enter: Enter, settings: Settings, tmp_path: Path, read_outputs: Any
) -> None:
    """Neither waits while there are runs that nobody is at; at the end both have all results."""
    configs = [settings(place, steps=2, tokens=1, seed=seed) for seed in range(3)] + [settings(place, tokens=0)]
    children, made = [], tmp_path / "made"
    for name in "ab":
        if (child := os.fork()) == 0:
            code = 1
            try:
                enter(name)()
                real = record.write_result

                def write(path: Path, *rest: Any, real: Any = real) -> Any:
                    with made.open("a") as file:
                        file.write(f"{path.name}\n")
                    return real(path, *rest)

                record.write_result = write
                account = run_sweep([Asked(configs)], Way(together="off"))
                code = 0 if account.finished == len(configs) else 3
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert sorted(made.read_text().split()) == sorted(run_paths(config).result.name for config in configs)
    found = []
    for name in "ab":
        enter(name)()
        found.append([read_outputs(config)[:4] for config in configs])
    assert found[0] == found[1]
    assert not any("claim" in name or "state" in name for name in objects(configs[0]))


def test_runs_that_another_node_is_at_come_last(
    place: Path, settings: Settings, enter: Enter, monkeypatch: Any
) -> None:
    configs, order = [settings(place, steps=2, tokens=1, seed=seed) for seed in range(3)], list[int]()
    enter("b")()
    other = shared_of(run_paths(configs[0]).result)
    assert other is not None
    run = other.name(run_paths(configs[0]).snapshot)
    assert other.claims.take(run) is None
    enter("a")()

    def made(some: Any, **_: Any) -> list[Any]:
        order.extend(config.seed for config in some)
        return []

    monkeypatch.setattr(sweep, "run_together", made)
    monkeypatch.setattr(sweep, "_failures", lambda *_: [])
    run_all(configs, together="off")
    other.claims.release(run)
    assert order == [1, 2, 0]


def test_a_state_that_cannot_be_shared_is_said(
    place: Path, settings: Settings, harness: Any, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on: its work is worth more than a copy of it."""
    real = store.Store.put

    def put(self: Any, name: str, payload: bytes) -> None:
        if "/state/" in name:
            raise store.InputError("the store is silent")
        real(self, name, payload)

    monkeypatch.setattr(store.Store, "put", put)
    config = settings(place)
    ended = harness.run(config, before=enter("a"))
    assert (ended.code, ended.text.count("is kept on this machine alone: the store is silent")) == (0, 4)
    enter("a")()
    assert read_result(run_paths(config).result).status == "success"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("run completion --preset quick --output-dir nope://x/y", "nope is no protocol of fsspec"),
        ("run completion --preset quick --snapshot s3://x/y", "--snapshot is s3://x/y, and takes no URL"),
        ("run guidance_softprompt --preset quick --output-dir memory://x", "trains models, which are kept on a disk"),
        ("calibrate tiny-text --output-dir s3://x/y", "--output-dir is s3://x/y, and takes no URL"),
        ("generate s3://x/y --text a", "is s3://x/y, and takes no URL"),
        ("report results --out s3://x/y.html", "--out is s3://x/y.html, and takes no URL"),
        ("compare nope://x/y", "nope is no protocol of fsspec"),
        ("sweep {file} --on slurm --output-dir memory://x", "and on slurm, whose workers share a folder"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(words: str, line: str, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("- {experiment: completion, preset: quick, evidence: none}")
    with pytest.raises(SystemExit) as stop:
        main(words.format(file=file).split())
    said = capsys.readouterr().err
    assert (stop.value.code, said.count("\n")) == (UsageError.exit_code, 1)
    assert line in said
