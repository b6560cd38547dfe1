"""Short fine-tunings, each in a folder of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from soft_prompts.finetuning.fine_tuning import FineTuning
from soft_prompts.tasks.lesson import Lesson
from tests.checks.made.fine_tunings import FAST, LINES, Plan


@pytest.fixture
def plan(tmp_path: Path, tiny_folders: dict[str, Path]) -> Plan:
    """A short fine-tuning in a folder of its own; settings of the lesson by name."""
    documents = tmp_path / "documents.jsonl"
    documents.write_text("".join(json.dumps(line) + "\n" for line in LINES))

    def make(architecture: str = "gpt_neox", output: str = "out", **lesson: Any) -> FineTuning:
        settings = {"rule": FAST, "epochs": 2, "batch_size": 4, "shuffled": True} | lesson
        return FineTuning(
            model=str(tiny_folders[architecture]),
            lesson=Lesson(documents, **settings),
            output_dir=tmp_path / output,
            checkpoint_every=2,
        )

    return make
