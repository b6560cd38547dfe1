"""What does a worker do with its piece of a sweep? What the same runs would do here: there is no other runner, and all
that stays of it lies in the runs' own files."""

import os
import pickle
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from soft_prompts.common.errors import InputError, Interrupted, UsageError
from soft_prompts.config import RunConfig
from soft_prompts.experiments.grid import Together
from soft_prompts.experiments.scale_out.pieces import Piece, Run
from soft_prompts.training.apparatus import run_paths


class Workplace(NamedTuple):
    """What a worker needs to know of the command that it works for."""

    command: str | None
    """None: it was started from Python."""
    folder: str
    """Where it was started: what a file or a model is called by counts from there."""
    search: Sequence[str]
    """Where Python looks for modules."""
    threads: int = 1
    together: Together = "auto"


class Parcel(NamedTuple):
    """A piece on its way; opened where its modules can be found."""

    workplace: Workplace
    piece: bytes


class Missed(NamedTuple):
    """Runs that ended without a result, in words alone, for it travels back."""

    results: Sequence[Path]
    """Where each result would be."""
    reason: str
    exit_code: int
    evidence: bool = False
    """It is what stands beside runs that is missing."""


def packed(piece: Piece, workplace: Workplace) -> Parcel:
    """The piece, to be sent."""
    return Parcel(workplace, pickle.dumps(piece))  # between processes of one user; nothing from a file is unpickled


def make(parcel: Parcel) -> list[Missed]:
    """Every run of the piece to its result; returns those that have none. Raises Interrupted when told to stop."""
    workplace = parcel.workplace
    try:
        os.chdir(workplace.folder)
    except OSError as error:
        raise InputError(
            f"{workplace.folder} is not on {os.uname().nodename}: {error.strerror}; start from a folder that all share"
        ) from error
    sys.path.extend(place for place in workplace.search if place not in sys.path)
    piece: Piece = pickle.loads(parcel.piece)
    import torch

    torch.set_num_threads(workplace.threads)
    return make_piece(piece, workplace)


def make_piece(piece: Piece, workplace: Workplace, jobs: int = 1) -> list[Missed]:
    """In this process, or in so many: lessons and runs, or what stands beside runs. Raises Interrupted."""
    from soft_prompts.common.command_line import made_by
    from soft_prompts.common.console import each_line_once
    from soft_prompts.common.machine import keep_freed_memory
    from soft_prompts.experiments.sweep import Lost, run_all

    keep_freed_memory()
    lost: list[Lost] = []
    typed = nullcontext() if workplace.command is None else made_by(workplace.command, ())
    with typed, each_line_once():
        if piece.beside is not None:
            return _make_beside(piece, jobs, workplace.together)
        missed, configs = _taught(piece.runs, jobs)
        run_all(configs, jobs, workplace.together, lost)
    return missed + [_missed(one.configs, one.reason, one.exit_code) for one in lost]


def _make_beside(piece: Piece, jobs: int, together: Together) -> list[Missed]:
    from soft_prompts.experiments.beside import Sharing, make_beside

    assert piece.beside is not None
    try:
        made = make_beside([run.made for run in piece.runs], piece.beside, Sharing(jobs, together))
        return [Missed([], failure, 1, evidence=True) for failure in made.failures]
    except Interrupted:
        raise
    except Exception as error:
        return [_why_missed([], error)._replace(evidence=True)]


def _taught(runs: Sequence[Run], jobs: int) -> tuple[list[Missed], list[RunConfig]]:
    """The runs on models that had their lessons; where a lesson cannot be given, those of the others."""
    from soft_prompts.finetuning.stages import after_lessons

    try:
        return [], after_lessons([run.asked for run in runs], jobs)
    except (UsageError, InputError):  # of which, the lessons one by one say
        missed, taught = list[Missed](), list[RunConfig]()
    by_model: dict[str, list[Run]] = {}
    for run in runs:
        by_model.setdefault(run.made.model, []).append(run)
    for some in by_model.values():
        try:
            taught += after_lessons([run.asked for run in some], jobs)
        except (UsageError, InputError) as error:
            missed.append(_why_missed([run.made for run in some], error))
    return missed, taught


def _why_missed(configs: Sequence[RunConfig], error: Exception) -> Missed:
    code, text = getattr(error, "exit_code", None), " ".join(str(error).split())
    return _missed(configs, text if code is not None else f"{type(error).__name__}: {text}", code or 1)


def _missed(configs: Sequence[RunConfig], reason: str, exit_code: int) -> Missed:
    return Missed([run_paths(config).result for config in configs], reason, exit_code)
