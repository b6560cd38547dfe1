"""Does a broken result stand in the way of its own run alone?"""

from pathlib import Path

import pytest

from soft_prompts.config import RunConfig
from soft_prompts.experiments import sweep
from soft_prompts.results.files import read_result
from soft_prompts.results.schema import Result
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.training.apparatus import run_paths
from tests.checks.made.results import build_result


def test_a_broken_result_is_named_and_the_other_runs_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [
        RunConfig(CompletionTask(), "tiny-text", tokens, prompt="direct", data="sums", output_dir=tmp_path)
        for tokens in (0, 1, 2)
    ]
    broken = run_paths(configs[0]).result
    broken.parent.mkdir(parents=True)
    broken.write_text('{"schema_version": 1, "sta')
    reached: list[int] = []

    def run_together(some: list[RunConfig], turn: object) -> list[Result]:
        reached.extend(config.tokens for config in some)
        if configs[0] in some:
            read_result(run_paths(configs[0]).result)
        return [build_result() for _ in some]

    monkeypatch.setattr(sweep, "run_together", run_together)
    monkeypatch.setattr(sweep, "refuse_long_prompts", lambda _: None)
    [line] = sweep.run_all(configs)
    assert reached == [0, 1, 2]
    assert line.startswith(f"{broken}: broken or truncated JSON")
    assert line.endswith("; remove it, and the same command makes it again")
