"""One sweep, from its file to an account of what became of its runs: here, on a Ray cluster, or on Slurm."""

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from soft_prompts.common.console import say
from soft_prompts.common.machine import threads_for
from soft_prompts.common.signals import stop_signals
from soft_prompts.experiments.grid import Together
from soft_prompts.experiments.groups import fetch_results
from soft_prompts.experiments.scale_out.account import Account, account, has_result
from soft_prompts.experiments.scale_out.file import Asked
from soft_prompts.experiments.scale_out.hands import AT_ONCE, Hands, Limits, hand_out
from soft_prompts.experiments.scale_out.pieces import RUNS_A_PIECE, Piece, Run, pieces_beside, pieces_of, runs_of
from soft_prompts.experiments.scale_out.ray_tasks import RayHands, Share
from soft_prompts.experiments.scale_out.slurm_jobs import Job, SlurmHands
from soft_prompts.experiments.scale_out.work import Missed, Workplace, make_piece
from soft_prompts.training.apparatus import run_paths

RUNS_TO_READ = 1000  # of one model in a piece, where no model is loaded
On = Literal["local", "ray", "slurm"]


@dataclass(frozen=True)
class Way:
    """Where runs are made, and with how much."""

    on: On = "local"
    jobs: int = 1
    together: Together = "auto"
    address: str | None = None
    cpus: int = 1
    gpus: float = 0.0
    memory: float | None = None
    runs_a_piece: int = RUNS_A_PIECE
    tries: int = 3
    at_once: int = AT_ONCE
    minutes: int = 240
    partition: str | None = None


def run_sweep(asked: Sequence[Asked], way: Way, command: str | None = None) -> Account:
    """Every run of the file, and what its grids want beside them. Raises Interrupted when stopped: the same goes on."""
    began, runs = time.time(), runs_of(asked)
    fetch_results([run.made for run in runs])
    there = [run for run in runs if has_result(run)]
    say(f"sweep: {len(runs)} runs of {len({run.made.model for run in runs})} models, {len(there)} there already")
    threads = threads_for(way.jobs) if way.on == "local" else way.cpus
    workplace = Workplace(command, str(Path.cwd()), [*sys.path], threads, way.together)
    missed = _made(_pieces(runs, there, way), way, workplace)
    whole, lacking = _with_all_runs(pieces_beside(asked), missed)
    missed = [*missed, *lacking, *_made(whole, way, workplace)]
    return account(runs, missed, {run_paths(run.made).result for run in there}, time.time() - began)


def _pieces(runs: Sequence[Run], there: Sequence[Run], way: Way) -> list[Piece]:
    """All runs; for workers elsewhere those that are there, which are looked at alone, apart."""
    if way.on == "local":
        return [Piece(runs)]
    read = {id(run) for run in there}
    return pieces_of([run for run in runs if id(run) not in read], way.runs_a_piece) + pieces_of(there, RUNS_TO_READ)


def _with_all_runs(pieces: Sequence[Piece], missed: Sequence[Missed]) -> tuple[list[Piece], list[Missed]]:
    """The pieces whose runs all have a result, for evidence is made beside no others; and these."""
    codes = {path: one.exit_code for one in missed for path in one.results}
    whole, lacking = list[Piece](), list[Missed]()
    for piece in pieces:
        paths = [run_paths(run.made).result for run in piece.runs]
        if without := [path for path in paths if path in codes or not path.is_file()]:
            lacking.append(Missed([], "runs are missing", codes.get(without[0], 1), evidence=True))
        else:
            whole.append(piece)
    return whole, lacking


def _made(pieces: Sequence[Piece], way: Way, workplace: Workplace) -> list[Missed]:
    if way.on == "local":
        return [one for piece in pieces for one in make_piece(piece, workplace, way.jobs)]
    if not pieces:
        return []
    hands = _hands(way, pieces[0].runs[0].made.output_dir)
    with stop_signals():
        return hand_out(pieces, hands, workplace, Limits(way.tries, way.at_once))


def _hands(way: Way, output_dir: Path) -> Hands:
    if way.on == "ray":
        return RayHands(way.address, Share(way.cpus, way.gpus, way.memory))
    return SlurmHands(output_dir, Job(way.cpus, math.ceil(way.gpus), way.memory, way.minutes, way.partition))
