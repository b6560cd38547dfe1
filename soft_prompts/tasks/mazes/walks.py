"""How well does a model walk across boards by itself? Its walks, followed on the board, and what they are worth."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.data.conditions import PATH_QUALITY
from soft_prompts.data.mazes.boards import (
    MOVES,
    NO_MOVE,
    REACHED,
    START,
    UNREACHABLE,
    Walk,
    best_moves,
    distances,
    judge_walk,
    neighbours,
)
from soft_prompts.data.mazes.samples import Maze
from soft_prompts.results.metrics import share
from soft_prompts.results.schema import Generation, Metric
from soft_prompts.stats import paired
from soft_prompts.tasks.task import Complete, Query

SOLVED_BOTH = "moves/board solved both times"


class Attempt(NamedTuple):
    """A walk of the model's own."""

    maze: Maze
    query: Query
    reply: str
    walk: Walk
    sampled: bool


def attempt_walks(
    mazes: Sequence[Maze], queries: Sequence[Query], complete: Complete, most_tokens: int, sampled: bool
) -> list[Attempt]:
    """The model's walk on each board: greedy, or at temperature 1 from a fixed seed."""
    replies = complete(queries, most_tokens, temperature=1.0 if sampled else 0.0)
    return [
        Attempt(maze, query, reply, judge_walk(maze.cells, reply), sampled)
        for maze, query, reply in zip(mazes, queries, replies, strict=True)
    ]


def walk_metrics(attempts: Sequence[Attempt], hits_are_extra: bool) -> dict[str, Metric]:
    """What the walks are worth; a reply with anything but moves in it has failed, however it goes on."""
    solvable = [attempt for attempt in attempts if attempt.maze.reachable]
    beyond = [
        walk.moves - maze.shortest - (0 if hits_are_extra else walk.wall_hits)
        for maze, _, _, walk, _ in solvable
        if walk.solved
    ]
    called = [attempt.walk.called_unreachable for attempt in attempts if not attempt.maze.reachable]
    return {
        "solved_share": share([attempt.walk.solved for attempt in solvable], "share of solvable boards"),
        "false_calls": share([attempt.walk.called_unreachable for attempt in solvable], "share of solvable boards"),
        "unsolvable_called": share(called, "share of unsolvable boards"),
        "moves_beyond_shortest": _mean(beyond, "moves/solved board"),
        "wall_hits_per_walk": _mean([attempt.walk.wall_hits for attempt in solvable], "hits/solvable board"),
        "moves_per_walk": _mean([attempt.walk.moves for attempt in solvable], "moves/solvable board"),
    }


def moves_more(fewer: Sequence[Attempt], more: Sequence[Attempt]) -> Metric:
    """Moves of `more` minus those of `fewer` on the same solvable boards, solved or not."""
    pairs = [(one, other) for one, other in zip(fewer, more, strict=True) if one.maze.reachable]
    return _mean([other.walk.moves - one.walk.moves for one, other in pairs], "moves/solvable board")


def moves_more_where_solved(fewer: Sequence[Attempt], more: Sequence[Attempt]) -> Metric:
    """The same on the boards that both walks solved: a difference in failures is none of it."""
    pairs = [(one, other) for one, other in zip(fewer, more, strict=True) if one.walk.solved and other.walk.solved]
    return _mean([other.walk.moves - one.walk.moves for one, other in pairs], SOLVED_BOTH)


def as_generation(attempt: Attempt) -> Generation:
    """The walk beside a shortest path, for the result."""
    way = "sampled" if attempt.sampled else "greedy"
    return Generation(
        prompt=attempt.query.text,
        condition=f"{PATH_QUALITY.describe(attempt.query.conditions)} {way}".strip(),
        text=attempt.reply,
        reference=shortest_walk(attempt.maze.cells),
    )


def shortest_walk(cells: NDArray[np.int8]) -> str:
    """A shortest path and its end, `E E S D`; `U` where there is none."""
    best, leads_to = best_moves(distances(cells[None]))[0], neighbours(*cells.shape)
    place = int((cells.ravel() == START).argmax())
    if best[place] == NO_MOVE:
        return UNREACHABLE
    symbols: list[str] = []
    while best[place] != NO_MOVE:
        symbols.append(MOVES[best[place]])
        place = int(leads_to[place, best[place]])
    return " ".join([*symbols, REACHED])


def _mean(values: Sequence[int], unit: str) -> Metric:
    """Over boards that are all different."""
    numbers, boards = np.array(values, dtype=np.float64), np.arange(len(values))
    estimate = paired.ratio(numbers, np.ones_like(boards), boards)
    if estimate is None:
        return Metric(None, reason="no walk to measure", unit=unit)
    return Metric(estimate.value, estimate.stderr, estimate.items, unit)
