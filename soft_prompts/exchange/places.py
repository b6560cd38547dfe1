"""Which trained prompt is meant? A snapshot is named by its own folder, the result of its run, or the run's events."""

from pathlib import Path

from soft_prompts.common.errors import InputError
from soft_prompts.results.files import read_result

SHOWN = 3  # prompts that are named where a folder holds several
HOLDS = "prompt.json"  # the file that makes a folder a snapshot


def find_snapshot(named: Path) -> Path:
    """The folder of the trained prompt that a path names; raises InputError where it names none, or several."""
    if named.is_file() and named.suffix == ".json" and named.name != HOLDS:
        return _of_result(named)
    folder = named.parent if named.name == HOLDS else named
    if (folder / HOLDS).is_file():
        return folder
    if not folder.is_dir():
        raise InputError(f"{named} does not exist; give the folder of a trained prompt, or the result of its run")
    twin = _twin(folder, "runs", "snapshots")
    if twin is not None and (twin / HOLDS).is_file():
        return twin
    below = sorted(path.parent for path in folder.glob(f"**/{HOLDS}"))
    if below:
        some = ", ".join(map(str, below[:SHOWN])) + (", ..." if len(below) > SHOWN else "")
        raise InputError(f"{named} holds {len(below)} trained prompts; give one of them: {some}")
    raise InputError(f"{named} holds no trained prompt; give a folder below snapshots/, or the result of its run")


def refuse_full(folder: Path) -> None:
    """Raise InputError where something is there already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; give a new folder")


def prefix_of(snapshot: Path) -> str:
    """What the texts of the prompt's own run began with, where its result lies beside it and says so."""
    twin = _twin(snapshot, "snapshots", "results")
    result = None if twin is None else twin.with_name(f"{twin.name}.json")
    if result is None or not result.is_file():
        return ""
    task = read_result(result).config.get("task")
    return str(task.get("prefix") or "") if isinstance(task, dict) else ""


def _of_result(path: Path) -> Path:
    result = read_result(path)
    if result.prompt.tokens == 0:
        raise InputError(f"{path} is of the bare model, which has no prompt; give the result of a run with tokens")
    twin = _twin(path.with_suffix(""), "results", "snapshots")
    if twin is None or not (twin / HOLDS).is_file():
        where = "beside it" if twin is None else f"at {twin}"
        raise InputError(f"{path}: its trained prompt is not {where}; give the prompt's own folder, or run it again")
    return twin


def _twin(path: Path, here: str, there: str) -> Path | None:
    """The same run's path under another of the three folders."""
    parts = path.parts
    if here not in parts:
        return None
    place = len(parts) - 1 - parts[::-1].index(here)
    return Path(*parts[:place], there, *parts[place + 1 :])
