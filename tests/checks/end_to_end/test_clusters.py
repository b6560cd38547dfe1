"""Two nodes of a Ray cluster on one machine: one is killed in the middle, then the head. Is every run finished, once,
to the bytes of a run here?"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.config import RunConfig, as_json
from soft_prompts.experiments.sweep import run_all
from soft_prompts.training.apparatus import run_paths
from tests.checks.made.disturbances import Record, count_fault

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
ROOM = {"num_cpus": 1, "object_store_memory": 80_000_000}
pytestmark = [pytest.mark.faults]


@contextmanager
def two_nodes() -> Iterator[Any]:
    """A head that makes nothing, and two nodes of one CPU."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80_000_000}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            cluster.add_node(**ROOM)
        yield cluster
    finally:
        cluster.shutdown()


def started(path: Path, address: str, log: Path) -> subprocess.Popen[bytes]:
    words = ["sweep", str(path), "--on", "ray", "--address", address, "--together", "off", "--runs-a-piece", "10"]
    with log.open("ab") as stream:
        return subprocess.Popen([sys.executable, "-m", "soft_prompts", *words], stderr=stream, stdout=stream)


def wait_for(results: Callable[[], int], count: int, going: subprocess.Popen[bytes], limit: float = 1800) -> None:
    until = time.monotonic() + limit
    while results() < count:
        assert going.poll() is None, "the command ended early"
        assert time.monotonic() < until, f"{results()} of {count} results"
        time.sleep(0.5)


def test_a_node_and_the_head_die(
    settings: Callable[..., RunConfig],
    tiny_folders: dict[str, Path],
    tmp_path: Path,
    read_outputs: Callable[[RunConfig], Any],
    record_property: Record,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("ray")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    many = int(os.environ.get("SWEEP_RUNS", "200"))
    base = settings(tmp_path / "swept", steps=4, validation_samples=2, test_samples=4)
    configs = [
        replace(base, model=str(tiny_folders[model]), tokens=tokens, seed=seed)
        for model in ("gpt_neox", "llama")
        for tokens in (1, 2)
        for seed in range(many // 4)
    ]
    path, log = tmp_path / "sweep.json", tmp_path / "log"
    path.write_text(json.dumps([as_json(config) for config in configs]))

    paths = [run_paths(config).result for config in configs]

    def results() -> int:
        return sum(result.is_file() for result in paths)

    with two_nodes() as cluster:
        going = started(path, cluster.address, log)
        wait_for(results, many // 8, going)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        wait_for(results, many // 5, going)
        cluster.remove_node(cluster.head_node, allow_graceful=False)
        assert going.wait(120) == 4, log.read_text()  # the node that is left goes on with what it has
    before = results()
    assert before < many, log.read_text()
    stamps = {result: result.stat().st_mtime_ns for result in paths if result.is_file()}
    with two_nodes() as cluster:
        again = started(path, cluster.address, log)
        assert again.wait(1800) == 0, log.read_text()
    text = log.read_text()
    assert "the cluster's head is lost; the same command goes on" in text
    assert "a worker died" in text
    assert f"sweep: {many} of {many} runs have a result, {many - before} of them new" in text
    assert "Traceback" not in text
    assert all(result.stat().st_mtime_ns == stamp for result, stamp in stamps.items())
    found = [*(tmp_path / "swept" / "results").rglob("*.json")]
    assert len(found) == len(set(found)) == many
    alone = [replace(config, output_dir=tmp_path / "alone") for config in configs]
    run_all(alone, together="off")
    outcomes = [read_outputs(one) == read_outputs(other) for one, other in zip(configs, alone, strict=True)]
    print(text)
    count_fault(record_property, "Ray: a node killed, the head restarted", outcomes)
