"""Every task with data of its own, small enough for a check."""

import json
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from soft_prompts.calibration.organism_world import pairs, samples_of
from soft_prompts.data.known_samples import write_known_samples
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.tasks.guidance.task import GuidanceTask
from soft_prompts.tasks.mazes.pathfinding import PathfindingTask
from soft_prompts.tasks.registry import TASKS
from soft_prompts.tasks.task import DataRequest, Task, TaskData
from tests.benchmarks.random_games import headers, movetext, pgn, random_line

Opened = tuple[Task, DataRequest, TaskData]


def open_small(name: str, folder: Path, tokenizer: PreTrainedTokenizerBase) -> Opened:
    """A task with data of its own, small enough for a check."""
    if name == "chess":
        lines = [movetext(random_line(seed, 6).san) for seed in range(150)]
        (folder / "games.pgn").write_bytes(b"".join(pgn(line, headers()) for line in lines))
        task, data = TASKS[name](), str(folder / "games.pgn")
    elif name in ("autoregressive", "chat_detuning", "repetition", "skip_tokens"):
        rows = [json.dumps({"text": f"text {number} of some length, " * 20}) for number in range(100)]
        (folder / "texts.jsonl").write_text("\n".join(rows))
        task, data = TASKS[name]().each()[-1], str(folder / "texts.jsonl")
    elif name == "completion":
        task, data = CompletionTask(condition_fields=("larger",)), "sums"
    elif name in ("known_source", "self_planted"):
        samples = samples_of(pairs(0), "a table")
        write_known_samples(folder / "table.safetensors", samples)
        task, data = TASKS[name](), str(folder / "table.safetensors")
    elif name == "guidance_softprompt":
        rows = [json.dumps({"anchor": f"what is {number}?", "targets": [f"it is {number}"]}) for number in range(40)]
        (folder / "rows.jsonl").write_text("\n".join(rows))
        task, data = GuidanceTask(realized=30, unrealized=6), str(folder / "rows.jsonl")
    elif name == "pathfinding":
        task, data = PathfindingTask(board="4x4"), "mazes"
    else:
        raise AssertionError(f"open_small has no data for the task {name}; give it some")
    request = DataRequest(data, None, sample_tokens=200, validation_samples=5, test_samples=6)
    return task, request, task.open(request, tokenizer)
