"""What is one sample of pathfinding? A board and the walk across it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.data.mazes.boards import MOVES, REACHED, UNREACHABLE, board_hashes, draw_mazes

SYMBOLS = MOVES + REACHED + UNREACHABLE
"""What stands behind the board: moves, then one of the two ends."""


class Maze(NamedTuple):
    """A board and one walk across it."""

    cells: NDArray[np.int8]  # [R K]
    symbols: list[int]
    """Of the walk and its end, as indices into SYMBOLS."""
    shortest: int
    reachable: bool
    extra: int
    wall_hits: int
    identity: int
    """A hash of the board alone, 63 bits."""

    @property
    def walk_text(self) -> str:
        """The walk and its end, `E E S D`."""
        return " ".join(SYMBOLS[symbol] for symbol in self.symbols)


def draw_samples(seed: int, split: str, start: int, count: int, shape: tuple[int, int]) -> list[Maze]:
    """The samples of a stream with the indices from `start` on, one by one."""
    mazes = draw_mazes(seed, split, start, count, *shape)
    numbers = (
        np.where(mazes.reachable, SYMBOLS.index(REACHED), SYMBOLS.index(UNREACHABLE)),
        *(mazes.shortest, mazes.reachable, mazes.extra, mazes.wall_hits),
        (board_hashes(mazes.cells) >> np.uint64(1)).astype(np.int64),  # results keep signed numbers
    )
    rows = zip(mazes.cells, mazes.walks, *(column.tolist() for column in numbers), strict=True)
    return [Maze(cells, [*walk.tolist(), end], *others) for cells, walk, end, *others in rows]
