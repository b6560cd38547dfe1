"""Which runs of a sweep go to one worker? Those of one model, so that it is loaded once and many prompts can take their
steps together."""

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from soft_prompts.config import RunConfig
from soft_prompts.experiments.grid import Grid
from soft_prompts.experiments.scale_out.file import Asked
from soft_prompts.finetuning.stages import on_taught_models
from soft_prompts.training.apparatus import run_paths
from soft_prompts.training.sources import source_folder

RUNS_A_PIECE = 16  # as many as may take their steps together


class Run(NamedTuple):
    """A run of a sweep."""

    asked: RunConfig
    """On the model that the file names."""
    made: RunConfig
    """On the model that had its lesson; the same where its task gives none."""


class Piece(NamedTuple):
    """What one worker makes: runs of one model, or what stands beside runs that are there."""

    runs: Sequence[Run]
    beside: Grid | None = None


def runs_of(asked: Sequence[Asked]) -> list[Run]:
    """Every run once, model by model, in the order in which they are asked for."""
    configs = [config for one in asked for config in one.configs]
    found = {run_paths(run.made).result: run for run in map(Run, configs, on_taught_models(configs))}
    by_model: dict[Hashable, list[Run]] = {}
    for run in found.values():
        by_model.setdefault(_model(run), []).append(run)
    return [run for runs in by_model.values() for run in runs]


def pieces_of(runs: Sequence[Run], most: int = RUNS_A_PIECE) -> list[Piece]:
    """At most so many runs each; of a model whose runs begin from each other's prompts all."""
    by_model: dict[Hashable, list[Run]] = {}
    for run in runs:
        by_model.setdefault(_model(run), []).append(run)
    return [Piece(part) for several in by_model.values() for part in _divided(several, most)]


def pieces_beside(asked: Sequence[Asked]) -> list[Piece]:
    """What is made beside a grid's runs when these are finished: model by model, each with the grid's reference."""
    found = []
    for one in asked:
        if one.grid is None or one.grid.evidence == "none":
            continue
        runs = list(map(Run, one.configs, on_taught_models(one.configs)))
        for model in dict.fromkeys(config.model for config in one.configs):
            some = [run for run in runs if run.asked.model in (model, one.grid.reference)]
            found.append(Piece(some, one.grid))
    return found


def _model(run: Run) -> Hashable:
    return run.made.model, run.made.revision, run.made.dtype, run.made.device


def _divided(runs: Sequence[Run], most: int) -> Iterator[Sequence[Run]]:
    there = {run_paths(run.made).snapshot for run in runs}
    if any(source_folder(run.made) in there for run in runs):
        yield runs
        return
    count = -(-len(runs) // most)
    size = -(-len(runs) // count)
    yield from (runs[first : first + size] for first in range(0, len(runs), size))
