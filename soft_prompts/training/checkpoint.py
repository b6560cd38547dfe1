"""How does a run go on after a kill, a full disk or a flipped bit, as if nothing had happened?

A state is a folder `step-N` with tensors, facts and a manifest of their sha256, written beside its place, synced, and
renamed: it is there whole or not at all. The last two are kept; the reader takes the newest that verifies. No pickle
anywhere.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from soft_prompts.common.files import sync, writing_to

KEPT = 2


FILES = ("state.safetensors", "state.json")


UNUSABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)  # a broken state


class State(NamedTuple):
    """What a run needs to go on from the end of a step."""

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    """JSON: position in the data, best loss so far, counters, and the settings it belongs to."""


def publish(folder: Path, state: State) -> None:
    """Make `state` the newest in `folder`; older ones go only when it stands. Raises OutOfRoom on a full disk.

    A whole state of the same step and settings is left as it is: it holds the same.
    """
    target, temporary = folder / f"step-{state.step}", folder / f".tmp-step-{state.step}-{os.getpid()}"
    if target.exists() and _is_of(target, state.facts.get("identity")):
        return
    with writing_to(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            save_file({name: tensor.contiguous() for name, tensor in state.tensors.items()}, temporary / FILES[0])
            (temporary / FILES[1]).write_text(json.dumps({"step": state.step, **state.facts}))
            manifest = {name: _sync_and_hash(temporary / name) for name in FILES}
            (temporary / "manifest.json").write_text(json.dumps(manifest))
            _sync_and_hash(temporary / "manifest.json")
            sync(temporary)
            if target.exists():  # damaged since it was written, or of other settings
                shutil.rmtree(target)
            temporary.rename(target)
            sync(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    for old in _steps(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def newest(folder: Path) -> tuple[State | None, list[str]]:
    """The newest state that verifies, or None, and a line for each newer one that does not."""
    problems = []
    for candidate in _steps(folder):
        try:
            return _read(candidate), problems
        except UNUSABLE as error:
            why = f"{Path(error.filename).name} is missing" if isinstance(error, FileNotFoundError) else str(error)
            problems.append(f"{candidate} is damaged ({why}); the state before it is used")
    return None, problems


def sweep(folder: Path) -> None:
    """Remove what a killed writer left; call with the run's lock held."""
    for stale in folder.glob(".tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)


def forget(folder: Path) -> None:
    """Remove every state; what cannot be removed stays, and is swept another time."""
    for number, state in enumerate(_steps(folder)):  # the newest first: what is left is older, never newer
        with suppress(OSError):
            shutil.rmtree(state.rename(folder / f".tmp-forgotten-{number}"), ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()


def training_tensors(
    prompt: torch.nn.Module, best: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """Prompt, best prompt so far and Adam's moments under flat names."""
    tensors = {f"prompt.{name}": value for name, value in prompt.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    return {name: tensor.detach().cpu() for name, tensor in tensors.items()}


def restore_training(
    tensors: Mapping[str, Tensor], prompt: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """Put the tensors back where `training_tensors` took them from; returns the best prompt so far."""
    prompt.load_state_dict(_under("prompt.", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under("adam.", tensors).items():
        index, moment = name.split(".", 1)
        state.setdefault(int(index), {})[moment] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return _under("best.", tensors)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _steps(folder: Path) -> list[Path]:
    """State folders, newest first."""
    found = [path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdigit()]
    return sorted(found, key=lambda path: -int(path.name.removeprefix("step-")))


def _read(folder: Path) -> State:
    manifest = json.loads((folder / "manifest.json").read_text())
    if set(manifest) != set(FILES):
        raise ValueError("its manifest names other files")
    for name, expected in manifest.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            raise ValueError(f"{name} is not what was written")
    facts = json.loads((folder / FILES[1]).read_text())
    return State(facts.pop("step"), load_file(folder / FILES[0]), facts)


def _is_of(folder: Path, identity: object) -> bool:
    """Is a whole state of these settings there?"""
    try:
        return _read(folder).facts.get("identity") == identity
    except UNUSABLE:
        return False


def _sync_and_hash(path: Path) -> str:
    sync(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()
