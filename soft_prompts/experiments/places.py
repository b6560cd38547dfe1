"""Are the places there that a command line names? Looked at before torch is loaded, which takes seconds."""

import glob
import json
import os
from contextlib import suppress
from pathlib import Path

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.common.files import refuse_unwritable
from soft_prompts.common.urls import on_disk, url_of
from soft_prompts.experiments.grid import Grid, TaskT
from soft_prompts.results.store import open_store
from soft_prompts.tasks.lesson import LessonTask

SUFFIXES = (".pgn", ".zst", ".gz", ".txt", ".md", ".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gguf", ".yaml")


def refuse_missing_places(grid: Grid[TaskT]) -> None:
    """Raises InputError for a model, data or an output folder that cannot be there; what may be a name passes."""
    test_data = () if grid.settings.test_data is None else (grid.settings.test_data,)
    named = {"--models": grid.models, "--data": grid.data, "--test-data": test_data}
    for flag, names in named.items():
        for name in names:
            if not all(map(_may_be_there, [name] if glob.glob(glob.escape(name)) else _parts(flag, name))):
                raise InputError(f"{flag}: {name} does not exist; give a file or folder that does, or an embedded name")
    refuse_unusable(grid.settings.output_dir)
    if isinstance(grid.task, LessonTask) and (url := url_of(grid.settings.output_dir)) is not None:
        raise UsageError(
            f"--output-dir is {url}: {grid.task.name} trains models, which are kept on a disk; give a folder"
        )
    if grid.settings.snapshot is not None:
        _refuse_other_counts(grid, grid.settings.snapshot)


def refuse_unusable(output_dir: Path) -> None:
    """Raises InputError for a folder that cannot be written to, UsageError for a URL that cannot."""
    if (url := url_of(output_dir)) is not None:
        open_store(url)
    refuse_unwritable(on_disk(output_dir))


def _refuse_other_counts(grid: Grid[TaskT], snapshot: Path) -> None:
    """A trained prompt has one number of tokens; whatever else is wrong with it is said where it is loaded."""
    if not (facts := snapshot / "prompt.json").is_file():
        raise InputError(f"--snapshot: {snapshot} is no snapshot: prompt.json is missing; give a folder that holds one")
    tokens = None
    with suppress(ValueError, TypeError, KeyError):
        tokens = json.loads(facts.read_bytes())["shape"]["tokens"]
    if isinstance(tokens, int) and {*grid.tokens} - {0, tokens}:
        counts = " ".join(map(str, grid.tokens))
        raise UsageError(f"--tokens is {counts}, but {snapshot} is a prompt of {tokens}; give --tokens 0 {tokens}")


def _parts(flag: str, name: str) -> list[str]:
    """A model may be a base and adapters, each in a folder's subfolder."""
    return [part.partition(":")[0] for part in name.split("+")] if flag == "--models" else [name]


def _may_be_there(name: str) -> bool:
    return not _is_path(name) or bool(glob.glob(glob.escape(name) + "*"))  # a data set may be the prefix of its files


def may_be_a_hubs(name: str | None) -> bool:
    """Whether it reads as `owner/name`, and nothing here does."""
    if name is None or name.count("/") != 1 or name.startswith("~") or _is_path(name):
        return False
    return not Path(name).parent.is_dir()


def _is_path(name: str) -> bool:
    """Whether it can be nothing but a path; `owner/name` may be a hub id."""
    beneath = name.startswith((f".{os.sep}", f"..{os.sep}"))
    return Path(name).is_absolute() or beneath or Path(name).suffix.lower() in SUFFIXES
